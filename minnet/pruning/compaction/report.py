"""The report of a compaction: a table for people, print(compact_report(model)), and rows for programs."""
from collections import Counter
from dataclasses import dataclass

import numpy as np

from minnet.engine.model import Model
from minnet.pruning.compaction.plan import FOLDED, SILENT, STAYS, UNREAD, CompactionPlan, rows_with, shares_moments

HEAD = ("layer", "units", "left", "unread", "silent", "folded", "stays although no live path needs it")
NUMBERS = len(HEAD) - 1  # columns that are numbers: all but the last, and the name


@dataclass(frozen=True)
class Row:
    """One layer that makes units, and how many.

    `before` and `after` count its units. Of the removed ones `unread` were read by no weight, `silent` were 0 and
    `folded` another constant, now in the next bias. `stays` counts, by reason, units without a live path that stay.
    """

    name: str
    before: int
    after: int
    unread: int
    silent: int
    folded: int
    stays: dict[str, int]


class Report:
    """What `compact` does to a model, as `compact_report` returns it; it prints as a table.

    Attributes
    ----------
    rows : list of Row
        One for each layer that makes units, and for the input if some of it is unread.
    folded : int
        How many units were folded into a bias; joined ones count once.
    parameters, macs : (int, int)
        Before and after.
    refused : dict of str to str
        Why a BatchNorm was not folded, by name.
    """

    def __init__(self, plan: CompactionPlan, small: Model, refused: dict[str, str]) -> None:
        model = plan.model
        self.rows = [row for row in _rows(plan) if row is not None]
        self.folded = int((plan.fate == FOLDED).sum())
        self.parameters = model.n_trainable, small.n_trainable
        self.macs = model.macs, small.macs
        self.refused = refused

    def __getitem__(self, name: str) -> Row:
        return {row.name: row for row in self.rows}[name]

    def __str__(self) -> str:
        cells = [HEAD]
        for row in self.rows:
            numbers = (row.before, row.after, row.unread, row.silent, row.folded)
            why = "; ".join(f"{count}: {reason}" for reason, count in row.stays.items())
            cells.append((row.name, *[f"{n:,}" for n in numbers], why))
        widths = [max(len(line[i]) for line in cells) for i in range(NUMBERS)]
        lines = ["  ".join([line[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=False)],
                            line[-1]]).rstrip() for line in cells]
        lines.append("parameters {:,} -> {:,}, MACs {:,} -> {:,}".format(*self.parameters, *self.macs))
        return "\n".join(lines + [f"{name} stays: {reason}" for name, reason in self.refused.items()])


def _rows(plan):
    """Yield the input's row, then one for each layer that makes units."""
    yield _input_row(plan)
    layers = plan.model.layers
    for use in plan.coupling.uses:
        name = use.parameter.layer
        if use.parameter.kind == "weight" and not use.reads and layers[name].resizable:
            fates = Counter(plan.fate[plan.roots[use.units]].tolist())
            yield Row(name, len(use.units), int(plan.keeps(use).sum()), fates[UNREAD], fates[SILENT], fates[FOLDED],
                      dict(Counter(_reasons(plan, use))))


def _input_row(plan):
    """Return the row of the input's units that no weight reads, or None."""
    units, kept = plan.roots[plan.coupling.inputs], plan.kept_inputs
    read = np.zeros(len(plan.fate), bool)
    for use in plan.readers:
        read[plan.roots[use.units][rows_with(use.parameter.of(plan.on_path))]] = True
    unread, gone = int((~read[units]).sum()), int((~kept).sum())
    stays = {"is an input": unread - gone} if unread > gone else {}
    return Row("input", len(units), len(units) - gone, gone, 0, 0, stays) if unread else None


def _reasons(plan, use):
    """Yield the reason why each unit of a layer stays that has no live path through it here."""
    fixed, units = plan.coupling.fixed(), plan.roots[use.units].tolist()
    on_path = use.parameter.of(plan.on_path).reshape(-1, len(units)).any(axis=0)
    for unit, alive in zip(units, on_path, strict=True):
        if plan.last[unit]:
            yield "an axis keeps at least one unit"
        elif plan.fate[unit] != STAYS or alive:
            continue
        elif fixed[unit]:
            yield "is a logit or joined with the input"
        elif unit in plan.border:
            reader = plan.border[unit]
            counts = shares_moments(plan.model.layers[reader])
            yield f"counts in the moments of {reader}" if counts else f"its constant meets the padding of {reader}"
        else:
            yield "joined with a live unit"

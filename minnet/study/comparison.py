"""What a sweep found: the cells, a table with one row for each combination, and paired tests of criteria.

    found = comparison_of(cells, results, bases)
    print(found)
    write_files("out", {"sweep.json": as_json(found.record()), "cells.csv": found.csv()})

Everything is in the order of the grid: the order in which cells ended does not show.
"""
import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minnet import __version__
from minnet.errors import PERCENT, Diverged, InvalidValue, quoted
from minnet.study.cells import Cell
from minnet.study.guard import WORDS
from minnet.study.significance import Test, paired_tests
from minnet.study.workers import Dense
from minnet.text import aligned

FIGURES = ("valid", "test", "loss", "removed", "kept_weights", "macs", "file_bytes")


@dataclass(frozen=True)
class Sweep:
    """The results of a sweep; `str` makes the table of them and of the tests.

    Parameters
    ----------
    names : tuple of str
        The settings that were varied, the seed left out.
    score : str
        Name of the score: accuracy, r2 of numbers.
    decides : str
        The part of the data whose scores `valid` has: the training part where there is no validation part.
    rows : tuple of dict
        One for each cell: "settings", what was varied; "seed"; "valid" and "test", the score on each part; "loss" on
        the test part; "removed", the share of the weights or units; "kept_weights", "macs", "file_bytes"; "dense",
        the figures of the dense net that was trained as long; and "error" where the training diverged.
    summary : tuple of dict
        One for each combination: "settings", "n" of finished cells, "diverged", and of each figure mean, sd, lowest
        and highest; "best" where the mean score on the validation part is the highest at its sparsity.
    tests : tuple of Test
        Paired over seeds, against the criteria "random" and "magnitude" and against controls.
    """

    names: tuple[str, ...]
    score: str
    decides: str
    rows: tuple[dict, ...]
    summary: tuple[dict, ...]
    tests: tuple[Test, ...]

    def __str__(self) -> str:
        """Return the table and the tests."""
        head = [*self.names, "seeds", f"{self.decides} %", "test %", "sd", "dense %", "weights", "multiply-adds"]
        lines = [[*(_text(row["settings"][name]) for name in self.names), *self._cells(row)] for row in self.summary]
        tests = [str(test) for test in self.tests]
        notes = [f"* highest mean {self.score} on the {WORDS[self.decides]} part at its sparsity; all scores are those "
                 "after the last epoch"] if len(self.summary) > 1 else []
        return "\n".join([*aligned([head, *lines], len(self.names)), *notes, *([""] if tests else []), *tests])

    def _cells(self, row):
        n = f"{row['n']}" + f" ({row['diverged']} diverged)" * bool(row["diverged"])
        if not row["n"]:
            return [n, *"-" * 6]
        return [n, percent(row["valid"]["mean"]) + " *" * row["best"], percent(row["test"]["mean"]),
                percent(row["test"]["sd"]), percent(row["dense"]["mean"]), f"{row['kept_weights']['mean']:,.0f}",
                f"{row['macs']['mean']:,.0f}"]

    def record(self) -> dict[str, object]:
        """Return everything as JSON types, the same whatever ran where."""
        return {"minnet": __version__, "score": self.score, "decides": self.decides, "varied": list(self.names),
                "summary": list(self.summary), "tests": [test.record() for test in self.tests],
                "cells": list(self.rows)}

    def csv(self) -> str:
        """Return a line for each cell, with its raw figures."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.names, "seed", *(f"{self.score}_{part}" for part in ("valid", "test", "dense_test")),
                         *FIGURES[2:], "error"])
        for row in self.rows:
            writer.writerow([*(_text(row["settings"][name]) for name in self.names), row["seed"], row["valid"],
                             row["test"], row["dense"]["test"], *(row[name] for name in FIGURES[2:]), row["error"]])
        return text.getvalue()


def comparison_of(cells: Sequence[Cell], results: Mapping[str, Mapping], bases: Mapping[str, Dense]) -> Sweep:
    """Return the Sweep of finished cells, in their order.

    Parameters
    ----------
    cells : sequence of Cell
        The cells.
    results : mapping of str to mapping
        What `run_cell` returned, by the id of the cell.
    bases : mapping of str to Dense
        The dense nets, by their id.

    Returns
    -------
    Sweep
        The rows, the table and the tests.

    Raises
    ------
    Diverged
        The training of every dense net diverged.
    """
    known = [bases[cell.base].figures for cell in cells if bases[cell.base].base is not None]
    if not known:
        raise Diverged(bases[cells[0].base].figures["error"])
    figures = known[0]
    score = next(iter(figures["test"]))
    rows = [_row(cell, results[cell.id], bases[cell.base].figures, score) for cell in cells]
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(repr(row["settings"]), []).append(row)
    summary = [_summary(group) for group in groups.values()]
    _mark_best(summary)
    return Sweep(tuple(cells[0].varied), score, figures["decides"], tuple(rows), tuple(summary),
                 tuple(paired_tests(list(groups.values()))))


def _row(cell, result, dense, score):
    """Return the row of a cell."""
    known = "error" not in result
    if known and not (score in result["valid"] and score in result["test"]):
        raise InvalidValue(f"the cell {quoted(cell.name)} has no {score}, as its dense net has: remove its file "
                           f"{cell.id}.json, so that it is run again")
    found = {"valid": result["valid"][score], "test": result["test"][score], "loss": result["test"]["loss"],
             **{name: result[name] for name in FIGURES[3:]}} if known else dict.fromkeys(FIGURES)
    whole = {part: dense[part][score] if part in dense else None for part in ("valid", "test")}
    sizes = {name: dense.get(name) for name in ("macs", "parameters")}
    return {"settings": cell.varied, "seed": cell.settings.seed, **found, "dense": whole | sizes,
            "error": result.get("error", "")}


def _summary(group):
    """Return the row of the table for the cells of one combination."""
    done = [row for row in group if not row["error"]]
    spread = {name: _spread([row[name] for row in done]) for name in FIGURES} if done else {}
    return {"settings": group[0]["settings"], "n": len(done), "diverged": len(group) - len(done), **spread,
            "dense": _spread([row["dense"]["test"] for row in group]), "best": False}


def _spread(values):
    """Return mean, standard deviation (None of one value), lowest and highest."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "sd": None, "lowest": None, "highest": None}
    return {"mean": statistics.fmean(known), "sd": statistics.stdev(known) if len(known) > 1 else None,
            "lowest": min(known), "highest": max(known)}


def _mark_best(summary):
    """Set "best" in the row of each sparsity that scores highest on the part that decides; the first of equal ones."""
    best: dict[str, dict] = {}
    for row in summary:
        if row["n"] and row["valid"]["mean"] is not None:
            at = best.setdefault(repr(row["settings"].get("sparsity")), row)
            if row["valid"]["mean"] > at["valid"]["mean"]:
                best[repr(row["settings"].get("sparsity"))] = row
    for row in best.values():
        row["best"] = True


def _text(value):
    return value if isinstance(value, str) else "-" if value is None else f"{value:g}" if isinstance(value, float) \
        else str(value)


def percent(value: float | None) -> str:
    """Return a share in percent, a dash for None."""
    return "-" if value is None else f"{PERCENT * value:.2f}"

"""A result as rows of text, for the terminal and for the page.

    for row in comparison(result):
        row.label, row.before, row.after, row.change

CLASSES, NUMBERS or LABELS, then FIGURES and OPTIONAL are the rows of the first table, in order.
"""
from collections.abc import Mapping
from dataclasses import dataclass, replace

from minnet.errors import PERCENT
from minnet.study.guard import WORDS

KILO = 1000
SCORE_DIGITS = 2  # of a score in percent
MOST_INPUTS = 100  # inputs that a line lists
LAYER = ("layer", "shape", "in file", "remaining", "sparsity", "MACs", "bytes", "us")
SAME = 1.05  # a ratio below this is shown as "="


@dataclass(frozen=True)
class Row:
    """One row: label, values before and after, the change, and the figure's name; `good` is None without change."""

    label: str
    before: str
    after: str
    change: str
    good: bool | None = None
    name: str = ""


def comparison(result: Mapping) -> list[Row]:
    """Return the rows that compare the models before and after pruning."""
    scores = NUMBERS if "r2" in result["before"] else LABELS if "hamming_loss" in result["before"] else CLASSES
    return _rows_of(result, scores + FIGURES + tuple(figure for figure in OPTIONAL if figure[0] in result["before"]))


def calibration(result: Mapping) -> list[Row]:
    """Return the rows on calibration; none for a result of an earlier version."""
    return _rows_of(result, tuple(figure for figure in CALIBRATION if figure[0] in result["before"]))


def _rows_of(result, figures):
    """Return the rows of these figures."""
    before, after = result["before"], result["after"]
    return [replace(make(label, before.get(name), after.get(name), *adjectives), name=name)
            for name, label, make, adjectives in figures]


def layers(result: Mapping) -> list[tuple[str, ...]]:
    """Return LAYER of each layer with weights, as text; what follows the first shape is what is in the file."""
    found = []
    for layer in result["layers"]:
        after = in_file(layer)
        sparsity = 1 - after["remaining"] / layer["weights"] if layer["weights"] else 0.0
        found.append((layer["name"], _shape(layer), _shape(after), f"{after['remaining']:,}", f"{sparsity:.1%}",
                      f"{after['macs']:,}", number(after.get("bytes")), number(after.get("latency_us"))))
    return found


def in_file(layer: Mapping) -> Mapping:
    """Return what a row of `layers` says of the pruned model's file; of an earlier version's, of the pruned model."""
    after = layer.get("after", layer)
    return {"shape": (0,), "remaining": 0, "macs": 0, "bytes": 0} if after is None else after


def _shape(layer):
    return "x".join(map(str, layer["shape"]))


def inputs(result: Mapping) -> list[str]:
    """Return the line that lists the inputs that are kept, where inputs were pruned; else none."""
    if "inputs" not in result:
        return []
    kept = [str(name) for name in result["inputs"]["kept"]]
    shown = ", ".join(kept[:MOST_INPUTS]) + f" and {len(kept) - MOST_INPUTS} more" * (len(kept) > MOST_INPUTS)
    return [f"inputs kept, {len(kept)} of {result['inputs']['of']}: {shown}"]


def last_cut(result: Mapping) -> list[str]:
    """Return the line on a recipe's last exact cut: how many weights it took beyond those that the method had."""
    cuts = [step["cut"] for step in result["history"] if step["stage"] == "pruning" and step.get("cut")]
    return [f"the last cut, to the exact count, {'took' if cut > 0 else 'gave back'} {abs(cut):,} of the weights that "
            f"{result['recipe']} had {'left' if cut > 0 else 'removed'}" for cut in cuts[-1:]]


def guards(result: Mapping) -> list[str]:
    """Return one line for each guard, the score on the part that decides, which is not the test part, and the search.

    A line of the test part, which decides nothing, follows where the result has one.
    """
    if "guard" not in result:
        return []
    found = result["guard"]
    part = f"the {WORDS[found['part']]} part ({found['samples']:,} samples)"
    lines = [f"guard on {part}: {_guarded(found, name)}, allowed loss {limit:g}{_bound(found, name)}"
             for name, limit in found["limits"].items()]
    if "test" in found:
        scores = "; ".join(_guarded(found["test"], name) for name in found["limits"])
        lines.append(f"on the test part ({found['test']['samples']:,} samples), which decides nothing: {scores}")
    return [*lines, *(_search(found["search"]) if "search" in found else [])]


def _guarded(found, name):
    """Return a guarded score before and after."""
    label = found.get("bounds", {}).get(name, {}).get("label")
    of = f" of {label}" if label is not None else ""
    return f"{name}{of} {four(found['before'][name])} -> {four(found['after'][name])}"


def _bound(found, name):
    """Return the bound of a loss, and how many images the limit would take."""
    row = found.get("bounds", {}).get(name)
    if row is None or row["bound"] is None:
        return ""
    needed = row["images_needed"]
    of = " of the class" if "label" in row else ""
    wanted = f"; a bound within the limit takes {needed:,} images{of}" if needed and \
        row["bound"] > found["limits"][name] else ""
    return f" (at 95 % at most {four(row['bound'])}{wanted})"


def _search(search):
    """Return lines on the rounds of a search; none where the first one held."""
    rounds = search["rounds"]
    if len(rounds) == 1 and search["held"]:
        return []
    tried = ", ".join(f"{done['asked']:.1%} {'held' if done['holds'] else 'broke'}" for done in rounds)
    bound = search["bound"]
    why = [] if bound is None else [f"what bound it, at {bound['asked']:.1%}: {'; '.join(bound['missed'])}"]
    kept = f"kept {search['reached']:.1%}, pruned in {search['epochs']} epochs" if search["held"] else "kept nothing"
    return [f"tried: {tried}; {kept}", *why]


def four(value: float | None) -> str:
    """Return a score with four decimals, None as a dash."""
    return "-" if value is None else f"{value:.4f}"


def names(result: Mapping) -> tuple[str, str]:
    """Return the names of the two models: (dense, pruned), or (before, after) if the first is sparse."""
    return ("before", "after") if result["settings"].get("sparse_before") else ("dense", "pruned")


def score(label: str, before: float | None, after: float | None) -> Row:
    """Return the row of a score in percent."""
    if before is None or after is None:
        return Row(label, number(before), number(after), "")
    points = round(PERCENT * (after - before), SCORE_DIGITS)
    change = f"{points:+.2f} points" if points else "="
    return Row(label, f"{before:.2%}", f"{after:.2%}", change, _sign(points))


def loss(label: str, before: float | None, after: float | None) -> Row:
    """Return the row of a loss."""
    if before is None or after is None:
        return Row(label, number(before), number(after), "")
    return Row(label, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}", _sign(before - after))


def units(label: str, before: float | None, after: float | None) -> Row:
    """Return the row of an error in the units of the target."""
    if before is None or after is None:
        return Row(label, number(before), number(after), "")
    return Row(label, f"{before:.5g}", f"{after:.5g}", f"{after - before:+.3g}", _sign(before - after))


def explained(label: str, before: float | None, after: float | None) -> Row:
    """Return the row of R2, whose change is in points: hundredths of the variance."""
    if before is None or after is None:
        return Row(label, number(before), number(after), "")
    return replace(score(label, before, after), before=f"{before:.4f}", after=f"{after:.4f}")


def size(label: str, before: float | None, after: float | None, better: str, worse: str) -> Row:
    """Return the row of a quantity of which less is better."""
    return _ratio(label, before, after, before, after, (better, worse))


def speed(label: str, before: float | None, after: float | None, better: str, worse: str) -> Row:
    """Return the row of a quantity of which more is better."""
    return _ratio(label, before, after, after, before, (better, worse))


def number(value: float | None) -> str:
    """Return a count with commas, a small float with one decimal, None as a dash."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) and value < KILO else f"{value:,.0f}"


def _ratio(label, before, after, over, under, adjectives):
    """Return the row of a ratio, `over / under`: above 1 it is better."""
    if not (over and under):
        return Row(label, number(before), number(after), "")
    ratio, word, good = (over / under, adjectives[0], True) if over >= under else (under / over, adjectives[1],
                                                                                                  False)
    if ratio < SAME:
        return Row(label, number(before), number(after), "=")
    return Row(label, number(before), number(after), f"{ratio:.1f}x {word}", good)


def _sign(gain):
    return None if gain == 0 else gain > 0


CLASSES = (
    ("accuracy", "accuracy", score, ()),
    ("recall_macro", "macro recall", score, ()),
    ("f1_macro", "macro F1", score, ()),
)
NUMBERS = (
    ("r2", "R2", explained, ()),
    ("mae", "mean absolute error", units, ()),
    ("rmse", "root mean squared error", units, ()),
)
LABELS = (
    ("accuracy", "subset accuracy", score, ()),
    ("hamming_loss", "Hamming loss", loss, ()),
    ("f1_micro", "micro F1", score, ()),
    ("f1_macro", "macro F1", score, ()),
)
FIGURES = (
    ("loss", "loss", loss, ()),
    ("parameters", "parameters (nonzero)", size, ("fewer", "more")),
    ("macs", "multiply-adds", size, ("fewer", "more")),
    ("bytes_on_disk", "bytes on disk", size, ("smaller", "larger")),
    ("latency_us", "latency, one sample (us)", size, ("faster", "slower")),
    ("throughput_per_s", "throughput (samples/s)", speed, ("faster", "slower")),
)
CALIBRATION = (
    ("brier", "Brier score", loss, ()),
    ("ece", "expected calibration error", loss, ()),
)
OPTIONAL = (  # figures of --precision
    ("accuracy_int8", "accuracy, int8 weights", score, ()),
    ("r2_int8", "R2, int8 weights", explained, ()),
    ("bytes_frozen", "bytes in memory", size, ("smaller", "larger")),
    ("bytes_frozen_int8", "bytes in memory, int8", size, ("smaller", "larger")),
)

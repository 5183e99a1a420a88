"""A result as rows of text, for the terminal and for the page alike.

    for row in comparison(result):
        row.label, row.before, row.after, row.change
"""
from dataclasses import dataclass

PERCENT = 100
KILO = 1000
SCORE_DIGITS = 2  # of a score in percent
SAME = 1.05  # a ratio below this is shown as "="


@dataclass(frozen=True)
class Row:
    """One line: what it is, before, after, and the difference in words; `good` is None where there is none."""

    label: str
    before: str
    after: str
    change: str
    good: bool | None = None


def comparison(result):
    """The rows of "before and after"."""
    before, after = result["before"], result["after"]
    figures = FIGURES + tuple(figure for figure in ASKED if figure[0] in before)
    return [make(label, before.get(name), after.get(name), *words) for name, label, make, words in figures]


def layers(result):
    """(name, shape, weights, remaining, sparsity) of each layer with weights, as text."""
    return [(layer["name"], " x ".join(map(str, layer["shape"])), f"{layer['weights']:,}", f"{layer['remaining']:,}",
             f"{layer['sparsity']:.1%}") for layer in result["layers"]]


def names(result):
    """What the two nets are called: (dense, pruned), or (before, after) where the first was sparse already."""
    return ("before", "after") if result["settings"].get("sparse_before") else ("dense", "pruned")


def score(label, before, after):
    """A share of the samples, in percent."""
    if before is None or after is None:
        return Row(label, number(before), number(after), "")
    points = round(PERCENT * (after - before), SCORE_DIGITS)
    change = f"{points:+.2f} points" if points else "="
    return Row(label, f"{before:.2%}", f"{after:.2%}", change, _sign(points))


def loss(label, before, after):
    """The mean loss."""
    if before is None or after is None:
        return Row(label, number(before), number(after), "")
    return Row(label, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}", _sign(before - after))


def size(label, before, after, better, worse):
    """A quantity of which less is better."""
    return _ratio(label, before, after, before, after, (better, worse))


def speed(label, before, after, better, worse):
    """A quantity of which more is better."""
    return _ratio(label, before, after, after, before, (better, worse))


def number(value):
    """A count with commas; a small number with one decimal; nothing as a dash."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) and value < KILO else f"{value:,.0f}"


def _ratio(label, before, after, over, under, words):
    """`over / under` in words: above 1 it is better."""
    if not (over and under):
        return Row(label, number(before), number(after), "")
    ratio, word, good = (over / under, words[0], True) if over >= under else (under / over, words[1], False)
    if ratio < SAME:
        return Row(label, number(before), number(after), "=")
    return Row(label, number(before), number(after), f"{ratio:.1f}x {word}", good)


def _sign(gain):
    return None if gain == 0 else gain > 0


FIGURES = (
    ("accuracy", "accuracy", score, ()),
    ("recall_macro", "macro recall", score, ()),
    ("f1_macro", "macro F1", score, ()),
    ("loss", "loss", loss, ()),
    ("parameters", "parameters (nonzero)", size, ("fewer", "more")),
    ("macs", "multiply-adds", size, ("fewer", "more")),
    ("bytes_on_disk", "bytes on disk", size, ("smaller", "larger")),
    ("latency_us", "latency, one sample (us)", size, ("faster", "slower")),
    ("throughput_per_s", "throughput (samples/s)", speed, ("faster", "slower")),
)
ASKED = (  # only where the job was asked for them
    ("accuracy_int8", "accuracy, int8 weights", score, ()),
    ("bytes_frozen", "bytes in memory", size, ("smaller", "larger")),
    ("bytes_frozen_int8", "bytes in memory, int8", size, ("smaller", "larger")),
)

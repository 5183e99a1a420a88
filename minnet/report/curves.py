"""Curves of a sweep: the test score over what is removed, or what remains, each seed and their mean.

    for curve in curves_of(record, "removed"):
        curve.name, curve.seeds, curve.means
    drawing(curves_of(record, "macs"), "accuracy", "multiply-adds")      # SVG

A record is that of `Sweep.record()`, as sweep.json has it.
"""
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from minnet.errors import check_choice
from minnet.report import svg

AXES = {"removed": "share removed", "kept_weights": "weights kept", "macs": "multiply-adds"}
LEAST_KEPT = 1e-4  # where an axis of the share kept ends
HUES = 137.5  # degrees between the colours of two curves: neighbours differ most
TICKS = 4
LEFT, WIDTH = svg.LEFT, svg.WIDTH - svg.LEFT - svg.RIGHT
TOP, HEIGHT = svg.TOP, svg.HEIGHT - svg.TOP - svg.BOTTOM


class Curve(NamedTuple):
    """The cells that differ in how much is removed alone.

    `seeds` has a list of points (x, score) for each seed, `means` points (mean x, mean score, standard deviation).
    """

    name: str
    seeds: list[list[tuple[float, float]]]
    means: list[tuple[float, float, float]]


def curves_of(record: Mapping, x: str = "removed") -> list[Curve]:
    """Return the curves of a sweep, in its order; cells that diverged are left out.

    Parameters
    ----------
    record : mapping
        What `Sweep.record()` gives.
    x : {"removed", "kept_weights", "macs"}
        What the score is over.

    Returns
    -------
    list of Curve
        One for each combination of the settings other than the sparsity.

    Raises
    ------
    UnknownName
        If there is no such axis.
    """
    check_choice("x", x, AXES)
    groups: dict[str, list[Mapping]] = {}
    for row in record["cells"]:
        name = ", ".join(str(value) for name, value in row["settings"].items() if name != "sparsity")
        groups.setdefault(name or "all", []).append(row)
    return [_curve(name, [row for row in rows if not row["error"]], x) for name, rows in groups.items()]


def _curve(name, rows, x):
    seeds: dict[int, list] = {}
    places: dict[object, list] = {}
    for row in rows:
        seeds.setdefault(row["seed"], []).append((row[x], row["test"]))
        places.setdefault(row["settings"].get("sparsity"), []).append((row[x], row["test"]))
    means = []
    for points in places.values():
        at, scores = zip(*points, strict=True)
        mean = sum(scores) / len(scores)
        spread = math.sqrt(sum((score - mean) ** 2 for score in scores) / max(len(scores) - 1, 1))
        means.append((sum(at) / len(at), mean, spread))
    return Curve(name, [sorted(points) for points in seeds.values()], sorted(means))


def drawing(curves: Sequence[Curve], score: str, x: str) -> str:
    """Draw curves: a line for each mean, a thin one for each seed, a band of one standard deviation about the mean.

    The horizontal axis is logarithmic: in what is kept, where `x` is "removed".
    """
    points = [point for curve in curves for line in curve.seeds for point in line]
    if not points:
        return ""
    across = [_across(at, x) for at, _ in points]
    heights = [value for _, value in points]
    place = _Place(min(across), max(across), min(heights), max(heights), x)
    parts = [*place.grid()]
    for i, curve in enumerate(curves):
        parts += _lines(curve, place, f"hsl({i * HUES % 360:.0f} 60% 50%)")
    label = escape(AXES[x])
    parts.append(f'<text x="{svg.WIDTH - svg.RIGHT}" y="{svg.HEIGHT - 2}" text-anchor="end">{label}</text>')
    return svg.svg(parts, svg.HEIGHT, f"{score} on the test part over {AXES[x]}")


def key(curves: Sequence[Curve]) -> str:
    """Return the names of curves in their colours, as HTML."""
    return ", ".join(f'<span style="color:hsl({i * HUES % 360:.0f} 60% 50%)">{escape(curve.name)}</span>'
                     for i, curve in enumerate(curves))


class _Place:
    """Where numbers are in a drawing, and the lines of its grid."""

    def __init__(self, left, right, low, high, x):
        self.left, self.span = left, (right - left) or 1.0
        pad = (high - low or 0.1) / 20
        self.low, self.high, self.x = low - pad, high + pad, x

    def at(self, x, y):
        """Return the place of a point as SVG has it."""
        return self.point(_across(x, self.x), y)

    def point(self, across, y):
        y = min(max(y, self.low), self.high)
        return (f"{LEFT + WIDTH * (across - self.left) / self.span:.1f},"
                f"{TOP + HEIGHT * (self.high - y) / (self.high - self.low):.1f}")

    def grid(self):
        """Yield horizontal lines with their numbers, and numbers below."""
        for i in range(TICKS + 1):
            value = self.low + (self.high - self.low) * i / TICKS
            y = TOP + HEIGHT * (1 - i / TICKS)
            yield svg.tick(y, f"{value:.3g}")
            across = self.left + self.span * i / TICKS
            yield (f'<text x="{LEFT + WIDTH * i / TICKS:.1f}" y="{TOP + HEIGHT + 14}" text-anchor="middle">'
                   f"{_label(across, self.x)}</text>")


def _lines(curve, place, colour):
    """Return the band, the thin lines, the line and the points of a curve."""
    upper = [place.at(x, mean + spread) for x, mean, spread in curve.means]
    lower = [place.at(x, mean - spread) for x, mean, spread in reversed(curve.means)]
    middle = [place.at(x, mean) for x, mean, _ in curve.means]
    style = f"fill:none;stroke:{colour}"
    parts = [f'<polygon points="{" ".join([*upper, *lower])}" style="fill:{colour};opacity:.15"/>']
    parts += [f'<polyline points="{" ".join(place.at(*point) for point in line)}" style="{style};opacity:.4"/>'
              for line in curve.seeds]
    parts.append(f'<polyline points="{" ".join(middle)}" style="{style};stroke-width:2"/>')
    for point in middle:
        across, _, height = point.partition(",")
        parts.append(f'<circle cx="{across}" cy="{height}" r="3" style="fill:{colour}"/>')
    return parts


def _across(value, x):
    """Return where a value is on the logarithmic axis; more removed is further right, more kept too."""
    return -math.log10(max(1 - value, LEAST_KEPT)) if x == "removed" else math.log10(max(value, 1))


def _label(across, x):
    return f"{1 - 10**-across:.3g}" if x == "removed" else f"{10**across:,.0f}"

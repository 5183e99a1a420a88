"""Drawings in SVG, as text: bars and lines in the page's colours (CSS variables), with titles for screen readers."""
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 28
BAR, GAP = 18, 10
NAME_WIDTH, VALUE_WIDTH, CHARACTER = 150, 130, 7.5  # CHARACTER: a little more than the widest digit
TICKS = 4
Axis = tuple[Callable[[float], float], list[tuple[float, str]]]  # height of y in [0, 1]; (height, label) of ticks


def bars(items: Sequence[tuple[str, float, str]], title: str) -> str:
    """Draw horizontal bars for [(name, share in [0, 1], text)]; the filled part is the share.

    The longest text determines the width of the bars; texts take at most half of the width.
    """
    texts = max((len(text) for _, _, text in items), default=0) * CHARACTER + 8
    room = WIDTH - NAME_WIDTH - min(max(VALUE_WIDTH, math.ceil(texts)), (WIDTH - NAME_WIDTH) // 2)
    parts = []
    for i, (name, share, text) in enumerate(items):
        y = i * (BAR + GAP)
        middle = y + BAR - 5
        parts += [f'<text x="{NAME_WIDTH - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>',
                  f'<rect x="{NAME_WIDTH}" y="{y}" width="{room}" height="{BAR}" class="empty"/>',
                  f'<rect x="{NAME_WIDTH}" y="{y}" width="{room * share:.1f}" height="{BAR}" class="full"/>',
                  f'<text x="{NAME_WIDTH + room + 8}" y="{middle}">{escape(text)}</text>']
    return svg(parts, max(len(items) * (BAR + GAP) - GAP, 1), title)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], title: str, x_label: str, axis: Axis) -> str:
    """Draw curves for {name: [(x, y)]}; `axis` is `shares()` or `decades(values)`."""
    height_of, ticks = axis
    last = max((x for curve in series.values() for x, _ in curve), default=1)
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x, y):
        return f"{LEFT + inner_width * x / last:.1f},{TOP + inner_height * (1 - height_of(y)):.1f}"

    parts = []
    for height, label in ticks:
        y = TOP + inner_height * (1 - height)
        parts.append(tick(y, label))
    parts += [f'<polyline class="line c{i}" points="{" ".join(place(x, y) for x, y in curve)}"/>'
              for i, curve in enumerate(series.values())]
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(x_label)} {last:g}</text>')
    return svg(parts, HEIGHT, title)


def shares() -> Axis:
    """Return the linear axis from 0 to 1."""
    return (lambda y: y), [(i / TICKS, f"{i / TICKS:g}") for i in range(TICKS + 1)]


def decades(values: Sequence[float]) -> Axis:
    """Return a logarithmic axis between powers of ten that contains all positive `values`; others are at 0."""
    positive = [value for value in values if value > 0] or [1]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    span = max(high - low, 1)
    height_of = partial(_log_height, low=low, span=span)
    return height_of, [(i / span, f"{10.0 ** (low + i):g}") for i in range(span + 1)]


def _log_height(y, low, span):
    return min(max((math.log10(y) - low) / span, 0), 1) if y > 0 else 0


def tick(y: float, label: str) -> str:
    """Return a line of the grid across the drawing at height y, and its label at the left."""
    return (f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')


def svg(parts: Sequence[str], height: float, title: str) -> str:
    """Return the SVG element with its title."""
    title = escape(title)
    return (f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}"><title>{title}</title>'
            f"{''.join(parts)}</svg>")

"""Tables of text, for people to read."""
from collections.abc import Sequence

GAP = "  "


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return the lines of a table: the first `left` columns are aligned on the left, the others on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust if i < left else str.rjust for i in range(len(widths))]
    return [GAP.join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)).rstrip()
            for row in rows]

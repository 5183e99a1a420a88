"""Columns of text: the first to the left, numbers to the right."""
GAP = "  "


def aligned(rows, talk):
    """The lines of a table whose first row is its head, which stands out on a terminal."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [GAP.join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
    return [talk.heading(lines[0]), *lines[1:]]


def facts_text(facts, talk):
    """A dict as a table of two columns, without a head; numbers with a few digits, names as a sentence has them."""
    rows = [(name.replace("_", " "), _as_text(value)) for name, value in facts.items() if value is not None]
    return "\n".join(aligned([("", ""), *rows], talk)[1:])


def _as_text(value):
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)

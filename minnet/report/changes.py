"""What a run of least change changed, as lines of text: what was tried, flips by class, calibration and margins.

    for line in changes(result): ...        # none of a run without `safe`

Rows are those of the test part, counted from 0.
"""
from collections.abc import Mapping

from minnet.report.rows import calibration, four

MOST_ROWS = 20  # of a class, that a line lists


def changes(result: Mapping) -> list[str]:
    """Return the lines."""
    if "safe" not in result:
        return []
    safe, found = result["safe"], result["change"]
    tried = ", ".join(f"{trial['criterion']} {_share(trial)}" for trial in safe["tried"])
    return [f"layers left as they were: {', '.join(safe['protected']) or 'none'}",
            f"predictions that differ from the dense net's, by criterion: {tried}; taken: {result['criterion']}",
            *(_flipped(result, name, side) for name, side in found.get("flips", {}).items()),
            *(f"{row.label}: {row.before} -> {row.after}" for row in calibration(result)),
            *([_margins(found["margins"])] if "margins" in found else [])]


def _share(trial):
    return f"{trial['flips']:.2%}" if trial["flips"] is not None else f"left out ({trial['reason']})"


def _flipped(result, name, side):
    """Return the line of the rows that flipped one way, by their class or label."""
    numbers = side["labels"] if "labels" in side else side["targets"]
    rows: dict[int, list[int]] = {}
    for row, number in zip(side["rows"], numbers, strict=True):
        rows.setdefault(number, []).append(row)
    names = result["classes"] or range(len(side["per_class"]))
    listed = "".join(f"; {names[number]}: {_listed(rows[number])}" for number in sorted(rows))
    return f"{name.replace('_', ' ')} on the test part: {len(numbers)}{listed}"


def _listed(rows):
    """Return the first of some rows."""
    return "row " + ", ".join(map(str, rows[:MOST_ROWS])) + f" and {len(rows) - MOST_ROWS} more" * (
        len(rows) > MOST_ROWS)


def _margins(found):
    """Return the line on margins."""
    low, _, middle, *_ = zip(found["before"], found["after"], strict=True)
    return (f"margin of the right class: median {four(middle[0])} -> {four(middle[1])}; 5 % of the rows are below "
            f"{four(low[0])} -> {four(low[1])}")

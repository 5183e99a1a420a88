"""Cells of a table, as text or as Python's values: a number, text, or missing.

    is_number(plain("4,5", ","))     # True
    cell_name(3.0) == cell_name("3") == "3"
    as_labels(["1", "2"], ".")       # whole numbers

What MISSING lists is a gap wherever it is a whole cell of features; a label may be any text.
"""
import re

import numpy as np

MISSING = frozenset(("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None", "?"))
BOOLS = {"True": True, "False": False}
LARGEST_EXACT = 2**53  # up to which float64 holds every whole number
LONGEST_INTEGER = 20  # characters of one in 64 bits
WHOLE = re.compile(r"(-?[0-9]+)\.0+")  # a whole number that was written as another one


def plain(cell: str, decimal: str) -> str:
    """Return a number as `float` takes it; with decimal commas a point is none, since it may separate thousands."""
    return cell if decimal == "." else cell.replace(".", "?").replace(",", ".")


def is_number(cell: str) -> bool:
    """Test for what `float` takes, except spellings that no table means: 1_000, digits of other scripts."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def is_any_number(cell: str) -> bool:
    """Test for a number with either decimal mark."""
    return is_number(cell) or is_number(plain(cell, ","))


def is_missing(cell: str) -> bool:
    """Test for a cell that says that there is no value."""
    return cell.strip() in MISSING


def cell_name(cell: object) -> str:
    """Return the name of a category: its text, or that of a number, so that 3, 3.0, "3" and "3.0" have one."""
    if isinstance(cell, str):
        text = cell.strip()
        whole = WHOLE.fullmatch(text)
        return whole[1] if whole else text
    if isinstance(cell, int):
        return str(cell)
    number = float(cell)  # type: ignore[arg-type]  # as_cells makes nothing else
    return str(int(number)) if number.is_integer() else repr(number)


def all_numbers(row: list[str]) -> list[float] | None:
    """Return the numbers of a row at once, None where some cell may be none or is not finite."""
    text = "".join(row)
    if not text.isascii() or "_" in text:
        return None
    try:
        numbers = list(map(float, row))
    except ValueError:
        return None
    return numbers if sum(numbers) - sum(numbers) == 0 else None


def as_labels(labels: list[str], decimal: str) -> np.ndarray:
    """Return labels as bools, else whole numbers, else numbers, else text: the first that holds for all."""
    if all(label in BOOLS for label in labels):
        return np.array([BOOLS[label] for label in labels])
    if all(map(_looks_whole, labels)):
        if max(map(len, labels)) > LONGEST_INTEGER:
            return np.array(labels)
        numbers = [int(label) for label in labels]
        for dtype in (np.int64, np.uint64):
            if np.iinfo(dtype).min <= min(numbers) and max(numbers) <= np.iinfo(dtype).max:
                return np.array(numbers, dtype)
        return np.array(labels)  # as floats some would become one
    readable = [plain(label, decimal) for label in labels]
    if all(map(is_number, readable)):
        return np.array([float(label) for label in readable])
    return np.array(labels)


def _looks_whole(label):
    return is_number(label) and label.lstrip("+-").isdigit()

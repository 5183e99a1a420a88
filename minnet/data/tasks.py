"""Tasks: whether targets are classes, numbers or several labels a row, as the user says or as their values tell.

    y, kind = as_targets(raw.y, None)               # labels, "classes"
    y, kind = as_targets(raw.y, "numbers")          # numbers (n,) or (n, k)
    y, kind = as_targets(raw.y, "multilabel")       # 0 and 1 (n, k), a column for each label
    shift, scale = standard_targets(y[training])    # mean and standard deviation of each column

Numbers of which nobody said whether they are classes are these where they look so, else an error that asks.
"""
from collections.abc import Sequence

import numpy as np

from minnet.data.labels import as_indicator, as_label_array, as_number_array
from minnet.data.scaling import standard
from minnet.errors import InvalidType, InvalidValue, MinnetError, check_choice, quoted
from minnet.typing import ArrayLike

TASKS = {"classification": "classes", "regression": "numbers",
         "multilabel": "multilabel"}  # as users say it, and as a signature does
MANY = 20  # different whole numbers up to which they are taken as classes
FEW_ROWS = 10  # rows of each, on average, from which on many are taken as classes


def kind_of(task: str | None, learnt: str | None = None) -> str | None:
    """Return what a signature calls a task, or what a trained model has `learnt`; None where neither says.

    Raises UnknownName for another task, InvalidValue where the model has learnt another one.
    """
    learnt = learnt if learnt in TASKS.values() else None  # "as given" is any
    kind = None if task is None else str(check_choice("task", task, TASKS))
    if None not in (kind, learnt) and kind != learnt:
        raise InvalidValue(f"task={task!r}, but the model has learnt {learnt}: leave the task out")
    return learnt if kind is None else kind


def task_of(kind: str) -> str:
    """Return the task, as users say it, of "classes", "numbers" or "multilabel"."""
    return next(task for task, found in TASKS.items() if found == kind)


def as_targets(y: ArrayLike, kind: str | None, column: str | tuple[str, ...] | None = None,
               other: str = "") -> tuple[np.ndarray, str]:
    """Return targets as an array, and whether they are "classes", "numbers" or "multilabel".

    Parameters
    ----------
    y : array_like
        Labels (n,), or numbers (n,) or (n, k), or 0 and 1 (n, k) for several labels a row, dense or sparse.
    kind : {"classes", "numbers", "multilabel"}, optional
        What they are; None finds out: text is classes, and so are whole numbers, unless there are more than 20
        different ones with fewer than 10 rows each on average.
    column : str or tuple of str, optional
        Name of their column in a table, for messages.
    other : str
        What `class_column` says of another column of the table.

    Returns
    -------
    tuple of numpy.ndarray and str
        The labels (n,), or numbers in float64, or 0 and 1 (n, k) in int64; and the kind.

    Raises
    ------
    InvalidValue
        They may be either, or are not what `kind` says.
    InvalidType, NotFinite
        They are text where numbers are wanted, or not finite.
    """
    unnamed = "the last column" if other else "y"
    name = unnamed if column is None else f"column {quoted(repr(column))}" if isinstance(column, str) else \
        f"columns {', '.join(quoted(repr(one)) for one in column)}"
    if kind == "numbers":
        try:
            return as_number_array(y, name), kind
        except InvalidType as error:
            raise InvalidType(f"{error}: regression learns numbers") from error
    if kind == "multilabel":
        return as_indicator(y, name).astype(np.int64), kind
    if kind is None:
        _check_told(y, name, other)
    return as_label_array(y, name), "classes"


def standard_targets(y: np.ndarray) -> tuple[ArrayLike, ArrayLike]:
    """Return mean and standard deviation of each column of targets (n,) or (n, k): both (k,); 1 for a constant."""
    return standard(y.reshape(len(y), -1), None)


def _check_told(y, name, other):
    """Raise InvalidValue for numbers that may be classes or not, so that the user says which."""
    try:
        numbers = as_number_array(y.toarray() if hasattr(y, "toarray") else y, name)
    except (MinnetError, TypeError):  # text, or nothing that can be learnt: that is said later
        return
    found = np.unique(numbers)
    whole = (found == np.round(found)).all()
    few = len(found) <= MANY or len(found) * FEW_ROWS <= len(numbers)
    if len(found) == 0 or (whole and few and numbers.ndim == 1):
        return
    if set(found.tolist()) <= {0, 1}:
        raise InvalidValue(f"{name} holds {numbers.shape[1]} columns of 0 and 1: say --task multilabel to learn each "
                           'as a label of its own, or --task regression to learn them as numbers (in Python '
                           'task="multilabel" and so on); from one-hot rows of one class each, y.argmax(axis=1)')
    example = "" if whole else f", such as {found[found != np.round(found)][0]:g}, which is no class"
    raise InvalidValue(f"{name} holds {len(found)} different numbers in {len(numbers)} rows{example}: say --task "
                       "regression to learn them as numbers, or --task classification (in Python "
                       f'task="regression" and so on); if another column holds the classes, name it: --target{other}')


def class_column(X: np.ndarray, names: Sequence[str] | None, target: str | None = None) -> str:
    """Return what a message adds to --target if the first column of features looks like classes, else nothing.

    It does where few texts or whole numbers occur, as `as_targets` takes them. The last column is named too.
    """
    found = _few_values(X[:, 0])
    if not found:
        return ""
    first, last = (names[0], target) if names else ("0", str(X.shape[1]))
    return f" {quoted(first)} is the first column, which holds {len(found)} different values" + (
        "" if last is None else f", --target {quoted(last)} the last")


def ask_which(X: np.ndarray, y: np.ndarray) -> None:
    """Raise InvalidValue for a table without a header of which the first column may be the classes, not the last.

    It may where it holds few texts, or all whole numbers from 0 or 1 up to the largest, each in two rows or more, and
    other values than the column beside it; but not where the last one alone holds text, or can be no classes.
    """
    found, last = _few_values(X[:, 0]), _few_values(y)
    text, known = any(isinstance(cell, str) for cell in found), len(found)
    counted = text or found in (set(range(known)), set(range(1, known + 1)))
    often = len(X) >= 2 * known and all((X[:, 0] == cell).sum() > 1 for cell in found)
    alike = X.shape[1] > 1 and found == _few_values(X[:, 1])
    if found and last and counted and often and not alike and (text or y.dtype.kind != "U"):
        raise InvalidValue(f"either may be the classes, the first column, which holds {known} different values, or the "
                           f"last, which holds {len(last)}: say which, --target 0 or --target {X.shape[1]} (in "
                           "Python target=)")


def _few_values(column):
    """Return the different values of a column that may be classes, text or whole numbers; else none."""
    cells = [cell for cell in column.tolist() if cell == cell]
    found = set(cells)
    few = len(found) > 1 and (len(found) <= MANY or len(found) * FEW_ROWS <= len(cells))
    return found if few and all(isinstance(cell, str) or cell == round(cell) for cell in found) else set()

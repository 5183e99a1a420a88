"""Checks of what a Signature is made of, given by a caller or read from a file that is not trusted."""
import math
from typing import NamedTuple

import numpy as np

from minnet.arrays import as_numbers, check_finite
from minnet.data.labels import as_label_array, label_name
from minnet.errors import InvalidType, InvalidValue, listed, quoted

LONGEST_NAME = 10_000  # characters of a name or label in a file
MOST_AXES = 8          # of a row's shape in a file
LARGEST_DIVISOR = 2.0**32  # of inputs: weights divided by it neither overflow nor vanish


class Scaling(NamedTuple):
    """How raw values become a model's input: (raw - shift) / scale; both broadcast with one row."""

    shift: np.ndarray
    scale: np.ndarray

    def flat(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return shift and scale as two rows of one length: some numbers that repeat, or all of a row of `shape`."""
        shift, scale = np.broadcast_arrays(*self)
        if shift.ndim > 1:
            shift, scale = (np.broadcast_to(numbers, shape) for numbers in (shift, scale))
        return shift.reshape(-1), scale.reshape(-1)

    @property
    def divisor(self) -> float:
        """Return the d of a scaling x / d that weights may be divided by instead, without loss of range; else 1."""
        if self.shift.any() or (self.scale != self.scale.flat[0]).any():
            return 1.0
        divisor = float(self.scale.flat[0])
        return divisor if 1 / LARGEST_DIVISOR <= abs(divisor) <= LARGEST_DIVISOR else 1.0


def check_shape(shape):
    """Return the shape of a row as a tuple of whole numbers of at least 1."""
    if not isinstance(shape, tuple | list) or any(type(n) is not int or n < 1 for n in shape) or not shape:
        raise InvalidValue(f"shape={quoted(repr(shape))}; wanted whole numbers of at least 1, as in (28, 28, 1)")
    return tuple(shape)


def check_classes(classes, task):
    """Return labels as an array of which no two have one name."""
    if classes is None:
        return None
    if task not in ("classes", "multilabel"):
        raise InvalidValue(f"classes={quoted(repr(classes))} with task={task!r}: numbers have no classes")
    array = as_label_array(classes, "classes").copy()
    names = [label_name(label) for label in array.tolist()]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice or not names:
        raise InvalidValue(f"classes={quoted(repr(classes))}: wanted labels that differ, at least one"
                           + (f"; {listed(twice)} is there twice" if twice else ""))
    array.flags.writeable = False
    return array


def check_target(target):
    """Return the name of the column that was learnt, or a tuple of several that differ."""
    names = (target,) if isinstance(target, str | None) else tuple(target) if isinstance(target, tuple | list) else ()
    if not names or (target is not None and not all(isinstance(name, str) for name in names)) or \
            len(set(names)) < len(names) or any(len(name) > LONGEST_NAME for name in names if name):
        raise InvalidType(f"target={quoted(repr(target))}; wanted a column's name, or names that differ")
    return target if isinstance(target, str | None) else names


def check_target_scaling(scaling, task):
    """Return the Scaling of targets, both (k,); None where it changes nothing."""
    if scaling is None:
        return None
    if task != "numbers":
        raise InvalidValue(f"target_scaling={quoted(repr(scaling))} with task={task!r}: only numbers are scaled")
    sizes = [np.size(value) for value in scaling] if isinstance(scaling, tuple | list) else [0]
    found = check_scaling(scaling, (max(sizes),))
    return found and Scaling(*(np.broadcast_to(value, (max(sizes),)) for value in found))


def check_scaling(scaling, shape):
    """Return the Scaling in float64: finite, no scale 0, and broadcasting with a row; None where it changes nothing."""
    if scaling is None:
        return None
    if not (isinstance(scaling, tuple | list) and len(scaling) == 2):
        raise InvalidType(f"scaling={quoted(repr(scaling))}; wanted (shift, scale), or None for rows as given")
    found = []
    for name, value in zip(("shift", "scale"), scaling, strict=True):
        array = np.array(as_numbers(name, value), np.float64)
        check_finite(name, np.atleast_1d(array))
        try:
            fits = np.broadcast_shapes(array.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise InvalidValue(f"{name} has the shape {array.shape}, which does not fit a row of shape {shape}")
        array.flags.writeable = False
        found.append(array)
    if not found[1].all():
        raise InvalidValue("scale holds 0; wanted other numbers, for rows are divided by it")
    return Scaling(*found) if found[0].any() or (found[1] != 1).any() else None


def check_names(names, shape):
    """Return the names of the columns as a tuple: one for each feature, all different."""
    if names is None:
        return None
    names = tuple(names)
    if len(shape) != 1 or len(names) != shape[0] or not all(isinstance(name, str) for name in names):
        raise InvalidValue(f"feature_names holds {listed(names)}; wanted {math.prod(shape)} names for rows of shape "
                           f"{shape}, which must be flat")
    if len(set(names)) < len(names):
        raise InvalidValue(f"feature_names holds {listed([n for n in names if names.count(n) > 1][:1])} twice")
    return names


def check_list(what, values):
    """Refuse what a file says of labels or names unless it is a list of whole numbers, numbers or short texts."""
    right = values is None or (isinstance(values, list) and all(isinstance(v, str | int | float) for v in values))
    if not right or any(len(v) > LONGEST_NAME for v in values or () if isinstance(v, str)):
        raise InvalidType(f"its signature has {what} {quoted(repr(values))}; wanted a list of numbers or text")


def plain_scaling(scaling):
    """Return the (shift, scale) that a file holds, or None."""
    if scaling is None:
        return None
    if not isinstance(scaling, dict) or set(scaling) != {"shift", "scale"}:
        raise InvalidValue(f"its signature has the scaling {quoted(repr(scaling))}")
    return plain_numbers(scaling["shift"]), plain_numbers(scaling["scale"])


def plain_numbers(values):
    """Return nested lists of numbers as they are; InvalidType for anything else, such as text that looks like one."""
    level = [values]
    for _ in range(MOST_AXES + 1):
        if not any(isinstance(value, list) for value in level):
            break
        level = [inner for value in level for inner in (value if isinstance(value, list) else [value])]
    if not all(type(value) in (int, float) for value in level):
        raise InvalidType("its signature has a scaling that holds other things than numbers")
    return values

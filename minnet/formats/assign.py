"""Write arrays from other libraries into a model: all of them, or none.

    put(model, {"dense1.weight": array, ...}, path)          # every parameter that is not listed stays as it is
    put(model, arrays, path, problems=["..."])                # what the caller has found wrong already
    put(model, arrays, path, zeros="keep")                    # zeros of weights stay live
    sorted(names, key=natural)                                # conv_10 after conv_2

One message lists all that does not fit, before the first number is written.
"""
import re

import numpy as np

from minnet.engine.containers import Branches
from minnet.errors import MinnetError, file_error, quoted, unknown
from minnet.formats.layout import check_numbers
from minnet.kernels.steps import zero_masked

ZEROS = ("auto", "mask", "keep")
MANY = 0.05     # of a layer's weights: so many that are exactly 0 were pruned
MOST_TOLD = 6   # problems that one message names
FIX = "is it the file of this architecture?"


def of_sixteen_bits(kinds):
    """Return [what there is to say of a file of `kinds`, such as {"float16"}], an empty list where it has none."""
    return [f"the file is of {' and '.join(sorted(kinds))}: numbers and arithmetic are float32 here, so that outputs "
            "differ by what rounding to 16 bits does there"] if kinds else []


def put(model, arrays, path, problems=(), *, zeros="auto", masks=None):
    """Write `arrays`, {name of a parameter: array of its dense shape}, into `model`; its mask stays and cuts them.

    `zeros` says what becomes of weights that are exactly 0: "mask" masks them, "keep" leaves them live, "auto" masks
    those of layers in which they are at least MANY of the weights. What `masks`, {name: bool array}, cuts is masked
    too. Raises FileError about `path` that lists `problems` and all arrays of wrong shape, or with NaN or infinity, and
    UnknownName for another word in `zeros`; then the model is as it was.
    """
    if zeros not in ZEROS:
        raise unknown("zeros", zeros, ZEROS)
    problems = [*problems, *filter(None, (_problem(model.parameters[name], array) for name, array in arrays.items()))]
    if problems:
        more = f"; and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
        raise file_error(path, f"does not fit the model: {'; '.join(problems[:MOST_TOLD])}{more}", FIX)
    for name, array in arrays.items():
        p = model.parameters[name]
        p.value[...] = _of(p, array)
        if p.kind == "weight":
            p.mask[_pruned(p.value, zeros)] = False
        if masks and name in masks:
            p.mask[~_of(p, masks[name])] = False
    zero_masked(model.mask, model.values)


def _of(p, array):
    """Return the entries of an array of the dense shape that the Parameter `p` has."""
    return array if p.index is None else array.reshape(-1)[p.index]


def _pruned(value, zeros):
    """Return where weights are exactly 0 because they were pruned, by the rule `zeros`."""
    dead = value == 0
    if zeros == "keep" or (zeros == "auto" and np.count_nonzero(dead) < MANY * dead.size):
        dead[...] = False
    return dead


def dense_of(p, given=None):
    """Return (values, mask) of the Parameter `p` in its dense shape, also where it was born sparse.

    The values are p's own, or those `given` in their place.
    """
    given = p.value if given is None else given
    if p.index is None:
        return given, p.mask
    values, mask = np.zeros(p.size, given.dtype), np.zeros(p.size, bool)
    values[p.index], mask[p.index] = given, p.mask
    return values.reshape(p.shape), mask.reshape(p.shape)


def natural(text):
    """Return a key for sorting in which the numbers in a name count as numbers."""
    parts = re.split(r"0*([0-9]+)", text)   # numbers by their digits: Python makes no int of thousands of them
    return [(len(part), part) if i % 2 else part for i, part in enumerate(parts)]


def numbers_in(name):
    """Return the whole numbers in a name, those of more than 18 digits in pieces."""
    return [int(number) for number in re.findall(r"[0-9]{1,18}", name)]


def is_chain(layer):
    """Return whether the layers inside `layer` form a chain, so that their order identifies them."""
    return not isinstance(layer, Branches) and all(is_chain(child) for child in layer.children())


def _problem(p, array):
    """Return what is wrong with the array for the Parameter `p`, or None."""
    if array.shape != p.shape:
        return f"{quoted(p.name)} has the shape {array.shape}, wanted {p.shape}"
    try:
        check_numbers(p.name, array)
        with np.errstate(over="ignore"):
            check_numbers(p.name, array.astype(p.value.dtype, copy=False))
    except MinnetError as error:
        return str(error)
    return None

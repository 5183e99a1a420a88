"""Compute what depends on no input in an ONNX graph: weights, and the shapes that Reshape is given.

    array = fold(node, [array, ...], most)      # the node's output; UnsupportedGraph where it is not known how

Exporters write a constant as a Constant, Transpose or Cast of an initializer, and the target of a Reshape as Shape,
Gather, Slice and Concat. In a shape the number of images is BATCH, with which nothing is computed. No result has more
than `most` numbers.
"""
import math

import numpy as np

from minnet.errors import MinnetError, quoted

UNTOLD_ZERO = np.zeros((), np.uint8)    # the zero point of a QuantizeLinear that has none
BATCH = -2**30  # no size, and the same number as int32, int64 and float32


class UnsupportedGraph(MinnetError):
    """Say why a node, or a whole graph, cannot be read; the FileError about the file repeats it."""


def fold(node, arrays, most):
    """Return the output of `node`, whose inputs are `arrays` (None where left out). Raises UnsupportedGraph."""
    if node.op not in FOLDS:
        raise UnsupportedGraph(f"{node.op} of constants")
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused where it becomes a weight
            return FOLDS[node.op](node, most, *arrays)
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UnsupportedGraph(f"{node.op} of constants that do not fit: {error}") from error


def check_shape(most, shape):
    """Return `shape` as a tuple of int, refusing one of more than `most` numbers."""
    shape = tuple(int(n) for n in shape)
    if math.prod(shape) > most or any(n < 0 for n in shape):
        raise UnsupportedGraph(f"a constant of shape {shape}, which is more than the file can mean")
    return shape


def shape_of(node, shape):
    """Return the output of Shape: a slice of `shape`."""
    return np.array(shape[node.attrs.get("start", 0) : node.attrs.get("end", len(shape))], np.int64)


def axes_of(node, array, default=None):
    """Return the axes of an operator such as Squeeze: an attribute in older files, an input in newer ones."""
    if array is not None:
        return [int(n) for n in np.ravel(array)]
    return node.attrs.get("axes", default)


def _identity(node, most, x):
    return x


def _cast(node, most, x):
    import onnx

    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.attrs["to"]))
    if dtype.kind not in "fiub":
        raise UnsupportedGraph(f"Cast to {dtype}")
    return x.astype(dtype)


def _shape(node, most, x):
    return shape_of(node, x.shape)


def _reshape(node, most, x, shape):
    keep = 0 if node.attrs.get("allowzero") else x.ndim
    return x.reshape([x.shape[i] if n == 0 and i < keep else int(n) for i, n in enumerate(shape)])


def _transpose(node, most, x):
    return x.transpose(node.attrs.get("perm"))


def _unsqueeze(node, most, x, axes=None):
    axes = axes_of(node, axes)
    rank = x.ndim + len(axes)
    return np.expand_dims(x, tuple(a % rank for a in axes))


def _squeeze(node, most, x, axes=None):
    axes = axes_of(node, axes)
    return np.squeeze(x, None if axes is None else tuple(axes))


def _concat(node, most, *arrays):
    check_shape(most, [sum(array.size for array in arrays)])
    return np.concatenate(arrays, node.attrs["axis"])


def _gather(node, most, x, index):
    axis = node.attrs.get("axis", 0)
    check_shape(most, [*x.shape[:axis], index.size, *x.shape[axis:]])
    return np.take(x, index.astype(np.int64), axis)


def _slice(node, most, x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes.tolist()
    steps = [1] * len(starts) if steps is None else steps.tolist()
    window = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        window[axis] = slice(start, end if end != np.iinfo(np.int64).min else None, step)
    return x[tuple(window)]


def _constant_of_shape(node, most, shape):
    value = node.attrs.get("value", np.zeros(1, np.float32))
    return np.full(check_shape(most, shape), value.reshape(-1)[0])


def _scatter_elements(node, most, x, index, updates):
    if node.attrs.get("reduction", "none") != "none":
        raise UnsupportedGraph(f"ScatterElements with the reduction {quoted(repr(node.attrs['reduction']))}")
    filled = x.copy()
    np.put_along_axis(filled, index.astype(np.int64), updates, node.attrs.get("axis", 0))
    return filled


def _dequantize(node, most, q, scale, zero=None):
    """Compute (q - zero) * scale of a constant, one scale for all or for each index of an axis."""
    check_shape(most, q.shape)
    if node.attrs.get("block_size", 0):
        raise UnsupportedGraph("DequantizeLinear of blocks")
    shape = [1] * q.ndim
    if scale.size > 1:
        shape[node.attrs.get("axis", 1)] = -1
    zero = 0 if zero is None else zero.astype(np.float32).reshape(shape)
    return ((q.astype(np.float32) - zero) * scale.reshape(shape)).astype(np.float32)


def _quantize(node, most, x, scale, zero=None):
    """Round a constant to whole numbers, as the net of a training that knows of it has its weights."""
    check_shape(most, x.shape)
    zero = UNTOLD_ZERO if zero is None else zero
    if zero.dtype.kind not in "iu":
        raise UnsupportedGraph(f"QuantizeLinear to {zero.dtype}")
    shape = [1] * x.ndim
    if scale.size > 1:
        shape[node.attrs.get("axis", 1)] = -1
    limits = np.iinfo(zero.dtype)
    rounded = np.rint(x / scale.reshape(shape)) + zero.reshape(shape if zero.size > 1 else [1] * x.ndim)
    return np.clip(rounded, limits.min, limits.max).astype(zero.dtype)


def _divide(a, b):
    """Return a / b, for whole numbers rounded towards zero."""
    return a / b if a.dtype.kind == "f" else np.sign(a) * np.sign(b) * (abs(a) // abs(b))


def _arithmetic(compute):
    def folded(node, most, *arrays):
        if any((array == BATCH).any() for array in arrays):
            raise UnsupportedGraph(f"{node.op} computes with the number of images")
        check_shape(most, np.broadcast_shapes(*[array.shape for array in arrays]))
        return compute(*arrays)
    return folded


FOLDS = {
    "Identity": _identity, "Cast": _cast, "Shape": _shape, "Reshape": _reshape, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Transpose": _transpose, "Concat": _concat, "Gather": _gather, "Slice": _slice,
    "ConstantOfShape": _constant_of_shape, "ScatterElements": _scatter_elements,
    "QuantizeLinear": _quantize, "DequantizeLinear": _dequantize, "Neg": _arithmetic(np.negative),
    "Sqrt": _arithmetic(np.sqrt), "Reciprocal": _arithmetic(np.reciprocal), "Add": _arithmetic(np.add),
    "Sub": _arithmetic(np.subtract), "Mul": _arithmetic(np.multiply), "Div": _arithmetic(_divide),
}

"""How the arguments of every kernel are drawn: one row a kernel in CASES, at the foot of the file.

Shapes are ragged and sometimes empty, numbers hold NaN, infinities and denormals wherever a kernel takes them, and
slices of wider arrays stand for whole ones where a kernel takes those.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import reference
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minnet.kernels.mlp.dense import Mlp
from minnet.kernels.mlp.zero_blocks import BLOCK_COLUMNS, SLAB_COLUMNS, slabs_of
from minnet.kernels.steps import SETTINGS

TINY = float(np.float32(1e-40))  # a denormal number in float32
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, TINY, -TINY, 1.0, -1.0]

few = st.integers(0, 40)
some = st.integers(1, 20)
fraction = st.sampled_from([0.0, 0.1, 0.5, 0.9])
plain = st.floats(-2, 2, width=32)
eighths = st.integers(-16, 16).map(lambda i: i / 8)  # their products neither over- nor underflow
odd = plain | st.sampled_from(SPECIAL)


def floats(draw, dtype, *shape, elements=odd):
    """An array of that shape: all numbers between -2 and 2, and NaN, infinities and denormals where they are legal."""
    return draw(arrays(dtype, tuple(map(int, shape)), elements=elements, fill=elements))


def flags(draw, size):
    return draw(arrays(bool, size))


@st.composite
def elementwise(draw, dtype, inputs, scalars=0):
    """Flat arrays of one size with scalars before the last."""
    size = draw(few)
    given_arrays = [floats(draw, dtype, size) for _ in range(inputs)]
    return *given_arrays, *[draw(fraction) for _ in range(scalars)], np.empty(size, dtype)


@st.composite
def pairs(draw, dtype):
    size = draw(few)
    return floats(draw, dtype, size), floats(draw, dtype, size)


@st.composite
def dropouts(draw, dtype):
    x, y = draw(elementwise(dtype, 1))
    keep = flags(draw, x.size)
    return x, keep if draw(st.booleans()) else keep.view(np.uint8), draw(fraction), y


@st.composite
def biases(draw, dtype):
    rows, columns = draw(few), draw(some)
    return floats(draw, dtype, columns), floats(draw, dtype, rows, columns)


@st.composite
def sums(draw, dtype):
    rows, columns = draw(few), draw(some)
    return floats(draw, dtype, rows, columns), np.empty(columns, dtype)


@st.composite
def square_sums(draw, dtype):
    columns = draw(some)
    return floats(draw, dtype, draw(few), columns), np.abs(floats(draw, np.float64, columns))


@st.composite
def regressions(draw, dtype):
    shape = draw(few), draw(some)
    outputs, targets = floats(draw, dtype, *shape), floats(draw, dtype, *shape)
    return outputs, targets, draw(fraction), np.empty(shape[0]), np.empty(shape, dtype)


@st.composite
def classifications(draw, dtype):
    rows, classes = draw(few), draw(some)
    logits = floats(draw, dtype, rows, classes, elements=odd | st.sampled_from([-1e4, 1e4]))
    labels = draw(arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    return logits, labels, draw(fraction), 1.0, np.empty(rows), np.empty((rows, classes), dtype)


@st.composite
def unsmoothed(draw, dtype):
    logits, labels, _, *rest = draw(classifications(dtype))
    return logits, labels, *rest


@st.composite
def masks(draw, dtype):
    size = draw(few)
    return flags(draw, size), floats(draw, dtype, size)


@st.composite
def additions(draw, dtype):
    size = draw(few)
    return draw(fraction), floats(draw, dtype, size), floats(draw, dtype, size)


@st.composite
def thresholds(draw, dtype):
    return floats(draw, dtype, draw(few)), draw(fraction)


def cut(draw, whole):
    """The whole of a 2-D array or, by chance, the same numbers as a slice of the columns of a wider one."""
    if draw(st.booleans()):
        return whole
    return np.concatenate([whole, whole], axis=1)[:, : whole.shape[1]]


@st.composite
def gradients(draw, dtype):
    shards, size = draw(st.integers(1, 3)), draw(few)
    return cut(draw, floats(draw, dtype, shards, size)), np.empty(1)


def numbers(settings):
    """The settings of a step as a kernel takes them."""
    return np.array([*settings, *[0.0] * (SETTINGS - len(settings))])


@st.composite
def sgd_steps(draw, dtype):
    grads, _ = draw(gradients(dtype))
    size = grads.shape[1]
    settings = [draw(fraction), draw(fraction), draw(st.booleans()), draw(fraction), draw(fraction)]
    vectors = floats(draw, dtype, size), floats(draw, dtype, size)
    return grads, flags(draw, size), draw(fraction), numbers(settings), draw(st.integers(0, size)), *vectors


@st.composite
def adam_steps(draw, dtype):
    grads, _ = draw(gradients(dtype))
    size = grads.shape[1]
    scale, *settings = [*[draw(fraction) for _ in range(4)], 1e-2, 0.5, draw(fraction), draw(fraction)]
    moments = floats(draw, dtype, 2, size)
    moments[1] = np.abs(moments[1])
    vectors = floats(draw, dtype, size), cut(draw, moments)
    return grads, flags(draw, size), scale, numbers(settings), draw(st.integers(0, size)), *vectors


@st.composite
def lion_steps(draw, dtype):
    """Numbers and betas that are eighths or zero, times NaN and infinity: no sign depends on rounding."""
    size, shards = draw(few), draw(st.integers(1, 3))
    exact = eighths | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0])
    grads = floats(draw, dtype, shards, size, elements=exact)
    values, momentum = (floats(draw, dtype, size, elements=exact) for _ in "wm")
    settings = [draw(fraction), *(draw(st.sampled_from([0.0, 0.5, 0.75])) for _ in range(4))]
    return cut(draw, grads), flags(draw, size), 0.5, numbers(settings), draw(st.integers(0, size)), values, momentum


@st.composite
def products(draw, dtype):
    rows, columns = draw(few), draw(few)
    return floats(draw, dtype, rows), floats(draw, dtype, rows, columns, elements=plain), np.empty(columns, dtype)


SLAB_SIZES = [1, 3, SLAB_COLUMNS - 1, SLAB_COLUMNS, SLAB_COLUMNS + 1, 2 * SLAB_COLUMNS + 3]


def block_lists(dtype, columns, room):
    """Room for the lists of blocks.py: index, value, count. What stands behind the count is never read."""
    blocks = -(-columns // BLOCK_COLUMNS)
    value = np.zeros(blocks * room * BLOCK_COLUMNS, dtype)
    return np.zeros((blocks, room), np.int32), value, np.zeros(blocks, np.int32)


@st.composite
def dark_columns(draw, dtype, elements=odd):
    """Some columns of some rows, and room for more rows than these."""
    X = floats(draw, dtype, draw(st.integers(1, 5)), draw(some), elements=st.just(0.0) | elements)
    rows = draw(arrays(np.int64, st.integers(1, 9), elements=st.integers(0, len(X) - 1)))
    low = draw(st.integers(0, X.shape[1] - 1))
    high = draw(st.integers(low + 1, X.shape[1]))
    lists = block_lists(dtype, high - low, rows.size + draw(st.integers(0, 3)))
    return X, rows, low, high, draw(st.integers(0, lists[0].size)), *lists


@st.composite
def listed(draw, dtype):
    """(number of columns, number of outputs, the lists)."""
    X, rows, low, high, _, *lists = draw(dark_columns(dtype, plain))
    reference.list_blocks(X, rows, low, high, lists[0].size, *lists)
    return high - low, draw(st.sampled_from(SLAB_SIZES)), lists


@st.composite
def multiplied(draw, dtype):
    k, o, lists = draw(listed(dtype))
    room = lists[0].shape[1]
    n = draw(st.integers(1 + max((max(row[:c], default=0) for row, c in zip(lists[0], lists[-1], strict=True))), room))
    scratch = np.zeros(BLOCK_COLUMNS * SLAB_COLUMNS, dtype), np.zeros(room * SLAB_COLUMNS, dtype)
    return *lists, floats(draw, dtype, k * o, elements=plain), o, *scratch, np.empty(n * o, dtype)


@st.composite
def cut_in_slabs(draw, dtype, n=None, o=None, room=None):
    n, o = n or draw(some), o or draw(st.sampled_from(SLAB_SIZES))
    low = 0 if room else draw(st.integers(0, 3))
    room = room or low + n + draw(st.integers(0, 3))
    return floats(draw, dtype, n, o, elements=plain), low, room, np.zeros(slabs_of(o) * room * SLAB_COLUMNS, dtype)


@st.composite
def pulled(draw, dtype):
    k, o, lists = draw(listed(dtype))
    room = lists[0].shape[1]
    dy, low, _, slabs = draw(cut_in_slabs(dtype, room, o, room))
    reference.cut_slabs(dy, low, room, slabs)
    return *lists, slabs, o, np.zeros(BLOCK_COLUMNS * SLAB_COLUMNS, dtype), np.empty(k * o, dtype)


def what_is_listed(*arguments):
    """Of the lists, the last three arguments, what stands before the count; nothing where they were given up."""
    index, value, count = arguments[-3:]
    if count[-1] < 0:
        return [count[-1:]]
    there = np.arange(index.shape[1]) < count[:, None]
    return [count, index[there], value.reshape(*index.shape, BLOCK_COLUMNS)[there]]


@st.composite
def moved_rows(draw, dtype):
    base = floats(draw, dtype, draw(some), draw(few))
    rows = draw(arrays(np.int64, few, elements=st.integers(0, len(base) - 1)))
    shape = rows.size, base.shape[1]
    return base, rows, floats(draw, dtype, shape[0]), floats(draw, dtype, shape[1]), np.empty(shape, dtype)


@st.composite
def chains(draw, dtype):
    """A chain of dense layers: (net, values), with a gap in the vector before each layer but the first."""
    widths = np.array(draw(st.lists(st.integers(1, 7), min_size=2, max_size=4)))
    starts, end = [], 0
    for ins, outs in pairwise(widths):
        weight = end + draw(st.integers(0, 2)) * (end > 0)
        bias = weight + ins * outs if draw(st.booleans()) else -1
        starts.append([weight, bias])
        end = weight + ins * outs + (outs if bias >= 0 else 0)
    return Mlp(widths, np.array(starts)), floats(draw, dtype, end, elements=eighths)  # so no ReLU hangs on rounding


@st.composite
def chain_passes(draw, dtype, backward=False):
    """A chain and room for n rows of its outputs, and of what goes back."""
    net, values = draw(chains(dtype))
    n = draw(st.integers(1, 5))
    work = [floats(draw, dtype, n * int(net.widths[1:].sum()), elements=plain) for _ in range(1 + backward)]
    return net, values, n, *work, *([np.zeros_like(values)] if backward else [])


@st.composite
def columns_taken(draw, dtype):
    X, rows, low, high, *_ = draw(dark_columns(dtype))
    return X, rows, low, np.empty((rows.size, high - low), dtype)


@st.composite
def channels(draw, dtype, rows):
    x = floats(draw, dtype, draw(rows), draw(some), elements=plain)
    return x, np.empty(x.shape[1], dtype), np.empty(x.shape[1], dtype)


@st.composite
def normalisations(draw, dtype):
    x = floats(draw, dtype, draw(few), draw(some))
    return x, *[floats(draw, dtype, x.shape[1], elements=eighths) for _ in range(4)], np.empty_like(x)


@st.composite
def normalisation_gradients(draw, dtype):
    x, dgain, dshift = draw(channels(dtype, some))
    per_channel = [floats(draw, dtype, x.shape[1], elements=plain) for _ in range(3)]
    return floats(draw, dtype, *x.shape, elements=plain), x, *per_channel, np.empty_like(x), dgain, dshift


@st.composite
def windows(draw):
    """Shapes of image and output, then size, stride and padding of the window: any that are positive are legal."""
    n, c = draw(st.integers(0, 2)), draw(st.sampled_from([1, 2, 3, 9, 20]))
    image = n, draw(st.integers(1, 7)), draw(st.integers(1, 7)), c
    output = n, draw(st.integers(0, 4)), draw(st.integers(0, 4)), c
    return image, output, [draw(st.integers(1, 4)) for _ in "hw"], [draw(st.integers(1, 3)) for _ in "hwhw"]


@st.composite
def columns_of(draw, dtype, back):
    image, output, size, place = draw(windows())
    cols = (*output[:3], *size, image[3])
    source, target = (cols, image) if back else (image, cols)
    return floats(draw, dtype, *source, elements=plain if back else odd), *place, np.empty(target, dtype)


@st.composite
def pools(draw, dtype, back=False, elements=plain):
    image, output, size, place = draw(windows())
    source, target = (output, image) if back else (image, output)
    return floats(draw, dtype, *source, elements=elements), *size, *place, np.empty(target, dtype)


@st.composite
def max_pools(draw, dtype):
    *arguments, y = draw(pools(dtype, elements=odd))
    return *arguments, y, np.empty(y.shape, np.int32)


@st.composite
def max_pool_gradients(draw, dtype):
    dy, *arguments = draw(pools(dtype, back=True))
    winner = draw(arrays(np.int32, dy.shape, elements=st.integers(-1, arguments[0] * arguments[1] - 1)))
    return dy, winner, *arguments


@st.composite
def planes(draw, dtype):
    (n, h, w, _), output, size, place = draw(windows())
    place = [*place[:2], *(draw(st.integers(0, 3)) for _ in "hw")]
    return floats(draw, dtype, n, h, w, 1), *place, np.empty((*size, *output[:3]), dtype)


@st.composite
def convolutions_pooled(draw, dtype, back=False):
    """A convolution of any window and the pool on it, forward or backward, some images at a time."""
    at_once, rows, columns, filters = y = tuple(draw(st.integers(1, 4)) for _ in range(4))
    image = tuple(draw(st.integers(1, 5)) for _ in range(4))
    kernel = [draw(st.integers(1, 3)) for _ in "hw"]
    conv = *kernel, *(draw(st.integers(1, 2)) for _ in "hw"), *(draw(st.integers(0, 2)) for _ in "hw")
    pool = [draw(st.integers(1, side)) for side in (rows, columns)]
    stride = [draw(st.integers(1, 3)) for _ in "hw"]
    sides = ((side - p) // s + 1 for side, p, s in zip((rows, columns), pool, stride, strict=True))
    pooled = (image[0], *sides, filters)
    x = floats(draw, dtype, *image, elements=plain)
    w = floats(draw, dtype, kernel[0] * kernel[1] * image[3], filters, elements=plain)
    sizes, part = (*conv, *pool, *stride), sorted(draw(st.integers(0, image[0])) for _ in range(2))
    scratch = np.empty((at_once * rows * columns, len(w)), dtype), np.empty(y, dtype)
    if not back:
        b = floats(draw, dtype, draw(st.sampled_from([0, filters])), elements=plain)
        return x, w, b, sizes, *part, *scratch, np.zeros(pooled, dtype), np.zeros(pooled, np.int32)
    dpooled = floats(draw, dtype, *pooled, elements=plain)
    winner = draw(arrays(np.int32, pooled, elements=st.integers(0, pool[0] * pool[1] - 1)))
    dx = np.zeros(image if draw(st.booleans()) else (0, *image[1:]), dtype)
    dw = floats(draw, dtype, *w.shape, elements=plain)
    return dpooled, winner, x, w, sizes, *part, *scratch, np.empty_like(w), dw, dx


@st.composite
def depthwise(draw, dtype, role):
    """Role is which of the three arrays x, w and y is computed from the others."""
    image, output, size, place = draw(windows())
    multiplier = draw(st.integers(1, 3))
    x = floats(draw, dtype, *image, elements=plain)
    w = floats(draw, dtype, *size, image[3], multiplier, elements=plain)
    y = floats(draw, dtype, *output[:3], image[3] * multiplier, elements=plain)
    return {"y": (x, w, *place, y), "x": (y, w, *place, x), "w": (y, x, *place, w)}[role]


@st.composite
def rankings(draw, dtype):
    """Scores with many ties, who may go, how many go, and room for the answer."""
    score = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, TINY, 1.0, np.inf]) | st.floats(width=32, allow_nan=False)
    scores = floats(draw, dtype, draw(few), elements=score)
    state = draw(arrays(np.uint8, scores.size, elements=st.integers(0, 2)))
    return scores, state, draw(st.integers(0, int((state != 1).sum()))), np.empty(scores.size, bool)


@st.composite
def marked(draw, dtype):
    scores, state, _, out = draw(rankings(dtype))
    kth = draw(st.sampled_from([*scores, dtype(0)]))
    return scores, state, kth, draw(st.integers(0, int(((state == 0) & (scores == kth)).sum()))), out


@st.composite
def ranked_bits(draw, dtype):
    scores, state, _, _ = draw(rankings(dtype).filter(lambda ranking: (ranking[1] == 0).any()))
    bits = scores.view(f"u{scores.itemsize}")
    counts, ties = np.empty(1 << draw(st.sampled_from([1, 5, 11])), np.int64), np.empty(1, np.int64)
    return bits, state, draw(st.integers(1, int((state == 0).sum()))), counts, ties, np.empty(1, bits.dtype)


@dataclass(frozen=True)
class Case:
    """How the arguments of a kernel are drawn, how many of the last it writes, and whether its bits are the twin's.

    `means` takes the arguments and returns those parts of what was written that mean something, if not all do.
    """

    draw: callable
    writes: int = 1
    exact: bool = False
    means: callable = None


@st.composite
def digits(draw, dtype):
    found = draw(arrays(np.uint16, draw(few)))
    return found, flags(draw, found.size), draw(arrays(np.int64, 1 << 16, elements=st.integers(0, 9), fill=st.just(0)))


CASES = {
    "count_digits": Case(digits, exact=True),
    "relu": Case(lambda dtype: elementwise(dtype, 1), exact=True),
    "relu_backward": Case(lambda dtype: elementwise(dtype, 2), exact=True),
    "normal_cdf": Case(lambda dtype: elementwise(dtype, 1)),
    "leaky_relu": Case(lambda dtype: elementwise(dtype, 1, scalars=1)),
    "leaky_relu_backward": Case(lambda dtype: elementwise(dtype, 2, scalars=1)),
    "dropout": Case(dropouts),
    "add_bias": Case(biases),
    "add_bias_relu": Case(biases),
    "add_scaled": Case(additions),
    "add_squares": Case(square_sums),
    "column_sums": Case(sums),
    "squared_error": Case(regressions, writes=2),
    "binary_cross_entropy": Case(regressions, writes=2),
    "multiclass_hinge": Case(unsmoothed, writes=2),
    "softmax_cross_entropy": Case(classifications, writes=2),
    "zero_masked": Case(masks, exact=True),
    "soft_threshold": Case(thresholds, writes=2, exact=True),
    "square_norm": Case(gradients),
    "sgd_step": Case(sgd_steps, writes=2),
    "adam_step": Case(adam_steps, writes=2),
    "lion_step": Case(lion_steps, writes=2),
    "vector_matrix": Case(products),
    "list_blocks": Case(dark_columns, writes=3, exact=True, means=what_is_listed),
    "blocks_forward": Case(multiplied, writes=3, means=lambda *arguments: arguments[-1:]),
    "cut_slabs": Case(cut_in_slabs, exact=True),
    "blocks_backward": Case(pulled, writes=2, means=lambda *arguments: arguments[-1:]),
    "gather_columns": Case(columns_taken, exact=True),
    "move_rows": Case(moved_rows),
    "mask_dead": Case(pairs, exact=True),
    "mlp_forward": Case(chain_passes),
    "mlp_backward": Case(lambda dtype: chain_passes(dtype, backward=True), writes=2),
    "batch_norm": Case(normalisations),
    "channel_moments": Case(lambda dtype: channels(dtype, some), writes=2),
    "batch_norm_backward": Case(normalisation_gradients, writes=3),
    "im2col": Case(lambda dtype: columns_of(dtype, back=False), exact=True),
    "col2im": Case(lambda dtype: columns_of(dtype, back=True)),
    "im2col_planes": Case(planes, exact=True),
    "conv_pool": Case(convolutions_pooled, writes=4, means=lambda *arguments: arguments[-2:-1]),
    "conv_pool_backward": Case(lambda dtype: convolutions_pooled(dtype, back=True), writes=5,
                               means=lambda *arguments: arguments[-2:]),
    "average_pool": Case(pools),
    "average_pool_backward": Case(lambda dtype: pools(dtype, back=True)),
    "max_pool": Case(max_pools, writes=2, exact=True),
    "max_pool_backward": Case(max_pool_gradients),
    "depthwise_conv": Case(lambda dtype: depthwise(dtype, "y")),
    "depthwise_conv_backward_input": Case(lambda dtype: depthwise(dtype, "x")),
    "depthwise_conv_backward_weight": Case(lambda dtype: depthwise(dtype, "w")),
    "mark_lowest": Case(marked, exact=True),
    "kth_lowest": Case(ranked_bits, writes=3, exact=True, means=lambda *arguments: arguments[-2:]),
}

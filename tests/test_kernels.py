"""Every kernel gives what its plain twin in `reference.py` gives, for odd shapes and odd numbers.

A new kernel needs a twin, and a row in CASES that says how its arguments are drawn. The walk is repeated by the plain
Python of the kernels (NUMBA_DISABLE_JIT=1) and with checked indices (NUMBA_BOUNDSCHECK=1), each in its own process.
"""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minnet import kernels
from minnet.kernels.select import MANY, select_lowest
from minnet.kernels.steps import adam_step, sgd_step, soft_threshold, square_norm

TINY = np.float32(1e-40)  # a denormal number in float32
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, float(TINY), -float(TINY), 1.0, -1.0]
FLOATS = [np.float32, np.float64]
ROUNDING = 64  # units in the last place that a kernel may be away from its twin
EXAMPLES = int(os.environ.get("MINNET_KERNEL_EXAMPLES", "60"))


# --- how arguments are drawn -----------------------------------------------------------------------------------------

few = st.integers(0, 40)
some = st.integers(1, 20)
fraction = st.sampled_from([0.0, 0.1, 0.5, 0.9])
plain = st.floats(-2, 2, width=32)
odd = plain | st.sampled_from(SPECIAL)


def floats(draw, dtype, *shape, elements=odd):
    """An array of that shape: all numbers between -2 and 2, and NaN, infinities and denormals where they are legal."""
    return draw(arrays(dtype, shape, elements=elements, fill=elements))


def flags(draw, size):
    return draw(arrays(bool, size))


@st.composite
def elementwise(draw, dtype, inputs, scalars=0):
    """Flat arrays of one size with scalars before the last."""
    size = draw(few)
    given_arrays = [floats(draw, dtype, size) for _ in range(inputs)]
    return *given_arrays, *[draw(fraction) for _ in range(scalars)], np.empty(size, dtype)


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


@st.composite
def sgd_steps(draw, dtype):
    grads, _ = draw(gradients(dtype))
    size = grads.shape[1]
    scalars = [draw(fraction), draw(fraction), draw(fraction), draw(st.booleans()), draw(fraction), draw(fraction)]
    vectors = floats(draw, dtype, size), floats(draw, dtype, size)
    return grads, flags(draw, size), *scalars, draw(st.integers(0, size)), *vectors


@st.composite
def adam_steps(draw, dtype):
    grads, _ = draw(gradients(dtype))
    size = grads.shape[1]
    scalars = [draw(fraction), draw(fraction), draw(fraction), draw(fraction), 1e-2, 0.5, draw(fraction), draw(fraction)]
    moments = floats(draw, dtype, 2, size)
    moments[1] = np.abs(moments[1])
    return grads, flags(draw, size), *scalars, draw(st.integers(0, size)), floats(draw, dtype, size), cut(draw, moments)


@st.composite
def products(draw, dtype):
    rows, columns = draw(few), draw(few)
    return floats(draw, dtype, rows), floats(draw, dtype, rows, columns, elements=plain), np.empty(columns, dtype)


def row_lists(dtype, rows, columns):
    """Room for the nonzeros of (rows, columns): index, value, count. What stands behind the count is never read."""
    return np.zeros((rows, columns), np.int32), np.zeros((rows, columns), dtype), np.zeros(rows, np.int64)


@st.composite
def dark_rows(draw, dtype):
    x = floats(draw, dtype, draw(some), draw(some), elements=st.just(0.0) | odd)
    return x, draw(st.integers(0, x.size)), *row_lists(dtype, *x.shape)


@st.composite
def nonzeros(draw, dtype):
    x = floats(draw, dtype, draw(few), draw(some), elements=st.just(0.0) | plain)
    found = row_lists(dtype, *x.shape)
    reference.compress_rows(x, x.size, *found)
    return found


@st.composite
def turns(draw, dtype):
    found = draw(nonzeros(dtype))
    return *found, *row_lists(dtype, *found[0].shape[::-1])


@st.composite
def gathered(draw, dtype):
    found = draw(nonzeros(dtype))
    rows, inputs = found[0].shape
    outputs = draw(some)
    return *found, floats(draw, dtype, inputs, outputs, elements=plain), np.empty((rows, outputs), dtype)


def what_is_listed(*arguments):
    """Of a list of nonzeros, the last three arguments, what stands before the count; nothing where it was given up."""
    index, value, count = arguments[-3:]
    if count.size and count[-1] < 0:
        return [count[-1:]]
    listed = np.arange(index.shape[1]) < count[:, None]
    return [count, index[listed], value[listed]]


@st.composite
def channels(draw, dtype, rows):
    x = floats(draw, dtype, draw(rows), draw(some), elements=plain)
    return x, np.empty(x.shape[1], dtype), np.empty(x.shape[1], dtype)


@st.composite
def normalisations(draw, dtype):
    x = floats(draw, dtype, draw(few), draw(some))
    return x, *[floats(draw, dtype, x.shape[1], elements=plain) for _ in range(4)], np.empty_like(x)


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
    score = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, float(TINY), 1.0, np.inf]) | st.floats(width=32, allow_nan=False)
    scores = floats(draw, dtype, draw(few), elements=score)
    state = draw(arrays(np.uint8, scores.size, elements=st.integers(0, 2)))
    return scores, state, draw(st.integers(0, int((state != 1).sum()))), np.empty(scores.size, bool)


@st.composite
def marked(draw, dtype):
    scores, state, k, out = draw(rankings(dtype))
    left = k - int((state == 2).sum())
    kth = np.sort(scores[state == 0] + 0.0)[left - 1] if left > 0 else dtype(-np.inf)
    return scores, state, kth, k, out


@st.composite
def ranked_bits(draw, dtype):
    scores, state, _, _ = draw(rankings(dtype).filter(lambda ranking: (ranking[1] == 0).any()))
    bits = scores.view(f"u{scores.itemsize}")
    counts = np.empty(1 << draw(st.sampled_from([1, 5, 11])), np.int64)
    return bits, state, draw(st.integers(1, int((state == 0).sum()))), counts, np.empty(1, bits.dtype)


@dataclass(frozen=True)
class Case:
    """How the arguments of a kernel are drawn, how many of the last it writes, and whether its bits are the twin's.

    `means` takes the arguments and returns those parts of what was written that mean something, if not all do.
    """

    draw: callable
    writes: int = 1
    exact: bool = False
    means: callable = None


CASES = {
    "relu": Case(lambda dtype: elementwise(dtype, 1), exact=True),
    "relu_backward": Case(lambda dtype: elementwise(dtype, 2), exact=True),
    "leaky_relu": Case(lambda dtype: elementwise(dtype, 1, scalars=1)),
    "leaky_relu_backward": Case(lambda dtype: elementwise(dtype, 2, scalars=1)),
    "dropout": Case(dropouts),
    "add_bias": Case(biases),
    "add_bias_relu": Case(biases),
    "add_scaled": Case(additions),
    "column_sums": Case(sums),
    "squared_error": Case(regressions, writes=2),
    "softmax_cross_entropy": Case(classifications, writes=2),
    "zero_masked": Case(masks, exact=True),
    "soft_threshold": Case(thresholds, writes=2, exact=True),
    "square_norm": Case(gradients),
    "sgd_step": Case(sgd_steps, writes=2),
    "adam_step": Case(adam_steps, writes=2),
    "vector_matrix": Case(products),
    "compress_rows": Case(dark_rows, writes=3, exact=True, means=what_is_listed),
    "turn": Case(turns, writes=3, exact=True, means=what_is_listed),
    "gather_rows": Case(gathered),
    "batch_norm": Case(normalisations),
    "channel_moments": Case(lambda dtype: channels(dtype, some), writes=2),
    "batch_norm_backward": Case(normalisation_gradients, writes=3),
    "im2col": Case(lambda dtype: columns_of(dtype, back=False), exact=True),
    "col2im": Case(lambda dtype: columns_of(dtype, back=True)),
    "average_pool": Case(pools),
    "average_pool_backward": Case(lambda dtype: pools(dtype, back=True)),
    "max_pool": Case(max_pools, writes=2, exact=True),
    "max_pool_backward": Case(max_pool_gradients),
    "depthwise_conv": Case(lambda dtype: depthwise(dtype, "y")),
    "depthwise_conv_backward_input": Case(lambda dtype: depthwise(dtype, "x")),
    "depthwise_conv_backward_weight": Case(lambda dtype: depthwise(dtype, "w")),
    "mark_lowest": Case(marked, exact=True),
    "kth_lowest": Case(ranked_bits, writes=2, exact=True, means=lambda *arguments: arguments[-1:]),
}


# --- the walk --------------------------------------------------------------------------------------------------------


def find_kernels():
    """Every kernel of the package, by name."""
    found = {}
    for info in pkgutil.iter_modules(kernels.__path__):
        module = importlib.import_module(f"minnet.kernels.{info.name}")
        for name, value in vars(module).items():
            if getattr(value, "is_kernel", False) and value.__module__ == module.__name__:
                found[name] = value
    return found


KERNELS = find_kernels()


def assert_equal(got, wanted, exact, dtype):
    """Equal bits, or equal up to the rounding of `dtype` among numbers as large as these; NaN equals NaN."""
    if exact or got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(wanted[got == 0]))
        return
    finite = wanted[np.isfinite(wanted)]
    bound = ROUNDING * np.finfo(dtype).eps * max(1, np.abs(finite).max(initial=0))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=bound)


def test_the_tables_are_complete():
    assert len(KERNELS) > 20
    assert set(KERNELS) == set(CASES)
    for name, kernel in KERNELS.items():
        twin = getattr(reference, name)
        assert inspect.signature(getattr(kernel, "py_func", kernel)) == inspect.signature(twin), name


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_kernel_equals_its_twin(name, dtype, data):
    case = CASES[name]
    arguments = data.draw(case.draw(dtype))
    copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    with np.errstate(all="ignore"):
        KERNELS[name](*arguments)
        getattr(reference, name)(*copies)
    for got, wanted in zip(arguments[: -case.writes], copies, strict=False):
        if isinstance(got, np.ndarray):
            assert_equal(got, wanted, exact=True, dtype=dtype)
    means = case.means or (lambda *arguments: arguments[-case.writes :])
    for got, wanted in zip(means(*arguments), means(*copies), strict=True):
        assert_equal(np.asarray(got), np.asarray(wanted), case.exact, dtype)


@pytest.mark.parametrize("setting", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_kernels_equal_their_twins_also_with(setting, tmp_path):
    environment = dict(os.environ, MINNET_KERNEL_EXAMPLES="8", **{setting: "1"})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "equals_its_twin"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{len(KERNELS) * len(FLOATS)} passed" in done.stdout


BROKEN = """
import numpy as np
from minnet.kernels.jit import kernel

@kernel
def one_too_far(x):
    for i in range(x.size + 1):
        x[i] = 0

try:
    one_too_far(np.ones(3))
except IndexError as error:
    print("caught:", error)
"""


def test_an_index_out_of_bounds_is_caught(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    environment = dict(os.environ, NUMBA_BOUNDSCHECK="1", XDG_CACHE_HOME=str(tmp_path), PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("caught:")


# --- laws ------------------------------------------------------------------------------------------------------------


def bits(x):
    return x.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_what_is_masked_ends_as_plus_zero(dtype, data):
    for step, strategy in [(sgd_step, sgd_steps), (adam_step, adam_steps)]:
        arguments = data.draw(strategy(dtype))
        mask = arguments[1]
        step(*arguments)
        for vector in arguments[-2:]:
            gone = np.atleast_2d(vector)[:, ~mask]
            assert bits(gone) == bits(np.zeros_like(gone))


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_steps_on_slices_give_the_bits_of_the_whole(dtype, data):
    for step, strategy in [(sgd_step, sgd_steps), (adam_step, adam_steps)]:
        grads, mask, *scalars, n_decay, values, second = data.draw(strategy(dtype))
        whole, whole_second = values.copy(), second.copy()
        step(grads, mask, *scalars, n_decay, whole, whole_second)
        middle = data.draw(st.integers(0, values.size))
        for part, start in [(slice(0, middle), 0), (slice(middle, None), middle)]:
            weights = min(max(n_decay - start, 0), values[part].size)
            step(grads[:, part], mask[part], *scalars, weights, values[part], second[..., part])
        assert bits(values) == bits(whole)
        assert bits(second) == bits(whole_second)


def test_rows_with_gaps_are_refused():
    every_second = np.ones((2, 8), np.float32)[:, ::2]
    vectors = [np.ones(4, np.float32) for _ in range(2)]
    with pytest.raises(ValueError, match="side by side"):
        sgd_step(every_second, np.ones(4, bool), 1.0, 0.1, 0.0, False, 0.0, 1.0, 0, *vectors)
    with pytest.raises(ValueError, match="side by side"):
        square_norm(every_second, np.empty(1))


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_soft_threshold_is_the_nearest_point(dtype, data):
    """Optimality: what is subtracted is a subgradient of amount * |w| at the result (Moreau)."""
    before = floats(data.draw, dtype, data.draw(few), elements=plain)
    after, amount = before.copy(), data.draw(fraction)
    soft_threshold(after, amount)
    bound = 4 * np.finfo(dtype).eps
    nonzero = after != 0
    np.testing.assert_allclose((before - after)[nonzero], amount * np.sign(after[nonzero]), atol=bound, rtol=0)
    assert np.all(np.abs(before[~nonzero]) <= amount + bound)
    assert not np.signbit(after[~nonzero]).any()


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_select_lowest_equals_its_twin(dtype, data):
    scores, state, k, out = data.draw(rankings(dtype))
    wanted = np.empty_like(out)
    select_lowest(scores, state, k, out)
    reference.select_lowest(scores, state, k, wanted)
    np.testing.assert_array_equal(out, wanted)
    assert out.sum() == k


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scores", ["random", "equal", "few values", "tiny and huge"])
def test_select_lowest_of_many(dtype, scores):
    rng = np.random.default_rng(0)
    n = MANY + 1
    values = {
        "random": rng.normal(size=n),
        "equal": np.zeros(n),
        "few values": rng.integers(-2, 3, n).astype(float),
        "tiny and huge": rng.choice([1e-45, 1e-40, 1e38, -1e38, -1e-45], n),
    }[scores].astype(dtype)
    state = rng.choice(np.array([0, 0, 0, 1, 2], np.uint8), n)
    got, wanted = np.empty(n, bool), np.empty(n, bool)
    for k in [0, 1, 1000, 3000, int((state != 1).sum())]:
        select_lowest(values, state, k, got)
        reference.select_lowest(values, state, k, wanted)
        np.testing.assert_array_equal(got, wanted)


def test_moments_of_large_numbers_with_a_small_spread():
    rng = np.random.default_rng(0)
    x = 1e6 + rng.normal(size=(5000, 3)).astype(np.float32).astype(np.float64)
    mean, variance = np.empty(3), np.empty(3)
    KERNELS["channel_moments"](x, mean, variance)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-9)


def test_column_sums_of_many_rows_keep_their_digits():
    x = np.random.default_rng(0).random((200_000, 9), np.float32)
    out = np.empty(9, np.float32)
    KERNELS["column_sums"](x, out)
    np.testing.assert_allclose(out, x.sum(axis=0, dtype=np.float64), rtol=1e-7)

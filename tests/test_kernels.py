"""Every kernel gives what its plain twin in the files `reference*.py` gives, on odd shapes and numbers.

A new kernel needs a twin, and a row in one of the `*_cases.py` that says how its arguments are drawn. The walk is
repeated by the plain Python of the kernels (NUMBA_DISABLE_JIT=1) and with checked indices (NUMBA_BOUNDSCHECK=1), in
processes of their own.
"""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import reference
import reference_runtime
import reference_sparse
import reference_steps
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import CASES as PLAIN_CASES
from kernel_cases import adam_steps, few, flags, floats, fraction, lion_steps, plain, rankings, sgd_steps
from runtime_cases import RUNTIME_CASES
from sparse_cases import SPARSE_CASES
from steps_cases import STEPS_CASES

from minnet import kernels
from minnet.kernels.layers.losses import softmax_cross_entropy
from minnet.kernels.layers.normalise import channel_moments
from minnet.kernels.layers.pointwise import column_sums
from minnet.kernels.program.ops import OPERANDS, RUN
from minnet.kernels.program.planes import CACHED, DENSE_PLANES, dense_planes
from minnet.kernels.select import MANY, select_lowest, select_near_zero
from minnet.kernels.steps import SETTINGS, adam_step, lion_step, sgd_step, soft_threshold, square_norm

FLOATS = [np.float32, np.float64]
ROUNDING = 64  # units in the last place that a kernel may be away from its twin
# What takes minutes to compile: the kernels that these call have checked indices by themselves, and these in Python.
WHOLE_RUNS = ("mlp_steps", "small_batch_steps", "run_program", "run_at", "run_shared")
EXAMPLES = int(os.environ.get("MINNET_KERNEL_EXAMPLES", "40"))


# --- the walk --------------------------------------------------------------------------------------------------------


def find_kernels():
    """Every kernel of the package, by name."""
    found = {}
    for info in pkgutil.walk_packages(kernels.__path__, "minnet.kernels."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if getattr(value, "is_kernel", False) and value.__module__ == module.__name__:
                found[name] = value
    return found


KERNELS = find_kernels()
CASES = PLAIN_CASES | RUNTIME_CASES | SPARSE_CASES | STEPS_CASES
TWINS = vars(reference) | vars(reference_runtime) | vars(reference_sparse) | vars(reference_steps)


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
        twin = TWINS[name]
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
        TWINS[name](*copies)
    for got, wanted in zip(arguments[: -case.writes], copies, strict=False):
        if isinstance(got, np.ndarray):
            assert_equal(got, wanted, exact=True, dtype=dtype)
    means = case.means or (lambda *arguments: arguments[-case.writes :])
    for got, wanted in zip(means(*arguments), means(*copies), strict=True):
        assert_equal(np.asarray(got), np.asarray(wanted), case.exact, dtype)


@pytest.mark.parametrize("setting, of, without", [
    ("NUMBA_DISABLE_JIT", "float", ("run_at",)), ("NUMBA_BOUNDSCHECK", "float32", WHOLE_RUNS)])
def test_kernels_equal_their_twins_also_with(setting, of, without):
    """Without LLVM's optimisations, which take half the time and change no index.

    `run_at` takes arrays by the addresses of compiled code, which there is none of without a compiler.
    """
    environment = dict(os.environ, MINNET_KERNEL_EXAMPLES="8", NUMBA_OPT="0", **{setting: "1"})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-k", " and not ".join([f"equals_its_twin and {of}", *without])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    walked = len([name for name in KERNELS if not any(part in name for part in without)])
    assert f"{walked * sum(of in dtype.__name__ for dtype in FLOATS)} passed" in done.stdout


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
    environment = dict(os.environ, NUMBA_BOUNDSCHECK="1", PYTHONPATH=os.pathsep.join(sys.path))
    environment.update(XDG_CACHE_HOME=str(tmp_path))
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("caught:")


# --- laws ------------------------------------------------------------------------------------------------------------


STEPS = [(sgd_step, sgd_steps), (adam_step, adam_steps), (lion_step, lion_steps)]


def bits(x):
    return x.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_what_is_masked_ends_as_plus_zero(dtype, data):
    for step, strategy in STEPS:
        arguments = data.draw(strategy(dtype))
        mask = arguments[1]
        step(*arguments)
        for vector in arguments[-2:]:
            gone = np.atleast_2d(vector)[:, ~mask]
            assert bits(gone) == bits(np.zeros_like(gone))


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_steps_on_slices_give_the_bits_of_the_whole(dtype, data):
    for step, strategy in STEPS:
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
        sgd_step(every_second, np.ones(4, bool), 1.0, np.ones(SETTINGS), 0, *vectors)
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


def test_dense_planes_of_more_weights_than_stay_near():
    count = 2 * CACHED // RUN
    code, rng = np.zeros((1, OPERANDS), np.uint32), np.random.default_rng(0)
    code[0, 1:13] = 2 * DENSE_PLANES, 1, RUN, 0, 0, 0, RUN, RUN, count, 0, 0, 2 * DENSE_PLANES * count
    index, value = rng.integers(0, 40, count, np.uint32), rng.normal(size=2 * DENSE_PLANES * count + 12)
    x, y = rng.normal(size=40 + RUN), np.zeros((2, DENSE_PLANES, 2 * DENSE_PLANES * RUN))
    for function, out in ((dense_planes, y[0]), (reference_runtime.dense_planes, y[1])):
        function(code, 0, index, value, value, x, *out)
    np.testing.assert_allclose(y[0], y[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_select_lowest_equals_a_plain_sort(dtype, data):
    scores, state, k, out = data.draw(rankings(dtype))
    wanted = np.empty_like(out)
    select_lowest(scores, state, k, out)
    reference.select_lowest(scores, state, k, wanted)
    np.testing.assert_array_equal(out, wanted)
    assert out.sum() == k


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_select_near_zero_equals_a_plain_sort(dtype, data):
    values = floats(data.draw, dtype, data.draw(few))
    may, share = flags(data.draw, values.size), data.draw(st.floats(0, 1))
    got, wanted = np.empty(values.size, bool), np.zeros(values.size, bool)
    select_near_zero(values, may, share, got)
    for side in (may & (values >= 0), may & (values < 0)):
        places = np.flatnonzero(side)
        near = places[np.argsort(np.abs(values[places]), kind="stable")]
        wanted[near[: round(share * len(places))]] = True
    np.testing.assert_array_equal(got, wanted)


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
    channel_moments(x, mean, variance)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-9)


def test_column_sums_of_many_rows_keep_their_digits():
    x = np.random.default_rng(0).random((200_000, 9), np.float32)
    out = np.empty(9, np.float32)
    column_sums(x, out)
    np.testing.assert_allclose(out, x.sum(axis=0, dtype=np.float64), rtol=1e-7)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "logits, label, smoothing, loss",
    [
        ([1e4, -1e4, 0], 0, 0.0, 0.0),
        ([1e4, -1e4, 0], 1, 0.0, 2e4),
        ([0, -np.inf, 0], 0, 0.0, np.log(2)),
        ([0, -np.inf, 0], 1, 0.0, np.inf),
        ([3, 3, 3], 2, 0.1, np.log(3)),
        ([0, np.nan, 0], 0, 0.0, np.nan),
    ],
)
def test_cross_entropy_of_extreme_logits(dtype, logits, label, smoothing, loss):
    losses, gradient = np.empty(1), np.empty((1, 3), dtype)
    softmax_cross_entropy(np.array([logits], dtype), np.array([label]), smoothing, 1.0, losses, gradient)
    np.testing.assert_allclose(losses, [loss], rtol=1e-12)
    np.testing.assert_allclose(gradient.sum(), np.nan if np.isnan(loss) else 0, atol=1e-6)

"""One law: every stepper gives the numbers of LayerStepper, which is the definition of a training step.

The table STEPPERS says how each is built for a job. The same bits come out where all sums have the order that
LayerStepper gives them; else numbers agree to 1e-12 in float64.
"""
import dataclasses
import importlib
import pkgutil
from functools import cache, partial
from itertools import product

import numpy as np
import pytest
from nets import N_CLASSES, NETS, OPTIMIZERS, bits, is_plus_zero
from scipy.sparse import csr_array

import minnet as mn
import minnet.fast
from minnet.csr import SparseRows
from minnet.engine.loop import Job, LayerStepper, loop
from minnet.engine.losses import cross_entropy
from minnet.engine.lr_schedules import cosine
from minnet.engine.optimizers import kernel_of
from minnet.engine.rewire import draw_places
from minnet.errors import Diverged
from minnet.fast.chain import Chain, chain_of
from minnet.fast.choose import between_steps, choose, no_layers, stepper_for
from minnet.fast.live_weights import SPARSE, LiveWeightStepper
from minnet.fast.mlp import MlpGradientStepper, MlpStepper
from minnet.fast.rewrite import rewrite
from minnet.fast.sharded import ShardedStepper
from minnet.fast.sparse_mlp import SmallBatchStepper, SparseMlpGradientStepper, SparseMlpStepper

ROWS, BATCH, EPOCHS = 13, 5, 2  # the last batch of an epoch has 3 rows
LAST, MIDDLE = 6, 4             # the last step, and one in the middle of the second epoch
FEWEST = 15                     # weights below which a layer of a chain is treated as a sparse one: some are, some not
BORN_SPARSE = {
    "sparse chain": ((11,), mn.Sequential(mn.SparseDense(9, 40), mn.ReLU(), mn.SparseDense(6, 20), mn.ReLU(),
                                          mn.Dense(N_CLASSES))),
    "sparse and dense": ((11,), mn.Sequential(mn.SparseDense(9, 40), mn.ReLU(), mn.Dense(6), mn.Tanh(),
                                              mn.Dense(N_CLASSES))),
}
QUIET = {  # without Dropout and BatchNorm: a batch may be shared between threads
    "pools": ((7, 6, 2), mn.Sequential(mn.Conv2d(4, 3, padding="same"), mn.MaxPool2d(2), mn.ReLU(), mn.Flatten(),
                                       mn.Dense(N_CLASSES))),
}
NOISY_NETS = {  # no bias before BatchNorm: its gradient is 0 but for rounding, which Adam would divide by its own size
    "noisy": ((7,), mn.Sequential(mn.Dense(6, use_bias=False), mn.BatchNorm(), mn.Tanh(), mn.Dropout(0.3),
                                  mn.Dense(N_CLASSES))),
}
ALL_NETS = {**NETS, **QUIET, **BORN_SPARSE, **NOISY_NETS}
ROW_NETS = tuple(name for name, (shape, _) in ALL_NETS.items() if len(shape) == 1)
DENSE_CHAINS, SPARSE_CHAINS, NOISY = ("chain", "flat chain"), ("sparse chain",), ("noisy", "images")


# --- how each stepper is built ---------------------------------------------------------------------------------------


def slices(job):
    """Two slices of the vector; the second begins within a weight."""
    n = job.model.n_trainable
    return [slice(0, n // 3), slice(n // 3, n)]


def sharded(job):
    return ShardedStepper(job, rewrite(job.model.tree), slices(job), "")


def sharded_layers(job):
    return ShardedStepper(job, job.model.tree, slices(job), "")


def chain(job):
    return chain_of(job.model, FEWEST)


def replaceable(model):
    """Every layer that can be trained by its live weights alone, whatever its size and density."""
    return [layer for layer in model.layers.values() if type(layer) in SPARSE]


def live(job, inner):
    """A penalty sees the whole model: no layer is replaced."""
    return LiveWeightStepper(job, no_layers if job.penalties else replaceable, inner)


def many_mlp(job, zeros):
    return MlpStepper(job, chain(job), kernel_of(job.state.optimizer), zeros, "")


def many_sparse(job, kind):
    return kind(job, chain(job), kernel_of(job.state.optimizer), "")


def one_sparse(job):
    return SparseMlpGradientStepper(job, chain(job), slices(job), "")


def with_csr(build):
    """The same of a job whose rows are sparse."""
    return lambda job: build(dataclasses.replace(job, X=SparseRows(csr_array(job.X))))


@dataclasses.dataclass(frozen=True)
class Case:
    """A way to build a stepper, the nets it is for, whether it makes many steps a call, and where bits are the same."""

    build: object
    nets: tuple
    many: bool = False
    same_bits: bool = False  # with one thread
    weights: bool = False    # whether rows may have weights


STEPPERS = {
    "sharded": Case(sharded_layers, tuple(ALL_NETS), same_bits=True, weights=True),
    "sharded, rewritten": Case(sharded, tuple(ALL_NETS), weights=True),
    "MLP, steps": Case(partial(many_mlp, zeros=False), DENSE_CHAINS, many=True),
    "MLP, steps, zero blocks": Case(partial(many_mlp, zeros=True), DENSE_CHAINS, many=True),
    "MLP, gradient": Case(lambda job: MlpGradientStepper(job, chain(job), False, slices(job), ""), DENSE_CHAINS),
    "sparse MLP, steps": Case(partial(many_sparse, kind=SparseMlpStepper), SPARSE_CHAINS, many=True),
    "sparse MLP, small batches": Case(partial(many_sparse, kind=SmallBatchStepper), SPARSE_CHAINS, many=True),
    "sparse MLP, gradient": Case(one_sparse, SPARSE_CHAINS),
    "live weights": Case(partial(live, inner=sharded), tuple(ALL_NETS), weights=True),
    "live weights of no layer": Case(lambda job: LiveWeightStepper(job, no_layers, sharded_layers), tuple(ALL_NETS),
                                     same_bits=True, weights=True),
    "live weights, steps": Case(partial(live, inner=partial(many_sparse, kind=SparseMlpStepper)), ("chain",),
                                many=True),
    "live weights, gradient": Case(lambda job: live(job, sharded if job.penalties else one_sparse), ("chain",)),
    "chosen": Case(choose, tuple(ALL_NETS), weights=True),
    "sharded, sparse rows by the batch": Case(with_csr(sharded), ROW_NETS, weights=True),
    "sparse rows": Case(with_csr(stepper_for), ROW_NETS, weights=True),
    "sparse rows, live weights": Case(with_csr(partial(live, inner=stepper_for)), ROW_NETS, weights=True),
    "sparse rows, chosen": Case(with_csr(choose), ROW_NETS, weights=True),
}


def test_every_stepper_of_fast_is_in_the_table():
    """Every class there that has `name` and `run`, as a Stepper has."""
    modules = [importlib.import_module(f"minnet.fast.{found.name}") for found in
               pkgutil.iter_modules(minnet.fast.__path__)]
    classes = {value for module in modules for value in vars(module).values()
               if isinstance(value, type) and hasattr(value, "run") and hasattr(value, "name")} - {LayerStepper}
    job = partial(job_of, optimizer=mn.SGD(0.1), scenario="plain", threads=1)
    made = {type(case.build(job(case.nets[0]))) for case in STEPPERS.values()}
    assert classes == made


# --- what happens while they run -------------------------------------------------------------------------------------


def change_mask(model, state):
    """Some weights are cut in the first epoch, a layer in the second; in between some come back."""
    if state.t in (1, 2, 4):
        rng, mask = np.random.default_rng(state.t), np.ones_like(model.mask)
        for p in model.weight_parameters:
            size = p.slice.stop - p.slice.start
            mask[p.slice] = rng.random(size) < (0.6 if state.t == 1 else 0.9)
        if state.t == 4:
            mask[model.weight_parameters[0].slice] = False
        model.set_mask(mask)


def write_mask(model, state):
    """The caller writes the mask himself, and applies it."""
    if state.t == 2:
        model.mask[: model.n_weights : 3] = False
        state.apply_mask()


def write_values(model, state):
    if state.t == 2:
        model.values[: model.n_trainable] *= 0.9
        state.vectors *= 0.5
    if state.t == 4:
        model.values[~model.mask] = 0


def move(model, state):
    """Positions of a layer that was born sparse move, in mid-epoch."""
    if state.t in (2, 4):
        rng, p = np.random.default_rng(state.t), model.weight_parameters[0]
        drop = rng.choice(p.index, 7, replace=False)
        model.rewire(p, drop, draw_places(rng, p.size, 7, p.index), state)


SCENARIOS = {  # settings of the job, what is done between two steps, and after which step the run ends and goes on
    "plain": {},
    "every epoch": {"stride": np.inf},
    "every 2": {"stride": 2},
    "penalty": {"penalties": (mn.penalties.L1(0.003), mn.penalties.L2(0.01))},
    "clip_norm": {"clip_norm": 0.3},
    "mask": {"between": change_mask},
    "mask and clip_norm": {"between": change_mask, "clip_norm": 0.3},
    "mask written": {"between": write_mask},
    "values written": {"between": write_values},
    "positions": {"between": move},
    "weights": {"weights": np.random.default_rng(7).choice([0.0, 0.5, 1.0, 3.0], ROWS)},
    "weights and mask": {"weights": np.linspace(0.1, 4, ROWS), "between": change_mask, "clip_norm": 0.3},
    "interrupted": {"interrupt": MIDDLE},
    "resumed": {"stop": MIDDLE},
}


def job_of(net, optimizer, scenario, threads):
    """The job: a masked model in float64 on data with many zeros."""
    shape, tree = ALL_NETS[net]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(ROWS, *shape)), rng.integers(N_CLASSES, size=ROWS)
    X[rng.random(X.shape) < 0.3] = 0
    model, mask = mn.Model(tree, shape, rng=1, dtype=np.float64), None
    mask = np.ones_like(model.mask)
    mask[: model.n_weights] = rng.random(model.n_weights) < 0.8
    model.set_mask(mask)
    given = SCENARIOS[scenario]
    return Job(mn.State(model, optimizer, 3, threads), X, y, cross_entropy, BATCH, EPOCHS, cosine,
               given.get("penalties", ()), given.get("clip_norm"), weights=given.get("weights"))


def interrupting(optimizer, at):
    """The same optimizer, whose step `at` is interrupted before anything moves; its kernel is the same."""
    class Interrupts(type(optimizer)):
        def settings(self, lr, t):
            if t == at:
                raise KeyboardInterrupt
            return super().settings(lr, t)

    return Interrupts(**{field.name: getattr(optimizer, field.name) for field in dataclasses.fields(optimizer)})


def trace(build, net, optimizer, scenario, threads):
    """What every Step shows: where it is, loss, values and vectors."""
    given, plain, seen = SCENARIOS[scenario], OPTIMIZERS[optimizer], []
    at = given.get("interrupt")
    job = job_of(net, interrupting(plain, at) if at else plain, scenario, threads)

    def run(stop=None):
        steps = loop(job, build(job), given.get("stride", 1))
        for step in steps:
            seen.append((step.epoch, step.batch, step.loss, job.model.values.copy(), step.state.vectors.copy()))
            assert is_plus_zero(job.model.values[~job.model.mask])
            assert is_plus_zero(step.state.vectors[:, ~job.model.mask[: job.model.n_trainable]])
            given.get("between", lambda model, state: None)(job.model, step.state)
            if step.state.t == stop:
                return steps.close()
        return None

    if at:
        with pytest.raises(KeyboardInterrupt):
            run()
        assert job.state.t == at - 1
        job.state.optimizer = plain
    run(given.get("stop"))
    if "stop" in given:
        run()
    assert (job.state.epoch, job.state.batch, job.state.t) == (EPOCHS, 0, LAST)
    return seen


@cache
def definition(net, optimizer, scenario):
    return trace(LayerStepper, net, optimizer, scenario, 1)


def takes(case, net, optimizer, scenario, threads):
    """Whether the stepper is one for this; a batch of a net with Dropout or BatchNorm is for one thread."""
    if (threads > 1 and net in NOISY) or (scenario == "positions" and net not in BORN_SPARSE):
        return False
    if "weights" in SCENARIOS[scenario] and not case.weights:
        return False
    if not case.many:
        return True
    job = job_of(net, OPTIMIZERS[optimizer], scenario, threads)
    return not between_steps(job, kernel_of(job.state.optimizer))


def check_same(got, wanted, same_bits, where):
    """The same steps with the same losses, values and vectors; all steps are compared at once."""
    assert [step[:2] for step in got] == [step[:2] for step in wanted], where
    for mine, theirs in zip(*(zip(*(step[2:] for step in steps), strict=True) for steps in (got, wanted)), strict=True):
        a, b = np.array(mine), np.array(theirs)
        assert not same_bits or a.ndim == 1 or bits(a) == bits(b), where
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=f"{where}; the first axis are steps")


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("stepper", STEPPERS)
def test_every_stepper_is_the_definition(stepper, scenario):
    case = STEPPERS[stepper]
    for net, optimizer, threads in product(case.nets, OPTIMIZERS, (1, 2)):
        if takes(case, net, optimizer, scenario, threads):
            got = trace(case.build, net, optimizer, scenario, threads)
            check_same(got, definition(net, optimizer, scenario), case.same_bits and threads == 1,
                       f"{net}, {optimizer}, {threads} threads")


SAME_BITS = [("MLP, steps", "MLP, gradient"), ("sparse MLP, steps", "sparse MLP, gradient"),
             ("live weights, steps", "live weights, gradient")]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("pair", SAME_BITS, ids=str)
def test_many_steps_a_call_have_the_bits_of_one(pair, threads):
    many, one = (STEPPERS[name] for name in pair)
    for net, optimizer in product(many.nets, OPTIMIZERS):
        if takes(many, net, optimizer, "mask", threads):
            found = [trace(case.build, net, optimizer, "mask", threads) for case in (many, one)]
            check_same(*found, True, net)


# --- where a run ends badly ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stepper", ["LayerStepper", *STEPPERS])
def test_what_was_pruned_before_a_run_diverged_is_plus_zero(stepper):
    """The values of the epoch's start are put back, and the mask, which has changed since, is applied to them."""
    case = STEPPERS.get(stepper, Case(LayerStepper, tuple(ALL_NETS)))
    for net in case.nets:
        job = job_of(net, mn.SGD(0.1), "plain", 1)
        model, start = job.model, job.model.values.copy()
        cut = np.flatnonzero(model.mask[: model.n_weights])[::2]
        with pytest.raises(Diverged):
            for step in loop(job, case.build(job), 1):
                assert step.state.t < 3
                if step.state.t == 1:
                    mask = model.mask.copy()
                    mask[cut] = False
                    model.set_mask(mask)
                else:
                    model.values[model.n_trainable - 1] = np.nan
        assert start[cut].all() and is_plus_zero(model.values[~model.mask]), net
        assert bits(model.values[model.mask]) == bits(start[model.mask]), net


# --- what may take which way -----------------------------------------------------------------------------------------


class Halved(mn.SGD):
    """A user's own step, in a subclass that names no kernel."""

    def step(self, model, window, grads, vectors, lr, scale, t):
        super().step(model, window, grads, vectors, lr / 2, scale, t)


@dataclasses.dataclass(frozen=True)
class SignDescent:
    """An optimizer with one vector, as SGD has, and another kernel: w -= lr sign(m), m = 0.9 m + 0.1 g."""

    lr: float = 0.01
    slots = 1
    kernel = "sign"

    def step(self, model, window, grads, vectors, lr, scale, t):
        live = model.mask[window]
        vectors[0, window] = np.where(live, 0.9 * vectors[0, window] + 0.1 * scale * grads[:, window].sum(axis=0), 0)
        model.values[window] -= np.where(live, lr * np.sign(vectors[0, window]), 0)


class WithoutKernel(SignDescent):
    kernel = None


def last_step(net, **arguments):
    job = job_of(net, mn.SGD(0.1), "plain", 1)
    *_, step = mn.train(job.model, (job.X, job.y), epochs=2, batch_size=BATCH, rng=3, **arguments)
    return step


@pytest.mark.parametrize("optimizer", [Halved(0.1, momentum=0.9), SignDescent(), WithoutKernel()], ids=repr)
@pytest.mark.parametrize("net", ALL_NETS)
def test_an_optimizer_of_your_own_is_run_by_its_own_step(net, optimizer):
    assert kernel_of(optimizer) in (None, "sign")
    fast, slow = (last_step(net, optimizer=optimizer, accelerate=accelerate) for accelerate in (True, False))
    assert "many steps" not in fast.path
    chain = chain_of(fast.model, FEWEST)
    if chain is not None:
        assert isinstance(chain, Chain) or type(optimizer).__name__ in fast.why  # the dense one is too short an epoch
        assert type(optimizer).__name__ in between_steps(job_of(net, optimizer, "plain", 1), kernel_of(optimizer))
    np.testing.assert_allclose(fast.model.values, slow.model.values, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(fast.state.vectors, slow.state.vectors, rtol=1e-12, atol=1e-12)
    plain = last_step(net, optimizer=mn.SGD(optimizer.lr))
    assert np.abs(plain.model.values - fast.model.values).max() > 1e-4


def own_loss(logits, y, dlogits=None, n=None, losses=None):
    return cross_entropy(logits, y, dlogits, n, losses)


@pytest.mark.parametrize(("loss", "why"), [
    (partial(cross_entropy, label_smoothing=0.1), "the loss cross_entropy with arguments of its own"),
    (own_loss, "the loss is own_loss"),
])
@pytest.mark.parametrize("net", ["chain", "sparse chain"])
def test_another_loss_takes_the_layers_and_says_so(net, loss, why):
    fast, slow = (last_step(net, loss=loss, accelerate=accelerate) for accelerate in (True, False))
    assert fast.path.startswith("layers") and why in fast.why
    assert slow.path == "layers" and "accelerate=False" in slow.why
    np.testing.assert_allclose(fast.model.values, slow.model.values, rtol=1e-12, atol=1e-12)
    short = isinstance(chain_of(fast.model, FEWEST), Chain)
    assert short == (net == "chain")
    plain = last_step(net)
    assert "too short for a compiled chain" in plain.why if short else "many steps a call" in plain.path

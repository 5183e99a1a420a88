"""Latent weights: what a recipe trains in the place of the model's own weights, which are a function of them.

The gradient is taken at the model's weights f(latent); the recipe turns it into that of the latent weights, and the
optimizer of `train` moves these. Learning rates, clipping, penalties and the order of rows are those of `train`:

    class Half(Latent):                                   # one that trains weights twice as large
        def forward(self):
            return self.values / 2

        def backward(self, gradient):
            gradient /= 2

At every Step that is yielded the model is the pruned net: masked weights are +0.0, in every vector of the State too.
"""
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.sample import part_of
from minnet.engine.state import Step
from minnet.engine.vector import Parameter
from minnet.errors import InvalidValue, check_count
from minnet.formats.checkpoint import remember
from minnet.kernels.select import GONE, select_lowest
from minnet.pruning.recipes.goal import Goal, Prune, Train, bound_to, check_span
from minnet.pruning.recipes.moving import check_single
from minnet.pruning.scores import Data
from minnet.typing import Seed

MADE_ANEW = ("run", "layers", "share", "where")  # attributes of Latent that follow from what the recipe was asked


@dataclass(frozen=True, eq=False)
class Run:
    """What a recipe with latent weights was asked, checked: trained dense up to `begin`, cut to its goal at `end`.

    Both are shares of the training. With `cuts` False there is no last cut: what the method masks is the outcome.
    """

    goal: Goal
    train: Train
    epochs: int
    begin: float
    end: float
    cuts: bool
    training: np.random.Generator
    drawing: np.random.Generator


def ask(name: str, model: Model, data: Data, sparsity: float | None, prune: Prune, train: Train, *, epochs: int,
        span: tuple[float, float], rng: Seed, outcome: bool) -> Run:
    """Return the Run that was asked for. With `outcome`, sparsity None leaves it to the method.

    Raises
    ------
    InvalidValue, InvalidType, Unsupported
        If an argument is wrong, or the structure is not single weights.
    """
    check_single(name, bound_to(prune, "structure", "weight"))
    check_span(*span)
    if sparsity is None and not outcome:
        raise InvalidValue(f"sparsity=None: {name} counts its weights from the start; give the sparsity it ends at")
    training, pruning, drawing = as_rng(rng).spawn(3)
    goal = Goal(model, data, 0.0 if sparsity is None else sparsity, "one_shot", prune, pruning)
    return Run(goal, train, check_count("epochs", epochs), *span, sparsity is not None, training, drawing)


@dataclass(eq=False)
class Latent:
    """Latent weights, and how they are trained.

    A subclass writes `forward` and `backward`, which are called in turn once training has reached `begin`, and of the
    rest what differs. It may set `live` (which weights are not masked), and `moving` (which latent weights a step
    changes).

    Attributes
    ----------
    values : (n_weights,) array
        The latent weights.
    base : (n_weights,) array of bool
        What was live when the recipe began: nothing else ever is.
    scope : (n_weights,) array of bool
        The live weights of the layers that are pruned.
    live : (n_weights,) array of bool
        What is live now.
    moving : (n_weights,) array of bool or None
        The latent weights that the optimizer may change; None for all.
    t, total : int
        Steps done, and all steps of the training.
    lr : float
        The learning rate of the last step.
    running : (n_weights,) array
        The model's weights in the next step.
    layers : list of Parameter
        The weights of the layers that are pruned.
    cut : int or None
        How many weights the last cut took, until a Step has said so.
    started, reached, closed : bool
        Whether training has reached `begin`, whether the last cut is due before `end`, and whether it is made.
    """

    run: Run
    values: np.ndarray = field(init=False)
    base: np.ndarray = field(init=False)
    scope: np.ndarray = field(init=False)
    live: np.ndarray = field(init=False)
    moving: np.ndarray | None = field(default=None, init=False)
    t: int = field(default=0, init=False)
    total: int = field(init=False)
    lr: float = field(default=0.0, init=False)
    running: np.ndarray = field(init=False)
    layers: list[Parameter] = field(init=False)
    cut: int | None = field(default=None, init=False)
    started: bool = field(default=False, init=False)
    reached: bool = field(default=False, init=False)
    closed: bool = field(default=False, init=False)
    reads_gradient = True  # so that `train` hands over the whole gradient, however many threads made it

    def forward(self) -> np.ndarray:
        """Return the (n_weights,) weights at which the next gradient is taken, and note which are live."""
        return self.values

    def backward(self, gradient: np.ndarray) -> None:
        """Turn the gradient at the model's weights into that of the latent weights, in place."""

    def start(self) -> None:
        """Do what is to be done once, when training has reached `begin`."""

    def shown(self) -> np.ndarray:
        """Return the (n_weights,) weights of the pruned net, before they are masked; update `live` where it lags."""
        return self.running

    def scores(self) -> np.ndarray:
        """Return the (n_weights,) scores by which the last cut takes weights, or gives some back."""
        return np.abs(self.values)

    def given_back(self) -> np.ndarray:
        """Return the (n_weights,) values of weights that were masked and that the last cut gives back."""
        return self.values

    def steps(self) -> Iterator[Step]:
        """Train and yield the steps; the first one from `end` on has its `cut`; there the mask is fixed."""
        self._prepare()
        remember(self.run.train, self, self.run.goal, self.run.drawing)
        for step in self.run.train(self.model, self.run.goal.data, epochs=self.run.epochs, rng=self.run.training,
                                   penalty=penalties_with(self.run.train, self)):
            if step.progress == 1:  # `train` may make fewer steps than it seemed
                self._close()
            if not self.closed:
                yield from self._as_pruned(step)
                continue
            step.state.apply_mask()
            yield replace(step, cut=self.cut)
            self.cut = None
        self._close()  # there was nothing to train

    def memory(self) -> dict[str, object]:
        """Return what changes between two steps."""
        return {name: value for name, value in vars(self).items() if name not in MADE_ANEW}

    def make_room(self, names: set[str]) -> None:
        """Make the attributes of these names, which come with `start`; leave the model as it is."""
        if not all(hasattr(self, name) for name in names):
            model, self.started = self.model, True
            values, mask = model.values.copy(), model.mask.copy()
            self.start()
            model.values[:], model.mask[:] = values, mask

    @property
    def model(self) -> Model:
        """The model that is trained and pruned."""
        return self.run.goal.model

    def _prepare(self):
        model, n, goal = self.model, self.model.n_weights, self.run.goal
        self.values, self.base, self.live = model.weights.copy(), model.mask[:n].copy(), model.mask[:n].copy()
        self.layers = [p for p in model.weight_parameters if p.layer in goal.layers]
        self.scope = np.zeros(n, bool)
        for p in self.layers:
            self.scope[p.slice] = self.base[p.slice]
        self.total = self.run.epochs * batches_of(self.run.train, model, goal.data)
        self._run_on()
        model.values[:n] = self.running

    def add_gradient(self, model: Model, grads: np.ndarray) -> None:
        """Turn the gradient into that of the latent weights, and put these where the optimizer moves them."""
        if self.closed:
            return
        if self.started:
            self.backward(grads[: model.n_weights])
        model.values[: model.n_weights] = self.values

    def prox(self, model: Model, lr: float) -> None:
        """Take the latent weights back from the model, and put the weights of the next step there."""
        if self.closed:
            return
        moved = model.values[: model.n_weights]
        self.values[:] = moved if self.moving is None else np.where(self.moving, moved, self.values)
        self.t, self.lr = self.t + 1, lr
        self._run_on()
        moved[:] = self.running
        if self.progress >= self.run.end or self.reached:
            self._close()

    @property
    def progress(self) -> float:
        """The share of the training that is done."""
        return self.t / max(self.total, 1)

    @property
    def way(self) -> float:
        """The share that is done of the way from `begin` to `end`."""
        return min((self.progress - self.run.begin) / (self.run.end - self.run.begin), 1.0)

    def losses(self) -> dict[Parameter, int]:
        """Return how many weights of each layer are masked at the end, if `prune` is asked now."""
        model, n, goal = self.model, self.model.n_weights, self.run.goal
        kept, prune = model.values[:n].copy(), goal.prune
        model.values[:n] = self.values
        goal.prune = partial(prune, criterion="magnitude", record=None, compensate=None)  # it is no round
        goal.reach(1.0)
        lost = {p: int(np.count_nonzero(~p.mask)) for p in self.layers}
        goal.prune, model.mask[:n], model.values[:n] = prune, self.base, kept
        return lost

    def is_enough(self, live: np.ndarray) -> bool:
        """Return True if as many weights as asked for are not among `live`, (n_weights,) bool."""
        masked = sum(int(np.count_nonzero(~live[p.slice])) for p in self.layers)
        return self.run.cuts and masked >= self.run.goal.total

    def keep(self, scores: np.ndarray, lost: dict[Parameter, int], share: float = 1.0) -> np.ndarray:
        """Return (n_weights,) bool: what is live once each layer has lost that share of what it is to lose."""
        live = self.base.copy()
        for p, count in lost.items():
            base = self.base[p.slice]
            before = int(np.count_nonzero(~base))
            live[p.slice] = largest(scores[p.slice], base, before + round(share * max(count - before, 0)))
        return live

    def _run_on(self):
        if not self.started and self.progress >= self.run.begin:
            self.started = True
            self.start()
        self.running = self.forward() if self.started else self.values

    def _as_pruned(self, step):
        """Yield a Step with the model as the pruned net, then put back what training goes on from."""
        model, n, hidden = self.model, self.model.n_weights, step.state.vectors.copy()
        model.values[:n] = self.shown() if self.started else self.values
        model.mask[:n] = self.live
        step.state.apply_mask()
        yield step
        model.mask[:n], model.values[:n], step.state.vectors[:] = self.base, self.running, hidden

    def _close(self):
        """Make the model the pruned net for good, with the exact count; note how many weights the last cut took."""
        if self.closed:
            return
        model, n, goal = self.model, self.model.n_weights, self.run.goal
        self.closed = True
        values = self.shown() if self.started else self.values
        model.values[:n], model.mask[:n] = np.where(self.live, values, 0), self.base
        if not self.run.cuts:
            model.mask[:n] = self.live
            return
        scores = ranked(self.scores() if self.started else np.abs(self.values), self.live)
        goal.prune = partial(goal.prune, criterion=lambda model, data: scores)
        goal.reach(1.0)
        back = model.mask[:n] & ~self.live
        model.values[:n][back] = self.given_back()[back]
        self.cut = int(np.count_nonzero(self.live)) - int(np.count_nonzero(model.mask[:n]))


def ranked(scores: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Return the rank of each score, from 0, all that are live above all that are not; the first lowest in ties."""
    ranks = np.empty(len(scores))
    ranks[np.lexsort((scores, live))] = np.arange(len(scores))
    return ranks


def penalties_with(train: Train, penalty: object) -> tuple:
    """Return the penalties that are bound to `train`, and one more after them."""
    given = bound_to(train, "penalty")
    before = tuple(given) if isinstance(given, tuple | list) else () if given is None else (given,)
    return (*before, penalty)


def batches_of(train: Train, model: Model, data: Data) -> int:
    """Return how many batches an epoch has, by the `batch_size` that `train` has bound or as its default."""
    batch_size = inspect.signature(train).parameters.get("batch_size")
    return -(-len(part_of(model, data)[1]) // (64 if batch_size is None else batch_size.default))


def largest(scores: np.ndarray, base: np.ndarray, gone: int) -> np.ndarray:
    """Return (n,) bool: False at `gone` entries, those outside `base` and then the lowest scores, the first in ties."""
    out, state = np.empty(len(scores), bool), np.logical_not(base).view(np.uint8) * np.uint8(GONE)  # else 0, MAY_GO
    select_lowest(np.ascontiguousarray(scores), state, gone, out)
    return ~out


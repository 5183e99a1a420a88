"""The laws of layers: gradients against differences, pure passes, and what a layer declares.

A law takes a Case and returns what is wrong, with an example, or None.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minnet.engine.containers import Sequential
from minnet.engine.dense import Dense
from minnet.engine.layer import Layer, rebuild
from minnet.engine.tape import Tape
from minnet.errors import InvalidType, MinnetError, check_kind
from minnet.model import Model
from minnet.pruning.compact import compact
from minnet.runtime.freeze import freeze
from minnet.testing.broken import Law, broken, chosen, difference
from minnet.testing.small import random_mask, randomise, spaced

STEP = 1e-5
CLOSE = 1e-6  # relative error of a gradient
SHAPES = ((5,), (4, 5, 2))  # of inputs that a layer is tried with
MODES = {"in use": False, "in training": True}


@dataclass(frozen=True)
class Case:
    """Hold a model whose only layer is the one to check, rows for it, and a gradient of its outputs."""

    model: Model
    x: np.ndarray
    dy: np.ndarray

    @property
    def layer(self) -> Layer:
        """Return the layer, as it is in the model."""
        return self.model.tree.layers[0]


def check_layer(layer: Layer, shape: int | Sequence[int] | None = None, *, laws: Sequence[str] | None = None) -> None:
    """Check the laws that every layer keeps.

    `backward` gives the gradient of `forward`, for the input and each parameter, in training and in use; a pass
    changes neither its arguments nor the model, and a second one gives the same bits; a rebuilt layer computes the
    same; rows do not see each other; what is declared (`per_unit`, `elementwise`, `increasing`) holds; compaction and
    freezing keep the outputs of a net with the layer in it, whatever is masked.

    Parameters
    ----------
    layer : Layer
        An instance, in no model yet or in any.
    shape : int or sequence of int, optional
        Shape of its input, without the batch. Default: the first of (5,) and (4, 5, 2) that it takes.
    laws : sequence of str, optional
        Names in LAYER_LAWS. Default: all.

    Raises
    ------
    LawBroken
        A law does not hold; the message names it and shows an example.
    InvalidType
        It is no layer, but a class or something else.
    """
    check_kind("check_layer", layer, Layer)
    hold(case_of(layer, shape), laws)


def hold(case: Case, laws: Sequence[str] | None = None) -> None:
    """Raise LawBroken where a law does not hold in a case."""
    for law in chosen(laws, LAYER_LAWS):
        if wrong := law(case):
            raise broken(f"the layer {case.layer!r}", law, f"inputs of shape {case.model.input_shape}", wrong)


def case_of(layer: Layer, shape: int | Sequence[int] | None = None, batch: int = 3) -> Case:
    """Return the layer in a model of its own, with random values and an input without close calls."""
    errors: list[Exception] = []
    for tried in SHAPES if shape is None else (shape,):
        try:
            model = Model(Sequential(rebuild(layer)), tried, rng=0, dtype=np.float64)
            rng = np.random.default_rng(0)
            randomise(model, rng)
            x = spaced((batch, *model.input_shape), rng)
            model(x)
        except (MinnetError, ValueError, TypeError, IndexError) as error:
            errors.append(error)
            continue
        return Case(model, x, np.random.default_rng(1).normal(size=(batch, *model.output_shape)))
    raise InvalidType(f"{layer!r} takes no input of shape {SHAPES if shape is None else shape}: give check_layer the "
                      f"shape that it takes ({str(errors[0]).partition(chr(10))[0]})")


def run(model: Model, x: np.ndarray, values: np.ndarray | None = None, training: bool = False,
        dy: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Return outputs, and given `dy` the gradients of the trainable entries and of x; noise is the same each time."""
    tape = Tape(model, values, training=training, rng=np.random.default_rng(5), input_gradient=True)
    y = model.forward(x, tape).copy()
    if dy is None:
        return (y,)
    dx = model.backward(dy.copy(), tape)
    return y, tape.grads[: model.n_trainable].copy(), dx.copy()


def slope(f: Callable[..., float], at: np.ndarray, direction: np.ndarray, step: float = STEP) -> float:
    """Return the derivative of f(at + t direction) at t = 0, by central differences."""
    return (f(at + step * direction) - f(at - step * direction)) / (2 * step)


def all_slopes(f: Callable[..., float], at: np.ndarray) -> np.ndarray:
    """Return the derivative of f in each coordinate of the array `at`."""
    units = np.eye(at.size).reshape(at.size, *at.shape)
    return np.array([slope(f, at, unit) for unit in units]).reshape(at.shape)


def far(numeric: np.ndarray, exact: np.ndarray, scale: float = 1.0) -> str | None:
    """Return where gradients differ by more than CLOSE of the largest entry, or of rounding in a loss of `scale`."""
    numeric, exact = np.asarray(numeric), np.asarray(exact)
    size = max(np.abs(exact).max(initial=0.0), 1e-3 * scale)
    return difference(exact, numeric, atol=CLOSE * size)


# --- the laws --------------------------------------------------------------------------------------------------------


def gradients(case: Case) -> str | None:
    """Give by `backward` the central differences of sum(r y), in training and in use."""
    model, x, r = case.model, case.x, case.dy
    statistics = model.values[model.n_trainable :]
    for mode, training in MODES.items():
        _, dvalues, dx = run(model, x, training=training, dy=r)

        def of_values(trainable, training=training):
            return np.sum(r * run(model, x, np.concatenate([trainable, statistics]), training)[0])

        def of_x(x, training=training):
            return np.sum(r * run(model, x, None, training)[0])

        if wrong := far(all_slopes(of_values, model.values[: model.n_trainable]), dvalues):
            return f"{mode}, the gradient of the parameters: {wrong}"
        if wrong := far(all_slopes(of_x, x), dx):
            return f"{mode}, the gradient of the input: {wrong}"
    return None


def a_pass_is_pure(case: Case) -> str | None:
    """Overwrite gradients, leave all arguments as they are, and give the same bits a second time."""
    model, x, r = case.model, case.x, case.dy
    arrays = {"x": x, "dy": r, "the values": model.values}
    given = {name: array.tobytes() for name, array in arrays.items()}  # read-only ones would be compiled for anew
    for training in MODES.values():
        found = set()
        for input_gradient in (True, True, False):
            grads = np.full(len(model.values), np.nan)
            tape = Tape(model, training=training, rng=np.random.default_rng(5), grads=grads,
                        input_gradient=input_gradient)
            for _ in range(2):
                tape.rng = np.random.default_rng(5)
                model.forward(x, tape)
                model.backward(r, tape)
            found.add(grads[: model.n_trainable].tobytes())
            if not np.isfinite(grads[: model.n_trainable]).all():
                return "backward leaves a gradient unwritten, or adds to what is there: assign to `of(tape.grads)[...]`"
            if changed := [name for name, array in arrays.items() if array.tobytes() != given[name]]:
                return f"a pass writes to {', '.join(changed)}"
        if len(found) > 1:
            return "two passes give other gradients"
    return None


def it_is_its_arguments(case: Case) -> str | None:
    """Compute the same when it is made again from the arguments that its constructor stored."""
    return difference(case.model.clone()(case.x), case.model(case.x))


def rows_do_not_see_each_other(case: Case) -> str | None:
    """Give each row, in use, what it gives when it is alone."""
    whole = run(case.model, case.x)[0]
    for i in range(len(case.x)):
        if wrong := difference(run(case.model, case.x[i : i + 1])[0], whole[i : i + 1], 1e-9, 1e-12):
            return f"row {i} alone: {wrong}"
    return None


def per_unit(case: Case) -> str | None:
    """Let unit i of the output depend on unit i of the input alone, where it declares so."""
    y = run(case.model, case.x)[0]
    for unit in range(case.x.shape[-1]) if case.layer.per_unit else ():
        moved = case.x.copy()
        moved[..., unit] += 0.37
        other = run(case.model, moved)[0]
        others = np.arange(y.shape[-1]) != unit
        if wrong := difference(other[..., others], y[..., others]):
            return f"input unit {unit} moved, and another unit of the output with it: {wrong}"
    return None


def elementwise(case: Case) -> str | None:
    """Compute number by number the same f, which never falls if it is increasing, where it declares so."""
    if not case.layer.elementwise:
        return None
    y = run(case.model, case.x)[0]
    order = np.argsort(case.x, axis=None)
    shuffled = case.x.reshape(-1)[order].reshape(case.x.shape)
    again = run(case.model, shuffled)[0].reshape(-1)
    if wrong := difference(again, y.reshape(-1)[order], 1e-12, 1e-12):
        return f"other places, other numbers: {wrong}"
    falls = np.diff(again) < -1e-12
    if case.layer.increasing and falls.any():
        i = int(falls.argmax())
        return f"f falls between {case.x.reshape(-1)[order[i]]:.6g} and {case.x.reshape(-1)[order[i + 1]]:.6g}"
    return None


def compact_and_freeze(case: Case) -> str | None:
    """Keep the outputs of a net with the layer in it through `compact` and `freeze`, whatever is masked."""
    sparse = any(p.index is not None for p in case.model.parameters.values())  # whose mask is of single weights
    for seed, kinds in enumerate(({"units"}, {"units", "rows"}, {"weights", "biases"}, {"columns"})):
        if sparse and kinds != {"weights", "biases"}:
            continue
        model = between(case, seed)
        model.set_mask(random_mask(model, kinds, 0.6, np.random.default_rng(seed)))
        y = model(case.x)
        size = max(1.0, float(np.abs(y).max()))
        if wrong := difference(compact(model)(case.x), y, 1e-9, 1e-9 * size):
            return f"compact, where {' and '.join(sorted(kinds))} are masked: {wrong}"
        single = model.clone(np.float32)
        x = case.x.astype(np.float32)
        if wrong := difference(freeze(single)(x), single(x), 1e-4, 1e-4 * size):
            return f"freeze, where {' and '.join(sorted(kinds))} are masked: {wrong}"
    return None


def between(case: Case, seed: int) -> Model:
    """Return a net with the layer between others: units made before it, units read after it."""
    shape, layer = case.model.input_shape, rebuild(case.layer)
    first = [Dense(shape[0])] if len(shape) == 1 else []
    last = [Dense(3)] if len(case.model.output_shape) == 1 else []
    rng = np.random.default_rng(seed)
    return randomise(Model(Sequential(*first, layer, *last), shape, rng=seed, dtype=np.float64), rng)


LAYER_LAWS: dict[str, Law] = {f.__name__: f for f in (
    gradients, a_pass_is_pure, it_is_its_arguments, rows_do_not_see_each_other, per_unit, elementwise,
    compact_and_freeze)}

"""Weights of a sparse net that move: removed at some positions, grown at others, as many as before.

    goal = sparse_start("rigl", model, data, 0.95, prune, rng)
    for step in rewiring(goal, train, update): ...
    move(step.state, parameter, positions, gone, choose)

New weights begin at 0, with moments of 0; a layer that has all its weights has no free position, and stays as it is.
"""
from functools import partial

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.dense import Dense
from minnet.engine.model import Model
from minnet.engine.sample import Sample, draw_sample, gradient
from minnet.engine.state import Step
from minnet.engine.tape import Tape
from minnet.engine.vector import Parameter
from minnet.errors import Unsupported, check_count, quoted
from minnet.fast.choose import sparse_layers
from minnet.fast.live_weights import LiveModel
from minnet.formats.checkpoint import remember
from minnet.kernels.select import MAY_GO, STAYS, select_lowest
from minnet.pruning.parse import Structure
from minnet.pruning.recipes.goal import Goal, bound_to
from minnet.pruning.scores import Data


def sparse_start(name, model, data, sparsity, prune, rng, schedule="one_shot", once=False):
    """Return the Goal of a net whose single weights move; by default it is pruned before the first step alone.

    With sparsity None it is as sparse as it is given or, where weights are removed `once`, as a `distribution` of
    layers and sparsities says.
    """
    check_single(name, bound_to(prune, "structure", "weight"))
    sets_count = once and isinstance(bound_to(prune, "distribution"), dict)
    return Goal(model, data, 0.0 if sparsity is None and not sets_count else sparsity, schedule, prune, rng)


def check_samples(samples: int | None) -> None:
    """Raise InvalidValue or InvalidType where `samples` is neither None nor a number of rows."""
    if samples is not None:
        check_count("samples", samples, 1)


def check_single(name: str, structure: Structure) -> None:
    """Raise Unsupported for a structure whose weights are removed together."""
    if structure != "weight":
        raise Unsupported(f'{name} trains single weights, and structure={quoted(repr(structure))} removes several '
                          'together: take structure="weight" or another recipe')


def rewiring(goal, train, update, *memory):
    """Yield the steps of training at the goal's sparsity, each after update(step, the layers that were pruned).

    `memory` is what the update remembers between two steps.
    """
    layers = goal.reach(1.0).layers
    remember(train, goal, *memory)
    for step in train(goal.model, goal.data):
        update(step, layers)
        yield step


def movable(model, layers):
    """Return the weights of these layers, except of layers that have all of theirs."""
    return [p for p in model.weight_parameters if p.layer in layers and n_slots(p) < p.size]


def replace_by_gradient(step: Step, layers: list[str], share: float, data: Data, samples: int | None,
                        rng: np.random.Generator) -> None:
    """Replace a share of each layer's live weights, the smallest ``|w|``, by weights where the gradient is largest."""
    model, live = step.model, live_form(step.model)
    if live is None or not all(type(model.layers[name]) is Dense for name in live.positions):
        seen = model
    else:
        seen = live.model
    tape = one_pass(seen, draw_sample(model, data, samples=samples, rng=rng))
    for p in movable(model, layers):
        positions, value, alive = slots(p)
        gone = lowest(np.abs(value), alive, round(share * np.count_nonzero(alive)))
        move(step.state, p, positions, gone, partial(steepest, tape, p))


def live_form(model: Model) -> LiveModel | None:
    """Return the model of live weights alone that gives the same numbers, or None where no layer has few of them."""
    few = {layer.name: np.flatnonzero(layer.weight.mask) for layer in sparse_layers(model)}
    if not few:
        return None
    live = LiveModel(model, few, 0)
    np.take(model.values, live.index, out=live.model.values)
    return live


def one_pass(model, sample, weights=None):
    """Return the tape of a pass forward and backward over the whole sample at once.

    With `weights` (n,) each row's loss counts so many times.
    """
    tape = Tape(model)
    with one_blas_thread():
        logits = model.forward(sample.X[:], tape)
        dlogits = tape.buffer(sample, "dlogits", logits.shape)
        sample.loss(logits, sample.y, dlogits, len(sample))
        if weights is not None:
            dlogits *= weights.reshape(-1, *(1,) * (dlogits.ndim - 1))
        model.backward(dlogits, tape)
    return tape


def steepest(tape: Tape, p: Parameter, count: int, taken: np.ndarray) -> np.ndarray:
    """Return the `count` positions of a parameter outside `taken` where its gradient on the tape is largest, sorted.

    The lowest positions are taken where it is equal. Of a layer born sparse no dense matrix is made. The tape may be
    one of the `live_form` of the model.
    """
    layer, seen = tape.model.layers[p.layer], tape.model.parameters[p.name]
    if p.index is not None:
        return layer.steepest(tape, count, taken)
    with one_blas_thread():
        slopes = seen.of(tape.grads) if seen.index is None else layer.dense_gradient(tape)
    scores, out = np.abs(slopes.reshape(-1)), np.empty(p.size, bool)
    state = np.full(p.size, MAY_GO, np.uint8)
    state[taken] = STAYS
    select_lowest(np.negative(scores, out=scores), state, count, out)
    return np.flatnonzero(out)


def lowest(scores: np.ndarray, may: np.ndarray, count: int) -> np.ndarray:
    """Return (n,) bool: the `count` lowest scores where `may` is True, the first ones where they are equal."""
    out = np.empty(len(scores), bool)
    select_lowest(scores, np.logical_not(may).view(np.uint8), count, out)  # MAY_GO is 0, STAYS is 1
    return out


def slots(p):
    """Return where a parameter has weights, sorted and flat, these weights, and which of them are live.

    Of a masked parameter these are the live ones; one that was born sparse has masked ones too.
    """
    if p.index is not None:
        return p.index, p.value, p.mask
    positions = np.flatnonzero(p.mask)
    return positions, p.value.reshape(-1)[positions], np.ones(len(positions), bool)


def n_slots(p):
    """Return how many positions `slots` gives."""
    return np.count_nonzero(p.mask) if p.index is None else len(p.index)


def live_gradient(model: Model, sample: Sample) -> np.ndarray:
    """Return dL/dw of the live weights over the sample, in the model's index space; 0 where others make no gradient.

    Layers with few live weights are passed by these alone, so that none of them makes a dense gradient.
    """
    live = live_form(model)
    if live is None:
        return gradient(model, sample)
    slopes = np.zeros_like(model.values)
    slopes[live.index] = gradient(live.model, sample)
    return slopes


def move(state, p, positions, gone, choose, count=None):
    """Remove the weights that `gone` marks, and grow `count`, or as many, at choose(count, positions that are kept)."""
    drop = positions[gone]
    grow = choose(len(drop) if count is None else count, positions[~gone])
    if p.index is not None:
        state.model.rewire(p, drop, grow, state)
        return
    for vector in (state.model.values, *state.vectors):
        p.of(vector).reshape(-1)[drop] = 0
    mask = p.mask.reshape(-1)
    mask[drop] = False
    mask[grow] = True

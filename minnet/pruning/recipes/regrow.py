"""Recipes that train a sparse net from its first step to its last: weights go, and as many come at other places.

    for step in recipes.set(model, data, 0.95, epochs=50, rng=0): ...
    for step in recipes.rigl(sparse_mlp(widths), data, None, train=partial(train, every=100)): ...

A dense model begins with random weights masked, unless `prune` is bound to choose otherwise; then, and with sparsity
None at once, the count of live weights of every layer stays as it is. In a layer that was born sparse the places
themselves move. Weights move one by one, so other structures are refused. What comes begins at 0, with moments of 0; a
layer that has all its weights has nowhere to go, and stays.
"""
import math
from functools import partial

import numpy as np

from minnet import threads
from minnet.blas import one_blas_thread
from minnet.engine.rewire import draw_places, renew
from minnet.engine.rng import as_rng
from minnet.engine.sample import draw_sample
from minnet.engine.tape import Tape
from minnet.errors import Unsupported, check_count, check_fraction, quoted
from minnet.kernels.select import select_lowest, select_near_zero
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Goal
from minnet.training import train as train_

ERDOS_RENYI = partial(prune_, criterion="random", distribution="erdos_renyi")
ERK = partial(prune_, criterion="random", distribution="erk")
ROWS = 128  # of the training part, that a dense gradient is taken over


def set_(model, data, sparsity, *, epochs=30, schedule="one_shot", zeta=0.3, prune=ERDOS_RENYI,
         train=train_, rng=None):
    """SET: after every epoch but the last, in every layer, the share `zeta` of the smallest positive and of the largest
    negative weights goes, and as many come at random places (Mocanu et al., 2018, algorithm 1).

    A weight of 0 counts as positive. `schedule` is of no account: the net is sparse from the start.
    """
    training, pruning, growing = as_rng(rng).spawn(3)
    check_fraction("zeta", zeta)
    goal = _beginning("set", model, data, sparsity, prune, pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _moving(goal, train, partial(_after_epochs, zeta=zeta, rng=growing))


def rigl(model, data, sparsity, *, epochs=30, schedule="one_shot", interval=100, alpha=0.3, end=0.75, samples=ROWS,
         prune=ERK, train=train_, rng=None):
    """RigL: whenever `interval` steps have passed, in every layer, the share alpha/2 (1 + cos(pi t / T_end)) of the
    smallest |w| goes, and as many come where the gradient is largest (Evci et al., 2020, algorithm 1).

    T_end is the share `end` of the training. As in the paper, a weight that just went may come back, at 0. The gradient
    of all places, dead ones too, is taken then and only then, over `samples` rows of the training part. The net has its
    turn at the steps that `train` yields: bind every=100 to it where an epoch is longer. `schedule` is of no account.
    """
    training, pruning, growing = as_rng(rng).spawn(3)
    for name, share in (("alpha", alpha), ("end", end)):
        check_fraction(name, share)
    if samples is not None:
        check_count("samples", samples, 1)
    goal = _beginning("rigl", model, data, sparsity, prune, pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    climb = _Climb(data, check_count("interval", interval, 1), alpha, end, samples, growing)
    return _moving(goal, train, climb)


def _beginning(name, model, data, sparsity, prune, rng):
    """The Goal of the only pruning there is: before the first step."""
    check_single(name, getattr(prune, "keywords", {}).get("structure", "weight"))
    return Goal(model, data, 0.0 if sparsity is None else sparsity, "one_shot", prune, rng)


def check_single(name, structure):
    """Refuse a structure whose weights go together."""
    if structure != "weight":
        raise Unsupported(f'{name} moves single weights, and those of structure={quoted(repr(structure))} go together: '
                          'take structure="weight" or another recipe')


def _moving(goal, train, turn):
    layers = goal.reach(1.0).layers
    for step in train(goal.model, goal.data):
        turn(step, layers)
        yield step


def _movable(model, layers):
    """The weights of these layers, but for layers that have all of theirs."""
    return [p for p in model.weight_parameters if p.layer in layers and len(_places(p)) < p.size]


def _after_epochs(step, layers, zeta, rng):
    """SET's turn."""
    if step.batch == 0 and step.progress < 1:
        evolve(step.state, layers, zeta, rng)


def evolve(state, layers, zeta, rng):
    """One change of SET, in the layers of these names: `zeta` of the smallest weights of either sign go, as many come.
    """
    movable = _movable(state.model, layers)
    threads.run([partial(_evolve, state, p, zeta, stream)
                 for p, stream in zip(movable, rng.spawn(len(movable)), strict=True)])
    if any(p.index is not None for p in movable):
        state.model.topology = state.topology = state.model.topology + 1


def _evolve(state, p, zeta, rng):
    """The same in one layer."""
    value, live = _values(p)
    gone = np.empty(len(value), bool)
    select_near_zero(value, live, zeta, gone)
    if p.index is None:
        _move(state, p, gone, partial(draw_places, rng, p.size))
    else:
        renew(state, p, gone, rng)


class _Climb:
    """RigL's turns, and when the last one was."""

    def __init__(self, data, interval, alpha, end, samples, rng):
        self.data, self.samples, self.rng = data, samples, rng
        self.interval, self.alpha, self.end = interval, alpha, end
        self.turns = 0

    def __call__(self, step, layers):
        turns = step.state.t // self.interval
        if turns == self.turns or step.progress >= self.end:
            return
        self.turns = turns
        share = self.alpha / 2 * (1 + math.cos(math.pi * step.progress / self.end))
        tape = _pass(step.model, draw_sample(step.model, self.data, samples=self.samples, rng=self.rng))
        for p in _movable(step.model, layers):
            value, live = _values(p)
            gone = lowest(np.abs(value), live, round(share * np.count_nonzero(live)))
            _move(step.state, p, gone, partial(steepest, tape, p))


def _pass(model, sample):
    """The tape of a pass forward and backward over the whole sample at once."""
    tape = Tape(model)
    with one_blas_thread():
        logits = model.forward(sample.X, tape)
        dlogits = tape.buffer(sample, "dlogits", logits.shape)
        sample.loss(logits, sample.y, dlogits, len(sample))
        model.backward(dlogits, tape)
    return tape


def steepest(tape, p, count, taken):
    """The `count` places of a parameter outside `taken` where its gradient on the tape is largest, the lowest ones
    where it is equal: sorted. Of a layer born sparse no dense matrix is made."""
    if p.index is not None:
        return tape.model.layers[p.layer].steepest(tape, count, taken)
    free = np.ones(p.size, bool)
    free[taken] = False
    return np.flatnonzero(lowest(-np.abs(p.of(tape.grads).reshape(-1)), free, count))


def lowest(scores, may, count):
    """(n,) bool: the `count` lowest scores of those that `may`, the first ones where they are equal."""
    out = np.empty(len(scores), bool)
    select_lowest(scores, np.logical_not(may).view(np.uint8), count, out)  # MAY_GO is 0, STAYS is 1
    return out


def _places(p):
    """The sorted flat places of a parameter's weights: its index, or where its mask is."""
    return np.flatnonzero(p.mask) if p.index is None else p.index


def _values(p):
    """(the weights at these places, whether each is live)."""
    return (p.value[p.mask], np.ones(np.count_nonzero(p.mask), bool)) if p.index is None else (p.value, p.mask)


def _move(state, p, gone, choose):
    """The weights that `gone` marks go, and as many come at choose(count, places that are kept)."""
    places = _places(p)
    drop = places[gone]
    grow = choose(len(drop), places[~gone])
    if p.index is not None:
        state.model.rewire(p, drop, grow, state)
        return
    for vector in (state.model.values, *state.vectors):
        p.of(vector).reshape(-1)[drop] = 0
    mask = p.mask.reshape(-1)
    mask[drop] = False
    mask[grow] = True


RECIPES = {f.__name__.rstrip("_"): f for f in (set_, rigl)}

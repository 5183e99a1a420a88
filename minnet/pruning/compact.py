"""compact: a mask becomes a smaller network with the same outputs.

    small = compact(model)                     # the model given is not changed
    small, state = compact(model, state)       # and training goes on where it was
    print(compact_report(model))               # what goes, layer by layer, and what cannot and why
    scores = expand(small, model, scores)      # survivors back at their old places

What goes is proved by the mask alone (see paths.py): a unit that merely never fires on some data stays.
"""
import copy

import numpy as np

from minnet.engine.state import State
from minnet.errors import InvalidType, InvalidValue, check_kind, quoted
from minnet.model import Model
from minnet.pruning.compaction.batchnorm import fold_norms
from minnet.pruning.compaction.cut import cut, place, survivors
from minnet.pruning.compaction.plan import Plan
from minnet.pruning.compaction.report import Report


def compact(model, state=None, *, fold_batchnorm=False):
    """A smaller Model with the outputs of `model` (to rounding), without the units that its mask makes superfluous.

    A unit goes where no live path leads from it to the logits, or where all that is read of it is a constant; the
    constant is added to the bias of the layer that read it (which gets one if it had none). A constant that is not 0
    and meets the zeros of padding is not the same everywhere: such a unit stays. Units that a Residual joins go
    together or not at all; input and logits stay; an axis keeps at least one unit, then masked. Layers keep their
    names, weights that remain masked stay masked, and what was not touched keeps its bits.

    With `state` (a State of `model`) it returns (Model, State): the optimizer's vectors are cut alike. Training goes on
    as it would have where every unit that went was unread, or 0 with nothing in it left to learn, as a unit pruned
    whole is. A constant that was folded keeps the outputs, not what training would have made of it: the report counts
    them. With `fold_batchnorm` each BatchNorm that can be is folded into the layer before it, or after; then no state
    is taken. Raises InvalidValue for a State of another model, Unsupported for layers that were born sparse.
    """
    _check(model, state, fold_batchnorm)
    small, source = cut(Plan(model))
    if fold_batchnorm:
        small, _ = fold_norms(small)
    return small if state is None else (small, _cut_state(state, small, source))


def compact_report(model, *, fold_batchnorm=False):
    """The Report of `compact(model)`: per layer what goes and why, and what could not go and why; prints as a table."""
    _check(model)
    plan = Plan(model)
    small, _ = cut(plan)
    return Report(plan, small, fold_norms(small)[1] if fold_batchnorm else {})


def expand(small, original, vector=None):
    """What is in `small` = compact(original), since then trained or pruned further, back at its place in `original`.

    Without `vector` a Model like `original`, in which what went is masked; its outputs are those of `small`. With a
    vector of `small` (scores, a mask, gradients; of its weights, of what it trains, or whole) the vector of the same
    zones of `original`, 0 or False where something went. Raises InvalidValue where `small` is not what
    compact(original) makes, and, without `vector`, where `small` has a bias that `original` has no place for.
    """
    source = _source(small, original)
    if vector is not None:
        return _expand_vector(small, original, source, np.asarray(vector))
    if (source < 0).any():
        new = [name for name in small.parameters if name not in original.parameters]
        raise InvalidValue(f"{new[0]} took up constants when the model was compacted, and the original has no such "
                           "bias: give `vector`, or build the original with use_bias=True")
    whole = original.clone()
    mask = np.zeros(len(whole.mask), bool)
    mask[whole.n_trainable :] = True
    mask[source] = small.mask
    whole.values[source] = small.values
    whole.set_mask(mask)
    return whole


def _check(model, state=None, fold_batchnorm=False):
    check_kind("compact", model, Model)
    if state is None:
        return
    if not isinstance(state, State):
        raise InvalidType(f"compact takes the State of a training run, got {quoted(repr(state))}: step.state has it")
    if state.model is not model:
        raise InvalidValue("the State given belongs to another model: call compact(state.model, state)")
    if fold_batchnorm:
        raise InvalidValue("fold_batchnorm=True takes away what training needs: leave it or the State away")


def _cut_state(state, small, source):
    """The State of the same run, at the same place, with the optimizer's vectors cut like the values."""
    run = State(small, state.optimizer, state.seed, state.threads)
    place = source[: small.n_trainable]
    run.vectors[:, place >= 0] = state.vectors[:, place[place >= 0]]
    run.epoch, run.batch, run.t, run.loss_sum = state.epoch, state.batch, state.t, state.loss_sum
    run.batch_size = state.batch_size
    run.rngs = copy.deepcopy(state.rngs)
    run.apply_mask()
    return run


def _source(small, original):
    """Where each entry of `small` stands in `original`; -1 for a bias that is not there."""
    left = survivors(Plan(original))
    shapes = {name: p.shape for name, p in small.parameters.items()}
    wanted = {name: positions.shape for name, positions in left.items()}
    new = {name: shape for name, shape in shapes.items() if name not in wanted and name.endswith(".bias")}
    if shapes != wanted | new:
        name = next(n for n in shapes | wanted if n not in new and shapes.get(n) != wanted.get(n))
        raise InvalidValue(f"{name} has the shape {shapes.get(name)} in the small model, and {wanted.get(name)} in "
                           "compact(original): expand takes what compact made and the model with the mask it had then")
    return place(small, left)


def _expand_vector(small, original, source, vector):
    """The vector of the original's zones; False or 0 where nothing survived."""
    zones = {len(small.values): len(original.values), small.n_trainable: original.n_trainable,
             small.n_weights: original.n_weights}
    if vector.ndim != 1 or len(vector) not in zones:
        raise InvalidValue(f"the vector has the shape {vector.shape}; wanted one number for each of the "
                           f"{small.n_weights} weights of the small model, or of its {len(small.values)} values")
    whole = np.zeros(zones[len(vector)], vector.dtype)
    old = source[: len(vector)] >= 0
    whole[source[: len(vector)][old]] = vector[old]
    return whole

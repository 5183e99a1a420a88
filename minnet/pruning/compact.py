"""Compact: make of a masked network a smaller one with the same outputs.

    small = compact(model)                     # the model given is not changed
    small, state = compact(model, state)       # and training continues where it was
    print(compact_report(model))               # what is removed, layer by layer, and what cannot be and why
    scores = expand(small, model, scores)      # survivors at their old places

The mask proves what can be removed (see paths.py): a unit that merely never fires on some data stays.
"""
import copy
from typing import TypeVar, overload

import numpy as np

from minnet.engine.model import Model
from minnet.engine.state import State
from minnet.errors import InvalidType, InvalidValue, check_kind, quoted
from minnet.pruning.compaction.batchnorm import fold_norms
from minnet.pruning.compaction.cut import cut, place, survivors
from minnet.pruning.compaction.plan import CompactionPlan
from minnet.pruning.compaction.report import Report

M = TypeVar("M", bound=Model)  # the class of the model given is that of the one returned


@overload
def compact(model: M, state: None = None, *, fold_batchnorm: bool = False, inputs: bool = False) -> M: ...
@overload
def compact(model: M, state: State, *, fold_batchnorm: bool = False, inputs: bool = False) -> tuple[M, State]: ...
def compact(model: M, state: State | None = None, *, fold_batchnorm: bool = False,
            inputs: bool = False) -> M | tuple[M, State]:
    """Return a smaller Model with the same outputs (to rounding), without the units that the mask makes superfluous.

    A unit is removed where no live path leads from it to the logits, or where all that is read of it is a constant; the
    constant is added to the bias of the layer that read it (which gets one if it had none). A constant that is not 0
    and meets the zeros of padding is not the same everywhere: such a unit stays. Units that a Residual joins are
    removed together or not at all; logits stay, and the input unless `inputs` is True; an axis keeps at least one unit,
    then masked. Layers keep their names, weights that remain masked stay masked, and what is not touched keeps its
    bits.

    Parameters
    ----------
    model : Model
        The pruned model; it does not change.
    state : State, optional
        The training run of `model`, to be compacted with it: the optimizer's vectors are cut alike. Training continues
        as it would have where every removed unit was unread, or 0 with nothing in it left to learn, as a unit pruned
        by a unit structure is. A constant that was folded keeps the outputs, not what training would have made of it:
        the report counts them.
    fold_batchnorm : bool, default False
        Fold each BatchNorm that can be folded into the layer before it, or after; then no state is taken.
    inputs : bool, default False
        Remove features of the input too that no live path reads: columns, pixels where Flatten comes first, or else
        channels. The `signature` of the smaller model says which ones it takes; it picks them by name from tables, and
        by index from arrays as wide as those of `model`. An array that has its own columns alone is taken as it is.

    Returns
    -------
    Model, or (Model, State) with `state`

    Raises
    ------
    InvalidValue
        For a State of another model, or a State beside `fold_batchnorm`.
    Unsupported
        For layers that were born sparse.
    """
    _check(model, state, fold_batchnorm)
    plan = CompactionPlan(model, inputs)
    small, source = cut(plan)
    if fold_batchnorm:
        small, _ = fold_norms(small)
    small.signature = _signature(plan)
    return small if state is None else (small, _cut_state(state, small, source))


def compact_report(model: Model, *, fold_batchnorm: bool = False, inputs: bool = False) -> Report:
    """Report what `compact(model)` removes in each layer and why, and what it cannot remove and why.

    Parameters
    ----------
    model : Model
        The pruned model; it does not change.
    fold_batchnorm, inputs : bool, default False
        As in `compact`.

    Returns
    -------
    Report
        It prints as a table; its `rows` are for programs.

    Raises
    ------
    Unsupported
        For layers that were born sparse.
    """
    _check(model)
    plan = CompactionPlan(model, inputs)
    small, _ = cut(plan)
    return Report(plan, small, fold_norms(small)[1] if fold_batchnorm else {})


@overload
def expand(small: Model, original: M, vector: None = None) -> M: ...
@overload
def expand(small: Model, original: Model, vector: np.ndarray) -> np.ndarray: ...
def expand(small: Model, original: M, vector: np.ndarray | None = None) -> M | np.ndarray:
    """Return what is in `small` = compact(original) at its old places in `original`: the inverse of `compact`.

    Parameters
    ----------
    small : Model
        The compacted model, perhaps trained or pruned further since.
    original : Model
        The model that was compacted, with the mask that it had then; it does not change.
    vector : array, optional
        A vector of `small`, such as scores, a mask or gradients: of its weights, of what it trains, or whole.

    Returns
    -------
    Model, or array with `vector`
        A Model like `original`, in which removed weights are masked and whose outputs are those of `small`; or the
        vector of the same zones of `original`, 0 or False at removed entries.

    Raises
    ------
    InvalidValue
        If `small` is not what compact(original) makes, or, without `vector`, has a bias that `original` has no place
        for.
    """
    source = _source(small, original)
    if vector is not None:
        return _expand_vector(small, original, source, np.asarray(vector))
    if (source < 0).any():
        new = [name for name in small.parameters if name not in original.parameters]
        raise InvalidValue(f"{new[0]} gained constants when the model was compacted, and the original has no such "
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
        raise InvalidValue("fold_batchnorm=True removes what training needs: leave out it or the State")


def _signature(plan):
    """Return the signature of the compacted model: that of the model, for the features of the input that are kept."""
    signature, kept = plan.model.signature, plan.kept_inputs
    if kept.all():
        return signature
    if signature is None:
        from minnet.data.signature import AS_GIVEN, Signature  # here, as compaction reads no data otherwise

        signature = Signature(plan.model.input_shape, task=AS_GIVEN)
    return signature.select(np.flatnonzero(kept), plan.input_shape)


def _cut_state(state, small, source):
    """Return the State of the same run, at the same place, with the optimizer's vectors cut like the values."""
    run = State(small, state.optimizer, state.seed, state.threads)
    place = source[: small.n_trainable]
    run.vectors[:, place >= 0] = state.vectors[:, place[place >= 0]]
    run.epoch, run.batch, run.t, run.loss_sum = state.epoch, state.batch, state.t, state.loss_sum
    run.batch_size = state.batch_size
    run.rngs = copy.deepcopy(state.rngs)
    run.apply_mask()
    return run


def _source(small, original):
    """Return the position in `original` of each entry of `small`; -1 for a bias that is not there."""
    left = survivors(CompactionPlan(original, inputs=small.input_shape != original.input_shape))
    shapes = {name: p.shape for name, p in small.parameters.items()}
    wanted = {name: positions.shape for name, positions in left.items()}
    new = {name: shape for name, shape in shapes.items() if name not in wanted and name.endswith(".bias")}
    if shapes != wanted | new:
        name = next(n for n in shapes | wanted if n not in new and shapes.get(n) != wanted.get(n))
        raise InvalidValue(f"{name} has the shape {shapes.get(name)} in the small model, and {wanted.get(name)} in "
                           "compact(original): expand takes what compact made and the model with the mask it had then")
    return place(small, left)


def _expand_vector(small, original, source, vector):
    """Return the vector of the original's zones; False or 0 where nothing survived."""
    zones = {len(small.values): len(original.values), small.n_trainable: original.n_trainable,
             small.n_weights: original.n_weights}
    if vector.ndim != 1 or len(vector) not in zones:
        raise InvalidValue(f"the vector has the shape {vector.shape}; wanted one number for each of the "
                           f"{small.n_weights} weights of the small model, or of its {len(small.values)} values")
    whole = np.zeros(zones[len(vector)], vector.dtype)
    old = source[: len(vector)] >= 0
    whole[source[: len(vector)][old]] = vector[old]
    return whole

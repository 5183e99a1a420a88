"""Live weights: a masked model is trained as the born-sparse model that it is.

Where few weights of a Dense or Conv2d layer are live, a SparseDense or SparseConv2d layer with these weights gives the
same numbers, and every part of a step, the optimizer's too, then costs in proportion to them. `LiveWeightStepper` makes
that smaller model, hands it to another stepper, and keeps the caller's model and State whole between two Steps. There
it walks over the bytes of the mask, to see whether it has changed, and over the live weights; a changed mask costs a
few more such walks.
"""
from dataclasses import replace

import numpy as np

from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.layer import rebuild
from minnet.engine.loop import Job
from minnet.engine.model import Model
from minnet.engine.sparse import SparseDense
from minnet.fast.sparse_conv import SparseConv2d

SPARSE = {Dense: SparseDense, Conv2d: SparseConv2d}  # exact classes: a subclass may compute something else
NOT_SPARSE = ("initialiser", "dilation", "groups")  # arguments that these do not have


class LiveWeightStepper:
    """Train by live weights alone while that is worth it, by another stepper on the smaller model.

    `sparse_layers(model)` names the layers to be replaced; `stepper_for(job)` makes the stepper that does the batches.
    """

    def __init__(self, job: Job, sparse_layers, stepper_for):
        self.job, self.sparse_layers, self.stepper_for = job, sparse_layers, stepper_for
        self.live = self.inner = self.topology = None
        self.mask = job.model.mask.copy()
        self.changed = np.zeros_like(self.mask)

    @property
    def name(self):
        """The inner stepper's name, and whether it trains the live weights alone."""
        return self.inner.name if self.live is None else f"{self.inner.name}, live weights"

    @property
    def why(self):
        """The inner stepper's reason, and which layers are replaced."""
        return self.inner.why if self.live is None else f"{self.inner.why}; few live weights in {self.live.names}"

    def begin(self):
        """Take over mask, positions, values and the optimizer's vectors."""
        state, model = self.job.state, self.job.model
        np.not_equal(self.mask, model.mask, out=self.changed)
        changed = self.changed.any()
        # Comparing the mask costs a walk over its bytes; zeroing what it cuts, one over all vectors.
        if self.topology is None or changed:
            state.apply_mask()
        if self.topology != model.topology or changed:
            self.topology = model.topology
            np.copyto(self.mask, model.mask)
            self.take_positions()
        if self.live is not None:
            self.live.gather(state)
        self.inner.begin()

    def take_positions(self):
        """Note which weights are live now; make another model and stepper where there are others than before."""
        before = self.live
        # A LiveModel is kept as long as its sizes fit: its stepper and their buffers then stay as well.
        self.live = live_model(self.job, before, self.changed, self.sparse_layers(self.job.model))
        if self.inner is None or before is not self.live:
            trained = {} if self.live is None else {"model": self.live.model, "vectors": self.live.vectors}
            self.inner = self.stepper_for(replace(self.job, **trained))

    def run(self, order, first, stop):
        """Do batches with the smaller model."""
        return self.inner.run(order, first, stop)

    def end(self):
        """Put the numbers back into the caller's model and State."""
        # Interrupted before the first batch: there is nothing to put back.
        if self.inner is None:
            return
        self.inner.end()
        if self.live is not None:
            self.live.scatter(self.job.state)


def live_model(job, before, changed, layers):
    """Return the LiveModel with these layers as sparse ones, or None where there are none.

    Where the same layers have as many live weights as `before`, it is that one, and only positions are noted anew: at
    less cost where `changed` says in which places the mask has changed since.
    """
    known = {} if before is None else before.positions
    live = {layer.name: live_positions(layer.weight, known.get(layer.name), changed) for layer in layers}
    if before is None or _counts(live) != _counts(known):
        return LiveModel(job.model, live, len(job.vectors)) if live else None
    before.set_positions(job.model, live)
    return before


def live_positions(weight, known, changed):
    """Return the flat positions of a weight's live entries, sorted: those `known`, but where the mask has `changed`."""
    if known is None or changed is None:
        return np.flatnonzero(weight.mask)
    # Both steps go by binary search, so the cost is that of the changes and one copy, not of the whole weight.
    moved = np.flatnonzero(weight.of(changed))
    added = weight.mask.reshape(-1)[moved]
    kept = np.delete(known, np.searchsorted(known, moved[~added]))
    return np.insert(kept, np.searchsorted(kept, moved[added]), moved[added])


def _counts(live):
    """Return how many live weights each layer has."""
    return {name: len(positions) for name, positions in live.items()}


class LiveModel:
    """`model` with the layers of `live` as sparse ones, `slots` vectors beside it, and the map between the two.

    `index` holds, for each number of the smaller model, its place in the whole one.
    """

    def __init__(self, model: Model, live: dict, slots: int):
        tree = rebuild(model.tree, lambda layer: sparse_form(layer, live))
        self.model = Model.blank(tree, model.input_shape, model.dtype)
        self.vectors = np.zeros((slots, self.model.n_trainable), model.dtype)
        self.set_positions(model, live)

    @property
    def names(self):
        """The replaced layers, as text."""
        return ", ".join(self.positions)

    def set_positions(self, model, live):
        """Note the positions of the weights of `live`, and of layers that were born sparse."""
        self.positions, places = live, []
        for name, p in model.parameters.items():
            index = live[p.layer] if p.kind == "weight" and p.layer in live else None
            places.append(np.arange(p.slice.start, p.slice.stop) if index is None else p.slice.start + index)
            index = p.index if index is None else index
            if index is not None:
                self.model.parameters[name].index[:] = index
        self.index = np.concatenate(places)
        self.model.mask[:] = model.mask[self.index]
        # Index arrays that steppers keep (see SparseChain.positions) are made anew where this number has changed.
        self.model.topology += 1

    def gather(self, state):
        """Read the numbers of the whole model and of its State."""
        np.take(state.model.values, self.index, out=self.model.values)
        for own, whole in zip(self.vectors, state.vectors, strict=True):
            np.take(whole, self.index[: len(own)], out=own)

    def scatter(self, state):
        """Write them back; what the mask cuts is 0 there already."""
        state.model.values[self.index] = self.model.values
        for own, whole in zip(self.vectors, state.vectors, strict=True):
            whole[self.index[: len(own)]] = own


def has_sparse_form(layer):
    """Return whether a sparse layer can stand for `layer`: not for a convolution with dilation or groups."""
    return type(layer) in SPARSE and (type(layer) is not Conv2d or layer.plain)


def sparse_form(layer, live):
    """Return the sparse layer that stands for `layer`, or None where it stays."""
    if layer.name not in live:
        return None
    arguments = {name: value for name, value in layer.arguments().items() if name not in NOT_SPARSE}
    return SPARSE[type(layer)](**arguments, live=len(live[layer.name]))

"""Packed: a masked model, trained as the born-sparse model that it is.

    packed = pack(state)              # None where no layer is sparse enough
    packed.take(state)                # values and optimizer vectors, from the model's index space
    ... train packed.model, with packed.vectors ...
    packed.give(state)                # and back

Where few weights of a Dense or Conv2d layer are live, a SparseDense or SparseConv2d layer with these weights gives the
same numbers, and every part of a step, the optimizer's too, then costs in proportion to them. `train` packs by itself
where there is no penalty; between two of its Steps the model and the State are always whole. There it walks over the
bytes of the mask, to see whether it has changed, and over the live weights; a changed mask costs a few more such walks.
"""
import numpy as np

from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.layer import layer_from_config
from minnet.engine.layers import INNER, LAYERS
from minnet.engine.model import Model
from minnet.engine.sparse import FEWEST_WEIGHTS, SparseDense
from minnet.engine.sparse_conv import SparseConv2d

SPARSE = {Dense: SparseDense, Conv2d: SparseConv2d}
SPARSE_DENSITY = 0.25  # a layer with at most this share of its weights costs less by its live weights alone
INNER_DENSITY = 0.4    # a Dense layer behind others: three products for each weight, not two, and no data with zeros


def is_sparse(layer):
    """Whether a layer is worth training by its live weights alone: a fixed function of its shape and its mask."""
    return is_large(layer) and has_few(layer)


def is_large(layer):
    """Whether a layer has enough to do for its live weights to be worth a look."""
    return type(layer) in SPARSE and layer.positions * layer.weight.size >= FEWEST_WEIGHTS


def has_few(layer):
    """Whether few weights of a layer are live; small layers are trained by them where another one is."""
    most = INNER_DENSITY if type(layer) is Dense and layer.input_needs_grad else SPARSE_DENSITY
    return type(layer) in SPARSE and np.count_nonzero(layer.weight.mask) <= most * layer.weight.size


def pack(state, before=None, changed=None):
    """The Packed model, or None where no layer is sparse enough.

    Where the same layers have as many live weights as in `before`, it is that one, and only places are noted anew: at
    less cost where `changed` says in which places the mask is another since.
    """
    model = state.model
    few = [layer for layer in model.layers.values() if has_few(layer)]
    known = {} if before is None else before.live
    live = {layer.name: places_of(layer.weight, known.get(layer.name), changed) for layer in few
            } if any(map(is_large, few)) else {}
    if before is None or _counts(live) != _counts(known):
        return Packed(model, live, len(state.vectors)) if live else None
    before.settle(model, live)
    return before


def places_of(weight, known, changed):
    """Flat positions of a weight's live entries, sorted: those `known`, but where the mask has `changed`."""
    if known is None or changed is None:
        return np.flatnonzero(weight.mask)
    moved = np.flatnonzero(weight.of(changed))
    come = weight.mask.reshape(-1)[moved]
    kept = np.delete(known, np.searchsorted(known, moved[~come]))
    return np.insert(kept, np.searchsorted(kept, moved[come]), moved[come])


def _counts(live):
    """How many live weights each layer has."""
    return {name: len(places) for name, places in live.items()}


class Packed:
    """`model` with the layers of `live` as sparse ones, `slots` vectors beside it, and where each of its numbers stands
    in the whole one."""

    def __init__(self, model, live, slots):
        tree = layer_from_config(_packed_config(model.tree.config(), live), LAYERS | INNER)
        self.model = Model.blank(tree, model.input_shape, model.dtype)
        self.vectors = np.zeros((slots, self.model.n_trainable), model.dtype)
        self.settle(model, live)

    def settle(self, model, live):
        """Note where the weights of `live`, and of layers that were born sparse, are."""
        self.live, places = live, []
        for name, p in model.parameters.items():
            index = live[p.layer] if p.kind == "weight" and p.layer in live else None
            places.append(np.arange(p.slice.start, p.slice.stop) if index is None else p.slice.start + index)
            index = p.index if index is None else index
            if index is not None:
                self.model.parameters[name].index[:] = index
        self.places = np.concatenate(places)
        self.model.mask[:] = model.mask[self.places]
        self.model.topology += 1

    def take(self, state):
        """The numbers of the whole model and of its State."""
        np.take(state.model.values, self.places, out=self.model.values)
        for own, whole in zip(self.vectors, state.vectors, strict=True):
            np.take(whole, self.places[: len(own)], out=own)

    def give(self, state):
        """The same back; what the mask cuts is 0 there already."""
        state.model.values[self.places] = self.model.values
        for own, whole in zip(self.vectors, state.vectors, strict=True):
            whole[self.places[: len(own)]] = own


def _packed_config(config, live):
    """The config of a tree, the layers of `live` with so many weights."""
    if isinstance(config, list):
        return [_packed_config(item, live) for item in config]
    if not isinstance(config, dict):
        return config
    if config["name"] in live:
        kept = {name: value for name, value in config.items() if name not in ("type", "initialiser")}
        return {"type": f"Sparse{config['type']}", "live": len(live[config["name"]]), **kept}
    return {name: _packed_config(value, live) for name, value in config.items()}

"""Packed: a masked model, trained as the born-sparse model that it is.

    packed = pack(state)              # None where no layer is sparse enough
    packed.take(state)                # values and optimizer vectors, from the model's index space
    ... train packed.model, with packed.vectors ...
    packed.give(state)                # and back

Where few weights of a Dense layer are live, a SparseDense layer with these weights gives the same numbers, and every
part of a step, the optimizer's too, then costs in proportion to them. `train` packs by itself; between two of its Steps
the model and the State are always whole.
"""
import numpy as np

from minnet.engine.dense import Dense
from minnet.engine.layer import layer_from_config
from minnet.engine.layers import LAYERS
from minnet.engine.model import Model

SPARSE_DENSITY = 0.25  # a layer with at most this share of its weights costs less by its live weights alone
FEWEST_WEIGHTS = 2**12  # smaller layers stay as they are


def is_sparse(layer):
    """Whether a layer is trained by its live weights alone: a fixed function of its shape and its mask."""
    if type(layer) is not Dense or layer.weight.size < FEWEST_WEIGHTS:
        return False
    return int(np.count_nonzero(layer.weight.mask)) <= SPARSE_DENSITY * layer.weight.size


def pack(state):
    """The Packed model, or None where no layer is sparse enough."""
    names = {layer.name for layer in state.model.layers.values() if is_sparse(layer)}
    return Packed(state.model, names, len(state.vectors)) if names else None


class Packed:
    """`model` with the layers `names` as SparseDense layers, `slots` vectors beside it, and where each of its numbers
    stands in the whole one."""

    def __init__(self, model, names, slots):
        live = {name: np.flatnonzero(model.layers[name].weight.mask) for name in names}
        tree = layer_from_config(_packed_config(model.tree.config(), live), LAYERS)
        self.model = Model.blank(tree, model.input_shape, model.dtype)
        places = []
        for name, p in model.parameters.items():
            chosen = live[p.layer] if p.kind == "weight" and p.layer in live else None
            if chosen is not None:
                self.model.parameters[name].index[:] = chosen
            window = np.arange(p.slice.start, p.slice.stop)
            places.append(window if chosen is None else p.slice.start + chosen)
        self.places = np.concatenate(places)
        self.model.mask[:] = model.mask[self.places]
        self.vectors = np.zeros((slots, self.model.n_trainable), model.dtype)

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
    """The config of a tree, the Dense layers of `live` with so many weights."""
    if isinstance(config, list):
        return [_packed_config(item, live) for item in config]
    if not isinstance(config, dict):
        return config
    if config["name"] in live:
        kept = {name: config[name] for name in ("units", "use_bias", "name")}
        return {"type": "SparseDense", "live": len(live[config["name"]]), **kept}
    return {name: _packed_config(value, live) for name, value in config.items()}

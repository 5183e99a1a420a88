"""What is left of the arrays once units go: a smaller model, and where each of its numbers stood before.

    small, source = cut(Plan(model))
    small.values == model.values[source]     # but for biases that took up constants; source is -1 for a new bias
"""
import numpy as np

from minnet.engine.layer import classes_of, layer_from_config
from minnet.engine.vector import ZONES
from minnet.model import Model

STATISTICS_ZONE = max(ZONES.values())


def edited(config, edits, without=()):
    """A copy of a tree's config: `edits` maps a layer's name to arguments that change; layers named in `without`, which
    stand in a Sequential, are left out."""
    if isinstance(config, dict):
        copy = {key: edited(value, edits, without) for key, value in config.items()}
        return copy | edits.get(config.get("name"), {})
    if isinstance(config, list):
        return [edited(item, edits, without) for item in config
                if not (isinstance(item, dict) and item.get("name") in without)]
    return config


def survivors(plan):
    """{parameter's name: the positions of what is left of it in the flat vector, shaped}."""
    positions = np.arange(len(plan.model.values))
    left = {name: p.of(positions) for name, p in plan.model.parameters.items()}
    for use in plan.coupling.uses:
        name = use.parameter.name
        left[name] = left[name].compress(plan.keeps(use), axis=use.axis)
    return left


def place(small, left):
    """(length of small.values,) int: where each entry stood, as `survivors` has it; -1 for a bias that is new."""
    source = np.full(len(small.values), -1)
    for name, p in small.parameters.items():
        if name in left:
            p.of(source)[...] = left[name]
    return source


def cut(plan):
    """(the smaller Model, source): source[i] is the old position of its entry i, -1 for a bias that was not there."""
    model, left, added, edits = plan.model, survivors(plan), _added(plan), {}
    for name, layer in model.layers.items():
        if layer.resizable:
            edits[name] = {layer.units_argument: left[f"{name}.weight"].shape[-1]}
            if layer.bias is None and name in added and added[name].any():
                edits[name]["use_bias"] = True
    tree = layer_from_config(edited(model.tree.config(), edits), classes_of(model.tree))
    small = Model.blank(tree, model.input_shape, model.dtype)
    source = place(small, left)
    old = source >= 0
    mask = ~old
    mask[old] = _live(plan)[source[old]]
    small.values[old] = model.values[source[old]]
    for name, constants in added.items():
        gains = constants != 0
        if gains.any():
            bias = small.layers[name].bias
            bias.value[gains] = bias.value[gains] + constants[gains]
            bias.of(mask)[gains] = True
    small.set_mask(mask)
    return small, source


def _added(plan):
    """{layer: what is added to its bias, for the outputs that are kept}."""
    keeps = {use.parameter: plan.keeps(use) for use in plan.coupling.uses if not use.reads}
    return {use.parameter.layer: plan.added(use.parameter)[keeps[use.parameter]] for use in plan.readers}


def _live(plan):
    """The plan's mask, less all that makes a unit which only keeps its axis from being empty."""
    live = plan.live.copy()
    for use in plan.coupling.uses:
        if ZONES[use.parameter.kind] < STATISTICS_ZONE:
            np.moveaxis(use.parameter.of(live), use.axis, -1)[..., plan.last[plan.roots[use.units]]] = False
    return live

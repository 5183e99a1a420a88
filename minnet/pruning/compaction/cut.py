"""Cut the arrays down to the units that stay: a smaller model, and the old position of each of its numbers.

    small, source = cut(CompactionPlan(model))
    small.values == model.values[source]     # except biases that gained constants; source is -1 for a new bias

The tree keeps its form and its names; only the numbers of units change.
"""
from collections.abc import Collection

import numpy as np

from minnet.engine.layer import classes_of, layer_from_config
from minnet.engine.model import Model
from minnet.engine.vector import ZONES
from minnet.pruning.compaction.plan import CompactionPlan, shares_moments

STATISTICS_ZONE = max(ZONES.values())


def edited(config: dict | list, edits: dict[str, dict], without: Collection[str] = ()) -> dict | list:
    """Return a copy of a tree's config in which some layers have other arguments and some are left out.

    `edits` maps a layer's name to the arguments that change; layers in `without` must be in a Sequential.
    """
    if isinstance(config, dict):
        copy = {key: edited(value, edits, without) for key, value in config.items()}
        return copy | edits.get(config.get("name"), {})
    if isinstance(config, list):
        return [edited(item, edits, without) for item in config
                if not (isinstance(item, dict) and item.get("name") in without)]
    return config


def survivors(plan: CompactionPlan) -> dict[str, np.ndarray]:
    """Return {parameter's name: the positions in the flat vector of what is left of it, shaped}."""
    positions = np.arange(len(plan.model.values))
    left = {name: p.of(positions) for name, p in plan.model.parameters.items()}
    for use in plan.coupling.uses:
        name = use.parameter.name
        left[name] = left[name].compress(plan.keeps(use), axis=use.axis)
    return left


def place(small: Model, left: dict[str, np.ndarray]) -> np.ndarray:
    """Return (length of small.values,) int: the old position of each entry, by `survivors`; -1 for a new bias."""
    source = np.full(len(small.values), -1)
    for name, p in small.parameters.items():
        if name in left:
            p.of(source)[...] = left[name]
    return source


def cut(plan: CompactionPlan) -> tuple[Model, np.ndarray]:
    """Return (the smaller Model, source): source[i] is the old position of its entry i, -1 for a new bias."""
    model, left, added, edits = plan.model, survivors(plan), _added(plan), {}
    for name, layer in model.layers.items():
        if layer.resizable:
            edits[name] = {layer.units_argument: left[f"{name}.weight"].shape[-1]}
            if layer.bias is None and name in added and added[name].any():
                edits[name]["use_bias"] = True
        if shares_moments(layer):
            removed = layer.gain.size - len(left[f"{name}.gain"])
            edits[name] = {"zeros": layer.zeros + removed // layer.split[1]}
    tree = layer_from_config(edited(model.tree.config(), edits), classes_of(model.tree))
    small = type(model).blank(tree, plan.input_shape, model.dtype)
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
    """Return {layer: what is added to its bias, for the outputs that are kept}."""
    keeps = {use.parameter: plan.keeps(use) for use in plan.coupling.uses if not use.reads}
    return {use.parameter.layer: plan.added(use.parameter)[keeps[use.parameter]] for use in plan.readers}


def _live(plan):
    """Return the plan's mask without all that makes a unit which only keeps its axis from being empty."""
    live = plan.live.copy()
    for use in plan.coupling.uses:
        if ZONES[use.parameter.kind] < STATISTICS_ZONE:
            np.moveaxis(use.parameter.of(live), use.axis, -1)[..., plan.last[plan.roots[use.units]]] = False
    return live

"""Fold BatchNorm, at inference a scale and a shift per unit, into a linear layer beside it.

    y = scale * x + offset,   scale = gain / sqrt(variance + epsilon),   offset = shift - scale * mean

    small, refused = fold_norms(model)      # refused: {name of a BatchNorm: why it stays}

Into the layer before: W[.., o] *= scale[o], b[o] = scale[o] * b[o] + offset[o]. Into the layer after:
b[o] += sum W[.., c, o] * offset[c], then W[.., c, o] *= scale[c]; where that layer pads its image the padding is 0 and
not `offset`, so then only if every offset is 0 (Jacob et al., 2018, section 3.2, fold the first way).
"""
import numpy as np

from minnet.engine.containers import Sequential
from minnet.engine.layer import classes_of, layer_from_config
from minnet.engine.model import Model
from minnet.engine.normalise import BatchNorm
from minnet.pruning.compaction.cut import edited


def fold_norms(model: Model) -> tuple[Model, dict[str, str]]:
    """Return (a Model with the same inference outputs and fewer BatchNorms, {name of one that is left: why}).

    Masks are kept: what a masked gain cuts is masked in the weights. The model given is not changed.
    """
    refused = {}
    while found := _next(model, refused):
        model = _fold(model, *found)
    return model, refused


def _next(model, refused):
    """Return (the layer that takes it, the BatchNorm, True if that layer follows it) for the first foldable one."""
    for chain in _chains(model.tree):
        for i, norm in enumerate(chain):
            if not isinstance(norm, BatchNorm) or norm.name in refused:
                continue
            before, after = chain[i - 1] if i else None, chain[i + 1] if i + 1 < len(chain) else None
            if _is_linear(before):
                return before, norm, False
            reason = _why_not(norm, after)
            if reason is None:
                return after, norm, True
            refused[norm.name] = reason
    return None


def _chains(layer):
    """Yield lists of layers that follow each other directly; the inside of a Residual or Concat is another list."""
    chain = list(_chain(layer))
    yield chain
    for link in chain:
        for child in link.children():
            yield from _chains(child)


def _chain(layer):
    """Yield the layers of a Sequential in order, and those of Sequentials in it."""
    if not isinstance(layer, Sequential):
        yield layer
        return
    for child in layer.layers:
        yield from _chain(child)


def _is_linear(layer):
    return layer is not None and layer.linear and _takes_bias(layer)


def _takes_bias(layer):
    """Return whether `layer` has a bias, or can be rebuilt with one."""
    return layer.bias is not None or "use_bias" in layer.arguments()


def _why_not(norm, after):
    """Return why `norm` cannot be folded into the layer after it; None if it can."""
    if not _is_linear(after):
        return "no layer with weights is directly before or after it"
    window = getattr(after, "window", None)
    if window is not None and window.padded and norm.scale_and_offset()[1].any():
        return f"{after.name}, directly after it, pads with zeros, where its shift would be missing"
    return None


def _fold(model, linear, norm, after):
    """Return the model without `norm`, folded into `linear`."""
    edits = {} if linear.bias is not None else {linear.name: {"use_bias": True}}
    tree = layer_from_config(edited(model.tree.config(), edits, {norm.name}), classes_of(model.tree))
    small = type(model).blank(tree, model.input_shape, model.dtype)
    mask = np.ones(len(small.values), bool)
    for name, p in small.parameters.items():
        if name in model.parameters:
            p.value[...] = model.parameters[name].value
            p.of(mask)[...] = model.parameters[name].mask
    new = small.layers[linear.name]
    weight, bias, live = new.weight.value.astype(np.float64), new.bias.value.astype(np.float64), new.weight.of(mask)
    scale, offset = norm.scale_and_offset()
    trainable = norm.gain.mask | norm.shift.mask
    if after:
        scale, offset, gain = (_by_input(linear, vector) for vector in (scale, offset, norm.gain.mask))
        bias += (weight * offset).sum(axis=tuple(range(weight.ndim - 1)))
        trainable = new.bias.of(mask)
    else:
        bias, gain = scale * bias + offset, norm.gain.mask
    new.weight.value[...] = weight * scale
    new.bias.value[...] = bias
    live &= gain
    new.bias.of(mask)[...] = trainable | (bias != 0)
    small.set_mask(mask)
    return small


def _by_input(linear, vector):
    """Return a vector over the inputs of `linear`, shaped so that it multiplies its weight."""
    groups = getattr(linear, "groups", 1)
    by_group = vector.reshape(groups, -1).T  # (inputs of a group, groups)
    return by_group if groups == 1 else np.repeat(by_group, linear.weight.shape[-1] // groups, axis=1)

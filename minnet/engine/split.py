"""Two halves of a model: what is frozen runs once, in use, and its outputs are kept as the data of the other half.

    base, head = split(model, "block4_pool")       # base ends with that layer
    features = cached(base, data)                  # a Dataset whose X are base's outputs
    for step in train(head, features): ...
    model = join(base, head)                       # whole again, with what the head has learned
"""
from dataclasses import replace

import numpy as np

from minnet.engine.containers import Sequential
from minnet.errors import InvalidValue, unknown


def split(model, last):
    """(base, head): `base` ends with the layer named `last`, `head` is the rest; both have copies of the values.

    The model must be one Sequential that holds `last` directly. Raises InvalidValue otherwise, or where one half would
    be empty.
    """
    layers = model.tree.layers if isinstance(model.tree, Sequential) else ()
    names = [layer.name for layer in layers]
    if last not in names:
        raise unknown("layer to split at", last, names)
    cut = names.index(last) + 1
    if cut == len(layers):
        raise InvalidValue(f"{last} is the last layer: nothing would be left for the head")
    halves = (layers[:cut], model.input_shape), (layers[cut:], layers[cut - 1].output_shape)
    return tuple(_copy(model.blank(Sequential(*part), shape, model.dtype), model) for part, shape in halves)


def join(base, head):
    """One model: `head` on the outputs of `base`, with the values and masks of both."""
    if base.output_shape != head.input_shape:
        raise InvalidValue(f"the base gives {base.output_shape}, but the head takes {head.input_shape}: give the two "
                           "halves of one model")
    tree = Sequential(*base.tree.layers, *head.tree.layers)
    return _copy(_copy(base.blank(tree, base.input_shape, base.dtype), base), head)


def cached(base, data):
    """`data` with every X replaced by the outputs of `base`, in use (no dropout, running statistics)."""
    parts = {name: base(getattr(data, name)) for name in ("X_train", "X_valid", "X_test")}
    return replace(data, shape=base.output_shape, **parts)


def _copy(model, source):
    """Take values and mask of every parameter that both have."""
    for name, parameter in model.parameters.items():
        if name in source.parameters:
            np.copyto(parameter.value, source.parameters[name].value)
            np.copyto(parameter.mask, source.parameters[name].mask)
            if parameter.index is not None:
                np.copyto(parameter.index, source.parameters[name].index)
    return model

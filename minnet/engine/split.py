"""Split a model in two: what is frozen runs once, in use, and its outputs are kept as the data of the other half.

    base, head = split(model, "block4_pool")       # base ends with that layer
    features = cached(base, data)                  # a Dataset whose X are base's outputs
    for step in train(head, features): ...
    model = join(base, head)                       # whole again, with what the head has learned

That is how a few last layers are fine-tuned without a pass through all others in every epoch.
"""
from dataclasses import replace

import numpy as np

from minnet.data import Dataset
from minnet.engine.containers import Sequential
from minnet.engine.model import Model
from minnet.engine.sample import signature_for
from minnet.engine.targets import ends_in_sigmoid
from minnet.errors import InvalidValue, unknown


def split(model: Model, last: str) -> tuple[Model, Model]:
    """Split a model after a layer: return (base, head), both with copies of the values.

    Parameters
    ----------
    model : Model
        One Sequential that holds `last` directly.
    last : str
        Name of the layer that `base` ends with.

    Returns
    -------
    (Model, Model)
        The layers up to `last`, and the rest.

    Raises
    ------
    InvalidValue
        The model holds no such layer directly, or one half would be empty.
    """
    layers = model.tree.layers if isinstance(model.tree, Sequential) else ()
    names = [layer.name for layer in layers]
    if last not in names:
        raise unknown("layer to split at", last, names)
    cut = names.index(last) + 1
    if cut == len(layers):
        raise InvalidValue(f"{last} is the last layer: nothing would be left for the head")
    halves = (layers[:cut], model.input_shape), (layers[cut:], layers[cut - 1].output_shape)
    base, head = (take_values(model.blank(Sequential(*part), shape, model.dtype), model) for part, shape in halves)
    if model.signature is not None:
        base.signature = replace(model.signature, task="numbers", classes=None, target=None,
                                 target_scaling=None)
        head.signature = model.signature.as_given(base.output_shape)
    return base, head


def join(base: Model, head: Model) -> Model:
    """Join two halves: `head` on the outputs of `base`, with the values and masks of both.

    Parameters
    ----------
    base, head : Model
        The halves, as `split` makes them.

    Returns
    -------
    Model
        One model, with copies of the values.

    Raises
    ------
    InvalidValue
        The head does not take what the base gives.
    """
    if base.output_shape != head.input_shape:
        raise InvalidValue(f"the base gives {base.output_shape}, but the head takes {head.input_shape}: give the two "
                           "halves of one model")
    tree = Sequential(*base.tree.layers, *head.tree.layers)
    whole = take_values(take_values(base.blank(tree, base.input_shape, base.dtype), base), head)
    if base.signature is not None and head.signature is not None:
        whole.signature = replace(head.signature, shape=base.signature.shape, scaling=base.signature.scaling,
                                  feature_names=base.signature.feature_names, selection=base.signature.selection,
                                  encoding=base.signature.encoding)
    return whole


def cached(base: Model, data: Dataset) -> Dataset:
    """Replace every X of `data` by the outputs of `base`, in use (no dropout, running statistics).

    Parameters
    ----------
    base : Model
        The half that no longer learns; without a signature it gets that of the data.
    data : Dataset
        Data that `base` takes.

    Returns
    -------
    Dataset
        The same rows as features for the other half.
    """
    if base.signature is None:
        base.signature = replace(signature_for(base, data), task="numbers", classes=None, target=None,
                                 target_scaling=None)
    parts = {name: base(getattr(data, name)) for name in ("X_train", "X_valid", "X_test")}
    signature = data.signature.as_given(base.output_shape)
    return replace(data, shape=base.output_shape, signature=signature, **parts)


def as_logits(model: Model) -> Model:
    """Return the model without the Sigmoid that it ends in, so that it gives logits; any other as it is."""
    if not ends_in_sigmoid(model):
        return model
    found, _ = split(model, model.tree.layers[-2].name)
    found.signature = model.signature
    return found


def take_values(model, source):
    """Copy values and mask of every parameter that both have; return the model."""
    for name, parameter in model.parameters.items():
        if name in source.parameters:
            np.copyto(parameter.value, source.parameters[name].value)
            np.copyto(parameter.mask, source.parameters[name].mask)
            if parameter.index is not None:
                np.copyto(parameter.index, source.parameters[name].index)
    return model

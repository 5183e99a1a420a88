"""Weights files as Keras writes them, in its three layouts, made with h5py from {layer: {weight: array}}.

    old(path, weights)              # layer_names, weight_names: Keras 1 and 2, and Keras 3's .h5
    variables(path, weights)        # layers/<class>_<n>/vars/0, 1, ...: Keras 3's .weights.h5
    archive(path, weights)          # a .keras archive with the same inside
"""
import io
import json
import zipfile

import h5py
import numpy as np

CLASSES = {"kernel": {2: "dense", 4: "conv2d"}, "depthwise_kernel": {4: "depthwise_conv2d"}}


def old(path, weights, *, inside=None, folder="{layer}/", ending=":0", parts=1):
    """The old layout: `inside` a group (of a whole model), weights in folders of their own, names in several parts."""
    with h5py.File(path, "w") as file:
        root = file if inside is None else file.create_group(inside)
        names_to(root, "layer_names", list(weights), parts)
        for layer, arrays in weights.items():
            group = root.create_group(layer)
            names = [folder.format(layer=layer) + name + ending for name in arrays]
            names_to(group, "weight_names", names)
            for name, array in zip(names, arrays.values(), strict=True):
                group.create_dataset(name, data=array)


def names_to(group, attribute, names, parts=1):
    """Write names as Keras does: bytes, an empty list as floats, many in numbered parts."""
    if parts == 1:
        group.attrs[attribute] = np.array([name.encode() for name in names]) if names else np.zeros(0)
        return
    for i, some in enumerate(np.array_split(np.array(names, "S"), parts)):
        group.attrs[f"{attribute}{i}"] = some


def variables(path, weights, *, named=False, inside="layers"):
    """Keras 3's layout: layers by class and number; `named` adds the names that newer versions note."""
    counts = {}
    with h5py.File(path, "w") as file:
        for layer, arrays in weights.items():
            kind = class_of(arrays)
            counts[kind] = counts.get(kind, -1) + 1
            number = f"_{counts[kind]}" if counts[kind] else ""
            group = file.create_group(f"{inside}/{kind}{number}/vars")
            if named:
                group.attrs["name"] = layer
            for i, array in enumerate(arrays.values()):
                group.create_dataset(str(i), data=array)
        file.create_dataset("optimizer/vars/0", data=np.int64(7))  # what else such a file holds
        file.create_dataset(f"{inside}/dropout/seed_generator/vars/0", data=np.arange(2, dtype=np.uint32))


def archive(path, weights, config="{}", **layout):
    """A .keras archive."""
    inner = io.BytesIO()
    variables(inner, weights, **layout)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", "{}")
        file.writestr("config.json", config)
        file.writestr("model.weights.h5", inner.getvalue())


def class_of(arrays):
    name, array = next(iter(arrays.items()))
    return CLASSES.get(name, {}).get(np.ndim(array), "batch_normalization")


def layer(kind, name=None, **config):
    """One layer as the JSON of Keras 3 has it."""
    name = name or kind.lower()
    return {"module": "keras.layers", "class_name": kind, "config": {"name": name, **config}, "registered_name": None}


def sequential(*layers, shape=None, name="net"):
    """A Sequential; with a `shape` that of a whole model."""
    first = [layer("InputLayer", batch_shape=[None, *shape])] if shape else []
    return {"module": "keras", "class_name": "Sequential", "config": {"name": name, "layers": [*first, *layers]}}


def functional(shape, *calls, output=None, name="net"):
    """A Functional of (layer, names of the layers that it is given), ...; the input is called "x"."""
    layers = [layer("InputLayer", "x", batch_shape=[None, *shape]) | {"name": "x", "inbound_nodes": []}]
    for made, inputs in calls:
        tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [one, 0, 0]}} for one in inputs]
        args = [tensors] if len(tensors) > 1 else tensors
        layers.append(made | {"name": made["config"]["name"], "inbound_nodes": [{"args": args, "kwargs": {}}]})
    end = output or layers[-1]["name"]
    return {"module": "keras", "class_name": "Functional", "registered_name": "Functional",
            "config": {"name": name, "layers": layers, "input_layers": ["x", 0, 0], "output_layers": [end, 0, 0]}}


def whole(path, config, arrays, *, loss=None):
    """A whole model: .keras with {place: [array, ...]}, or .h5 with {"top/...": {name: array}}."""
    config = json.dumps(config | {"compile_config": {"loss": loss}})
    if str(path).endswith(".h5"):
        old(path, arrays, inside="model_weights", folder="")
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = config
        return
    inner = io.BytesIO()
    with h5py.File(inner, "w") as file:
        for place, found in arrays.items():
            for i, array in enumerate(found):
                file.create_dataset(f"{place}/vars/{i}", data=array)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", config)
        file.writestr("model.weights.h5", inner.getvalue())

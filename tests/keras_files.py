"""Weights files as Keras writes them, in its three layouts, made with h5py from {layer: {weight: array}}.

    old(path, weights)              # layer_names, weight_names: Keras 1 and 2, and Keras 3's .h5
    variables(path, weights)        # layers/<class>_<n>/vars/0, 1, ...: Keras 3's .weights.h5
    archive(path, weights)          # a .keras archive with the same inside
"""
import io
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

"""Read a Keras weights file in a process of its own, so that a file that crashes the HDF5 library stops only this one.

    python -P h5_child.py MOST_BYTES < weights.h5 > answer

The HDF5 library crashes on some damaged files, follows links and external storage out of the file, and takes the
memory that a file of a few bytes asks for. So `hdf5.py` runs this script, which imports nothing of minnet: it walks
from the root, one component at a time and along hard links only, and checks each dataset before the first is read.

The answer is a line of JSON, then the numbers of all arrays, little-endian, one array after the other:
{"layout": "names" or "vars", "arrays": [{"layer", "name", "weight", "shape", "dtype", "stored"}, ...], "model": JSON
text of the architecture or null, "training": that of the loss or null}, or {"error": what, "fix": what to do or null}.
"""
import itertools
import json
import math
import os
import sys
from contextlib import suppress

PARSE_BYTES = 2 * 2**30     # address space while the file is looked through; most of it is the libraries' own
CPU_SECONDS = 120
MOST_NAMES = 100_000        # objects that are opened, and names in an attribute
DEEPEST = 32                # groups inside groups
MOST_AXES = 4
HARMLESS_FILTERS = (1, 2, 3)    # gzip, shuffle and checksum: all that Keras users have
WIDTHS = {2: "<f4", 4: "<f4", 8: "<f8"}     # how floats of 2, 4 and 8 bytes are handed on
BFLOAT16 = "|V2"            # how Keras stores it: the upper half of a float32
HIGH_HALF = 16
LONGEST_CONFIG = 16 * 2**20     # characters of an architecture
CONFIGS = {"model": "model_config", "training": "training_config"}      # attributes of a whole model
NOT_LAYERS = ("optimizer", "metrics", "seed_generator")     # other groups of a .weights.h5


class _Refused(Exception):
    """Say what is wrong with the file, in words that follow its name; `fix` is what to do, where that is known."""

    fix = None


def _limit_memory(n_bytes):
    """Take no more address space than this; not every system can be asked."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (n_bytes, hard))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Walk:
    """The one place that opens anything inside the file; `opened` counts, so that no circle of links is endless."""

    def __init__(self, h5py, most_bytes):
        self.h5py = h5py
        self.most_bytes = most_bytes
        self.opened = self.n_bytes = 0

    def member(self, group, name):
        """Return the Group or Dataset `name` directly inside `group`."""
        if not isinstance(group, self.h5py.Group) or name in ("", ".", "..") or "/" in name:
            raise _Refused(f"names the object {name!r}, which cannot be")
        self.opened += 1
        if self.opened > MOST_NAMES:
            raise _Refused(f"has more than {MOST_NAMES} objects")
        if not group.id.links.exists(name.encode()):
            raise _Refused(f"lacks {name!r} in {group.name!r}")
        if group.id.links.get_info(name.encode()).type != self.h5py.h5l.TYPE_HARD:
            raise _Refused(f"has a link to elsewhere at {name!r} in {group.name!r}: links are not followed")
        found = group[name]
        if not isinstance(found, self.h5py.Group | self.h5py.Dataset):
            raise _Refused(f"has neither a group nor an array at {name!r}")
        return found

    def at(self, group, path):
        """Return the object at `path`, opened component by component."""
        for name in path.split("/"):
            group = self.member(group, name)
        return group

    def names(self, group, attribute):
        """Return the texts in an attribute, which Keras splits into attribute0, attribute1, ... where they are many."""
        if attribute in group.attrs:
            return self.texts(group, attribute)
        parts = itertools.takewhile(group.attrs.__contains__, (f"{attribute}{i}" for i in range(MOST_NAMES)))
        return [text for part in parts for text in self.texts(group, part)]

    def texts(self, group, attribute):
        """Return the texts in one attribute."""
        about = group.attrs.get_id(attribute)
        size = math.prod(about.shape or ())
        if size == 0:
            return []
        if size > MOST_NAMES or not isinstance(about.get_type(), self.h5py.h5t.TypeStringID):
            raise _Refused(f"has something else than names in {attribute!r} of {group.name!r}")
        value = group.attrs[attribute]
        values = [value] if isinstance(value, str | bytes) else value.ravel().tolist()
        return [text.decode(errors="backslashreplace") if isinstance(text, bytes) else text for text in values]

    def config(self, root, attribute):
        """Return the text of one attribute of the root, or None where it has none."""
        if attribute not in root.attrs:
            return None
        found = self.texts(root, attribute)
        if len(found) != 1 or len(found[0]) > LONGEST_CONFIG:
            raise _Refused(f"has no text of at most {LONGEST_CONFIG:,} characters in {attribute!r}")
        return found[0]

    def is_bfloat16(self, dataset):
        """Return whether an array is one of bfloat16; .keras files say so in an attribute, .h5 files nowhere."""
        told = self.texts(dataset, "dtype") if "dtype" in dataset.attrs else ["bfloat16"]
        return dataset.dtype.str == BFLOAT16 and told == ["bfloat16"]

    def is_count(self, found):
        """Return whether an object is one whole number: how many rows a Normalization has seen, a step, a seed."""
        return isinstance(found, self.h5py.Dataset) and found.shape == () and found.dtype.kind in "iu"

    def checked(self, dataset, name):
        """Refuse a dataset that is no plain array of floats in this file, or larger than the file can mean."""
        if not isinstance(dataset, self.h5py.Dataset):
            raise _Refused(f"has a group where the weight {name!r} is wanted")
        if dataset.is_virtual or dataset.external:
            raise _Refused(f"keeps the weight {name!r} outside the file: such data are not read")
        if dataset.dtype.kind in "iu" and dataset.dtype.itemsize == 1:
            error = _Refused(f"is quantised: its weight {name!r} is of type {dataset.dtype}")
            error.fix = "save the model before its quantize() is called"
            raise error
        whole = dataset.dtype.kind == "f" and dataset.dtype.itemsize in WIDTHS
        if not (whole or self.is_bfloat16(dataset)) or dataset.shape is None:
            raise _Refused(f"has a weight {name!r} of type {dataset.dtype}; wanted floats")
        if len(dataset.shape) > MOST_AXES:
            raise _Refused(f"has a weight {name!r} of shape {dataset.shape}; at most {MOST_AXES} axes are read")
        made = dataset.id.get_create_plist()
        if any(made.get_filter(i)[0] not in HARMLESS_FILTERS for i in range(made.get_nfilters())):
            raise _Refused(f"has packed the weight {name!r} by something else than gzip and shuffle")
        self.n_bytes += math.prod(dataset.shape) * dataset.dtype.itemsize
        if self.n_bytes > self.most_bytes:
            raise _Refused(f"asks for more than {self.most_bytes:,} bytes of memory, up to the weight {name!r} of "
                           f"shape {dataset.shape}")
        return dataset


def _by_names(walk, root):
    """Walk the old layout: the root names its layers, each layer its weights."""
    for layer in walk.names(root, "layer_names"):
        group = walk.at(root, layer)
        for weight in walk.names(group, "weight_names"):
            found = walk.at(group, weight)
            if not walk.is_count(found):
                yield {"layer": layer, "name": layer, "weight": weight}, walk.checked(found, weight)


def _by_vars(walk, group, path=(), depth=0):
    """Walk Keras 3's layout: a group "vars" with the arrays 0, 1, ... for each layer, groups inside groups."""
    if depth > DEEPEST:
        raise _Refused(f"has groups more than {DEEPEST} deep")
    for key in group:
        if key in NOT_LAYERS:
            continue
        found = walk.member(group, key)
        if key != "vars":
            if isinstance(found, walk.h5py.Group):
                yield from _by_vars(walk, found, (*path, key), depth + 1)
            continue
        name = next(iter(walk.texts(found, "name")), None) if "name" in found.attrs else None
        for weight in sorted(found, key=lambda text: (len(text), text)):
            array = walk.member(found, weight)
            if not walk.is_count(array):
                yield ({"layer": "/".join(path), "name": name, "weight": weight},
                       walk.checked(array, "/".join((*path, weight))))


def _found(walk, root):
    """Return (layout, [(entry, Dataset), ...]) of an open file."""
    keys = list(root)
    if "layer_names" not in root.attrs and "layer_names0" not in root.attrs and "model_weights" in keys:
        root = walk.member(root, "model_weights")
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return "names", list(_by_names(walk, root))
    found = list(_by_vars(walk, root))
    if not found:
        raise _Refused("is no weights file of Keras: it has neither layer_names nor groups called vars")
    return "vars", found


def _answer(out, most_bytes):
    """Write the answer for the file on standard input."""
    import h5py

    with h5py.File(open(0, "rb", closefd=False), "r") as file:
        walk = _Walk(h5py, most_bytes)
        layout, found = _found(walk, file)
        arrays = [entry | {"shape": list(data.shape), "dtype": WIDTHS[data.dtype.itemsize],
                           "stored": data.dtype.name if data.dtype.kind == "f" else "bfloat16"}
                  for entry, data in found]
        configs = {key: walk.config(file, attribute) for key, attribute in CONFIGS.items()}
        _tell(out, {"layout": layout, "arrays": arrays} | configs)
        largest = max((data.nbytes for _, data in found), default=0)
        _limit_memory(PARSE_BYTES + 4 * largest)  # as stored, converted, and the library's copy of each
        for entry, data in zip(arrays, (data for _, data in found), strict=True):
            out.write(_floats(data[()]).astype(entry["dtype"]).tobytes())


def _floats(array):
    """Return an array of floats, also of one of bfloat16."""
    if array.dtype.kind == "f":
        return array
    return (array.view("<u2").astype("<u4") << HIGH_HALF).view("<f4")


def _tell(out, answer):
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def main():
    """Answer, or say in one word what went wrong; a file that is cut off ends the answer early."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints does not get into the answer
    _limit_memory(PARSE_BYTES)
    try:
        _answer(out, int(sys.argv[1]))
    except _Refused as error:
        _tell(out, {"error": str(error), "fix": error.fix})
    except Exception as error:  # whatever the libraries raise on a damaged file
        _tell(out, {"error": f"cannot be read as HDF5: {error or type(error).__name__}", "fix": None})
    out.flush()


if __name__ == "__main__":
    main()

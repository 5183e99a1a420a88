"""What the config.json of a .keras archive says of its BatchNorms, which is not among the weights.

    norms(path)      # [{"name": "bn", "epsilon": 0.001, "momentum": 0.99}, ...] in order; None where nothing is told

The configuration is data: it is searched for numbers, nothing in it is built or executed.
"""
import json
import math
import os
import zipfile
import zlib

from minnet.errors import file_error, quoted
from minnet.files import opened, sniff
from minnet.formats.layout import most_memory

MEMBER = "config.json"
CLASS = "BatchNormalization"
# what reading a member of a damaged archive raises
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
FIX = "save the model again"


def norms(path):
    """Return the settings of all BatchNormalization layers in the file's order, or None where it does not tell them."""
    if sniff(path) != "keras":
        return None
    with opened(path) as file:
        most = most_memory(os.fstat(file.fileno()).st_size)
        try:
            with zipfile.ZipFile(file) as archive:
                if MEMBER not in archive.namelist() or archive.getinfo(MEMBER).file_size > most:
                    return None
                config = json.loads(archive.read(MEMBER))
        except DAMAGED as error:  # RecursionError, of lists in lists, is a RuntimeError
            raise file_error(path, f"has a damaged {MEMBER}: {quoted(str(error))}", FIX) from error
    return [_settings(layer, path) for layer in _layers(config) if layer.get("class_name") == CLASS]


def _layers(config):
    """Yield the layers of a model's configuration in order, those of models inside it too."""
    waiting = [config]
    while waiting:
        layer = waiting.pop()
        inner = layer.get("config") if isinstance(layer, dict) else None
        if isinstance(inner, dict):
            yield layer
            layers = inner.get("layers")
            waiting += layers[::-1] if isinstance(layers, list) else []


def _settings(layer, path):
    """Return the name and the numbers of one layer."""
    config, found = layer["config"], {"name": layer["config"].get("name")}
    for key in ("epsilon", "momentum"):
        number = config.get(key)
        if type(number) not in (int, float) or not (math.isfinite(number) and 0 <= number <= 1):
            raise file_error(path, f"has a {CLASS} with {key} {quoted(repr(number))}; wanted a number from 0 to 1", FIX)
        found[key] = float(number)
    return found

"""Read the JSON by which Keras describes a model: its layers, nested models too, and where their weights are.

    for spec in all_layers(config): ...              # LayerSpec, in order
    norms(config, saved.layers)                      # {KerasLayer: settings} of the BatchNorms; None where not told

The description is data: it is searched for names and numbers, nothing in it is built or executed.
"""
import math
from collections import Counter
from dataclasses import dataclass

from minnet.errors import file_error, quoted
from minnet.formats.keras_file import KerasLayer, snake_case

NORM = "BatchNormalization"
MODELS = {"Sequential", "Functional", "Model"}      # layers that hold layers; Keras 1 and 2 have Model for Functional
DEEPEST = 20        # models inside models
MOST_LAYERS = 10_000
FIX = "save the model again"


@dataclass(frozen=True, eq=False)
class LayerSpec:
    """One layer as Keras describes it.

    `kind` is its class ("ops.Relu" for a function of keras.ops), `config` its arguments, `name` its name, `place` its
    path in files of Keras 3, `trail` the names of the layers that hold it and its own, from the outermost on, which is
    its group in a .h5 file, and `calls` are what it is given at each call, as the file has it.
    """

    kind: str
    config: dict
    name: str
    place: str
    trail: tuple[str, ...]
    calls: object = None
    custom: str = ""     # what a class is registered as that is no part of Keras


def inner_specs(config, place="", trail=()):
    """Return the LayerSpecs directly inside a model's `config`; what is no layer is left out."""
    layers, counts, found = config.get("layers"), Counter(), []
    for layer in layers if isinstance(layers, list) else ():
        arguments = layer.get("config") if isinstance(layer, dict) else None
        kind = layer.get("class_name") if isinstance(arguments, dict) else None
        if not isinstance(kind, str):
            continue
        name = layer.get("name", arguments.get("name"))
        name = name if isinstance(name, str) else ""
        snake = snake_case(kind)
        number = f"_{counts[snake]}" if counts[snake] else ""
        counts[snake] += 1
        found.append(_spec(layer, kind, name, f"{place}layers/{snake}{number}", (*trail, name)))
    return found


def _spec(layer, kind, name, place, trail):
    """Return the LayerSpec of one layer."""
    module, registered = layer.get("module"), layer.get("registered_name")
    ours = module is None or (isinstance(module, str) and module.split(".")[0] in ("keras", "tf_keras", "tensorflow"))
    known = not isinstance(registered, str) or ">" not in registered or registered.startswith("keras")
    if isinstance(module, str) and module.startswith("keras.src.ops"):
        kind = f"ops.{kind}"
    custom = "" if ours and known else registered if isinstance(registered, str) else f"{module}.{kind}"
    return LayerSpec(kind, layer["config"], name, place, trail, layer.get("inbound_nodes"), custom)


def all_layers(config):
    """Yield the LayerSpecs of a model's whole description in order, those of models inside it after it."""
    inner = config.get("config") if isinstance(config, dict) else None
    waiting = [(spec, 0) for spec in reversed(inner_specs(inner))] if isinstance(inner, dict) else []
    for _ in range(MOST_LAYERS):
        if not waiting:
            return
        spec, depth = waiting.pop()
        yield spec
        if spec.kind in MODELS and depth < DEEPEST:
            inner = inner_specs(spec.config, f"{spec.place}/", spec.trail)
            waiting += [(other, depth + 1) for other in reversed(inner)]


def norms(config, found, path):
    """Return {KerasLayer: settings} of the BatchNorms among the layers `found` of a file; None where it tells none.

    They are matched by name where the file has names, else by place, else in order.
    """
    specs = [spec for spec in all_layers(config) if spec.kind == NORM]
    told = [_settings(spec, path) for spec in specs]
    there = [layer for layer in found if _is_norm(layer)]
    if not told:
        return None if there else {}
    by_name = {spec.name: settings for spec, settings in zip(specs, told, strict=True)}
    by_place = {spec.place: settings for spec, settings in zip(specs, told, strict=True)}
    matched = {layer: by_name.get(layer.name) if layer.named else by_place.get(layer.path) for layer in there}
    if None not in matched.values():
        return matched
    return dict(zip(there, told, strict=True)) if len(told) == len(there) else None


def _is_norm(layer: KerasLayer):
    """Return whether a layer of the file is a BatchNorm, by the names of its weights or its class."""
    return "moving_mean" in layer.arrays or snake_case(NORM) in layer.path.rpartition("/")[2]


def _settings(spec, path):
    """Return the numbers of one BatchNormalization, and whether it has gamma ("scale") and beta ("center")."""
    found = {key: spec.config.get(key, True) is not False for key in ("scale", "center")}
    for key in ("epsilon", "momentum"):
        number = spec.config.get(key)
        if type(number) not in (int, float) or not (math.isfinite(number) and 0 <= number <= 1):
            raise file_error(path, f"has a {NORM} with {key} {quoted(repr(number))}; wanted a number from 0 to 1", FIX)
        found[key] = float(number)
    return found

"""Which layers: names, patterns and kinds become a list of layers.

    choose(model)                                  # every layer with weights, in the order of the pass
    choose(model, "conv*", protect="conv1")        # by shell-style pattern, less what is protected
    choose(model, ["Dense", "last:2"])             # by kind (a class or its short name), the last two

A pattern that matches nothing is an error that names the nearest: a typing error must not prune another layer.
"""
import re
from fnmatch import fnmatchcase

from minnet.errors import InvalidType, InvalidValue, shown, unknown

ENDS = re.compile(r"(first|last):([0-9]{1,6})")


def choose(model, layers=None, protect=None):
    """The names of the layers with weights that `layers` means (None: all) and `protect` does not, in order.

    Each is a pattern or a sequence of them: a layer's name ("dense1"), that of its weight ("dense1.weight"), a
    shell-style pattern of either ("conv*"), a kind ("Conv2d", "conv"), "first:1" or "last:2". Raises UnknownName where
    a pattern matches nothing, InvalidValue where nothing is left.
    """
    names = weighted(model)
    chosen = names if layers is None else matching(model, names, layers, "layers")
    guarded = [] if protect is None else matching(model, names, protect, "protect")
    left = [name for name in names if name in chosen and name not in guarded]
    if not left:
        given = f"layers={shown(repr(layers))} less protect={shown(repr(protect))}"
        raise InvalidValue(f"{given} leaves no layer with weights: choose from {', '.join(names) or '(none)'}")
    return left


def weighted(model):
    """The names of the layers that have weights, in the order of the pass."""
    owners = {p.layer for p in model.weight_parameters}
    return [name for name in model.layers if name in owners]


def matching(model, names, patterns, argument):
    """Those of `names` that any of `patterns` matches, in order."""
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, list | tuple | set | frozenset) or not all(isinstance(p, str) for p in patterns):
        raise InvalidType(f"{argument}={shown(repr(patterns))}: give a name or pattern of layers, or a list of them")
    found = set().union(*[_match(model, names, pattern, argument) for pattern in patterns])
    return [name for name in names if name in found]


def _match(model, names, pattern, argument):
    """The set of names that one pattern means."""
    end = ENDS.fullmatch(pattern)
    if end:
        count = int(end[2])
        return set(names[:count] if end[1] == "first" else names[len(names) - min(count, len(names)) :])
    found = {name for name in names if any(fnmatchcase(label, pattern) for label in _labels(model.layers[name]))}
    if not found:
        labels = [label for name in names for label in _labels(model.layers[name])]
        raise unknown(f"layer in {argument}", pattern, dict.fromkeys(labels))
    return found


def _labels(layer):
    """What a layer answers to: its name, its weight's name, its kind and the short name of its kind."""
    return layer.name, layer.weight.name, type(layer).__name__, layer.prefix

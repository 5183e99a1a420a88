"""Choose layers by names, patterns and kinds.

    choose(model)                                  # every layer with weights, in the order of the pass
    choose(model, "conv*", protect="conv1")        # by shell-style pattern, except what is protected
    choose(model, ["Dense", "last:2"])             # by kind (a class or its short name), the last two
    choose(model, "insensitive:3", rank=rank)      # as measured: rank(names) returns them, the most sensitive first

A pattern that matches nothing is an error that names the nearest: a typing error must not prune another layer.
"""
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cache, partial

from minnet.engine.model import Model
from minnet.errors import InvalidType, InvalidValue, quoted, unknown

ENDS = re.compile(r"(first|last|middle|sensitive|insensitive):([0-9]{1,6})")
MEASURED = ("sensitive", "insensitive")

Patterns = str | list[str] | tuple[str, ...] | set[str] | frozenset[str]


def choose(model: Model, layers: Patterns | None = None, protect: Patterns | None = None,
           rank: Callable[[list[str]], list[str]] | None = None) -> list[str]:
    """Return the names of the layers with weights that `layers` matches (None: all) and `protect` does not, in order.

    Each is a pattern or a sequence of them: a layer's name ("dense1"), that of its weight ("dense1.weight"), a
    shell-style pattern of either ("conv*"), a kind ("Conv2d", "conv"), "first:1", "last:2" or "middle:1" (those
    nearest to the middle of the pass, also "middle"); where there is a function `rank` also "sensitive:2" or
    "insensitive:2". Raises UnknownName where a pattern matches nothing, InvalidValue where nothing is left.
    """
    names = weighted(model)
    rank = None if rank is None else cache(partial(rank, names))
    chosen = names if layers is None else matching(model, names, layers, "layers", rank)
    guarded = [] if protect is None else matching(model, names, protect, "protect", rank)
    left = [name for name in names if name in chosen and name not in guarded]
    if not left:
        given = f"layers={quoted(repr(layers))} without protect={quoted(repr(protect))}"
        raise InvalidValue(f"{given} leaves no layer with weights: choose from {', '.join(names) or '(none)'}")
    return left


def weighted(model: Model) -> list[str]:
    """Return the names of the layers that have weights, in the order of the pass."""
    owners = {p.layer for p in model.weight_parameters}
    return [name for name in model.layers if name in owners]


def matching(model: Model, names: Sequence[str], patterns: Patterns, argument: str,
             ranked: Callable[[], list[str]] | None = None) -> list[str]:
    """Return the `names` that any of `patterns` matches, in order; ranked() gives the most sensitive first."""
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, list | tuple | set | frozenset) or not all(isinstance(p, str) for p in patterns):
        raise InvalidType(f"{argument}={quoted(repr(patterns))}: give a name or pattern of layers, or a list of them")
    found = set().union(*[_match(model, names, pattern, argument, ranked) for pattern in patterns])
    return [name for name in names if name in found]


def is_measured(patterns: Patterns | None) -> bool:
    """Return True if any of the patterns is "sensitive:N" or "insensitive:N"."""
    patterns = [patterns] if isinstance(patterns, str) else patterns or ()
    ends = [ENDS.fullmatch(pattern) for pattern in patterns if isinstance(pattern, str)]
    return any(end and end[1] in MEASURED for end in ends)


def _match(model, names, pattern, argument, ranked):
    """Return the set of names that one pattern matches."""
    end = ENDS.fullmatch("middle:1" if pattern == "middle" and "middle" not in names else pattern)
    if end:
        if end[1] == "middle":
            names = sorted(names, key=lambda name: abs(2 * names.index(name) - len(names) + 1))
        order = _measured(pattern, argument, ranked) if end[1] in MEASURED else names
        count = int(end[2])
        from_end = end[1] in ("last", "insensitive")
        return set(order[len(order) - min(count, len(order)) :] if from_end else order[:count])
    found = {name for name in names if any(fnmatchcase(label, pattern) for label in _labels(model.layers[name]))}
    if not found:
        labels = [label for name in names for label in _labels(model.layers[name])]
        raise unknown(f"layer in {argument}", pattern, dict.fromkeys(labels))
    return found


def _measured(pattern, argument, ranked):
    """Return the names, the most sensitive first."""
    if ranked is None:
        raise InvalidValue(f"{argument}={quoted(repr(pattern))}: here nothing is measured; give names, such as those "
                           "of `sensitivity(model, data).least(2)`")
    return ranked()


def _labels(layer):
    """Return what a pattern may match: a layer's name, its weight's name, its kind and the short name of its kind."""
    weights = [p.name for p in layer.parameters if p.kind == "weight"]
    return layer.name, *weights, type(layer).__name__, layer.prefix


def check_numbers_of_layers(name: str, patterns: str | Sequence[str] | None, n_layers: int) -> None:
    """Raise InvalidValue if a pattern such as "insensitive:9" asks for more than `n_layers` layers."""
    for pattern in [patterns] if isinstance(patterns, str) else patterns or ():
        end = ENDS.fullmatch(pattern) if isinstance(pattern, str) else None
        if end and int(end[2]) > n_layers:
            raise InvalidValue(f"{name}={quoted(repr(pattern))}: the model has {n_layers} layers with weights; ask "
                               f"for at most {n_layers}")

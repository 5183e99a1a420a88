"""The public names: what `mn.` and its tables hand out, and the public methods of such classes."""
import inspect
import re

import minnet as mn

TABLES = {
    "criteria": "CRITERIA", "structures": "STRUCTURES", "distributions": "DISTRIBUTIONS", "schedules": "SCHEDULES",
    "penalties": "PENALTIES", "recipes": "RECIPES", "losses": "LOSSES", "optimizers": "OPTIMIZERS",
    "lr_schedules": "LR_SCHEDULES", "models": "MODELS", "compensation": "COMPENSATIONS", "plot": "PLOTS",
    "attacks": "ATTACKS", "augmentation": "AUGMENTATIONS",
}
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "References", "Notes", "Examples", "See Also",
            "Warns")
LISTS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns")


def handed_out():
    """{dotted name: object} of all public functions and classes, and the public methods of the classes."""
    found = {}
    for name in mn.__all__:
        value = getattr(mn, name)
        if inspect.ismodule(value):
            table = {key: getattr(value, key) for key in value.__all__} if name == "testing" else \
                getattr(value, TABLES[name])
            found |= {f"{name}.{key}": entry for key, entry in table.items()}
        else:
            found[name] = value
    from minnet.engine.layers import LAYERS
    found |= {f"layers.{key}": entry for key, entry in LAYERS.items()}
    found = {name: plain(value) for name, value in found.items()}
    first = {}
    for name, value in found.items():  # a name in two places is checked once
        if inspect.isfunction(value) or inspect.isclass(value):
            first.setdefault(value, name)
    public = {name: value for value, name in first.items()}
    for name, value in list(public.items()):
        if inspect.isclass(value):
            public |= {f"{name}.{key}": method for key, method in methods_of(value)}
    return public


def plain(value):
    """The function behind a partial or a bound method."""
    return getattr(value, "func", getattr(value, "__func__", value))


def methods_of(cls):
    """(name, function) of the public methods that a class introduces: one that overrides keeps its base's contract.

    Those of layers and optimizers are called by the engine, not by users.
    """
    if issubclass(cls, mn.Layer) or hasattr(cls, "slots"):
        return
    for name, member in vars(cls).items():
        function = getattr(member, "__func__", member)
        overrides = any(name in vars(base) for base in cls.__mro__[1:])
        if not name.startswith("_") and inspect.isfunction(function) and not overrides:
            yield name, function


def sections_of(doc):
    """{title: text} of the NumPy sections; the text before the first is under ""."""
    lines, parts, title = doc.splitlines(), {"": []}, ""
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line in SECTIONS and re.fullmatch("-+", below):
            title = line
            parts[title] = []
        elif not (re.fullmatch("-+", line) and not parts[title]):
            parts[title].append(line)
    return {title: "\n".join(part) for title, part in parts.items()}

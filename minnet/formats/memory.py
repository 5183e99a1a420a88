"""What a recipe remembers between two steps, as JSON and arrays, and back: nothing is pickled.

    arrays = {}
    facts = memory_facts(latent, arrays)         # JSON; arrays by their place in it, filled in
    put_back(latent, facts, arrays, model)       # into the same object, made anew

A thing is an array or a random generator, which change in place; a dict; or an object, of which `memory()` says what is
remembered, by default all its attributes. An item of these may be a number, text, None, an array, a random generator, a
list, tuple or dict of such, or an object that is there again when its owner is made anew. Where attributes come only
later, as training goes on, an object has a method `make_room(names)` that makes them.
"""
from collections.abc import Mapping

import numpy as np

from minnet.engine.model import Model
from minnet.engine.vector import Parameter
from minnet.errors import InvalidType, InvalidValue, quoted
from minnet.formats.runs import set_stream, stream_facts

STORED = {"bool": np.uint8, "int64": np.uint64, "int32": np.uint32}  # dtypes that files of ours hold as others
PLAIN = ("float64", "float32", "uint64", "uint32", "uint16", "uint8", "int8")
DTYPES = {name: np.dtype(name) for name in (*STORED, *PLAIN)}


def memory_facts(value: object, arrays: dict[str, np.ndarray], place: str = "memory") -> object:
    """Return `value` as JSON; its arrays are added to `arrays` by their places.

    Raises InvalidType for what cannot be stored.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.name in DTYPES:
        arrays[place] = np.ascontiguousarray(value).view(STORED.get(value.dtype.name, value.dtype)).reshape(-1)
        return {"array": place, "dtype": value.dtype.name, "shape": list(value.shape),
                "scalar": isinstance(value, np.generic)}
    if isinstance(value, np.random.Generator):
        return {"rng": stream_facts(value), "spawned": _seeds(value).n_children_spawned}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [memory_facts(item, arrays, f"{place}.{i}") for i, item in enumerate(value)]}
    if isinstance(value, Mapping):
        return {"dict": [[_key(key), memory_facts(item, arrays, f"{place}.{i}")]
                         for i, (key, item) in enumerate(value.items())]}
    if not hasattr(value, "memory") and (callable(value) or not hasattr(value, "__dict__")):
        raise InvalidType(f"{place} of this recipe is {quoted(repr(value))}, which cannot be stored: wanted numbers, "
                          "text, arrays, random generators, lists, dicts, or objects of these")
    return {"object": {name: memory_facts(item, arrays, f"{place}.{name}") for name, item in remembered(value).items()}}


def remembered(thing: object) -> dict[str, object]:
    """Return what is remembered of an object, by attribute."""
    return thing.memory() if hasattr(thing, "memory") else dict(vars(thing))


def put_back(thing: object, facts: Mapping, arrays: Mapping[str, np.ndarray], model: Model) -> None:
    """Make `thing` what it was when `facts` and `arrays` were taken of it; `model` has the parameters that are named.

    A dict keeps the things that are in it where they are still of that kind, and these change in place. Raises
    InvalidValue where `thing` is not of the same kind.
    """
    kind = next(iter(facts)) if isinstance(facts, dict) and facts else None
    if kind == "rng" and isinstance(thing, np.random.Generator):
        set_stream(thing, facts["rng"])
        _seeds(thing).spawn(facts["spawned"] - _seeds(thing).n_children_spawned)
    elif kind == "array" and isinstance(thing, np.ndarray):
        thing[...] = made_of(facts, arrays, model)
    elif kind == "dict" and isinstance(thing, dict):
        _into_dict(thing, facts["dict"], arrays, model)
    elif kind == "object":
        _into_object(thing, facts["object"], arrays, model)
    else:
        raise InvalidValue(f"a {type(thing).__name__} of this recipe was stored as {kind}: begin it anew")


def made_of(facts: object, arrays: Mapping[str, np.ndarray], model: Model) -> object:
    """Return the value, made anew, that was stored as `facts`; not for random generators and objects."""
    if not isinstance(facts, dict):
        return facts
    kind, value = next(iter(facts.items()))
    if kind == "float":
        return float.fromhex(value)
    if kind == "array":
        found = np.array(arrays[value]).view(DTYPES[facts["dtype"]]).reshape(facts["shape"])
        return found[()] if facts["scalar"] else found
    if kind == "dict":
        return {_key_of(key, model): made_of(item, arrays, model) for key, item in value}
    if kind in ("list", "tuple"):
        items = [made_of(item, arrays, model) for item in value]
        return tuple(items) if kind == "tuple" else items
    raise InvalidValue(f"this run was stored with a {kind} that is not there again: begin it anew")


def _seeds(rng):
    """Return where the seeds of the generators come from that are spawned by this one."""
    return rng.bit_generator.seed_seq


def _in_place(facts):
    """Return whether what was stored as `facts` is put into something that is there."""
    return isinstance(facts, dict) and next(iter(facts)) in ("rng", "object")


def _into_object(thing, items, arrays, model):
    if hasattr(thing, "make_room"):
        thing.make_room(set(items))
    for name, facts in items.items():
        if _in_place(facts):
            put_back(getattr(thing, name, None), facts, arrays, model)
        else:
            setattr(thing, name, made_of(facts, arrays, model))


def _into_dict(thing, items, arrays, model):
    before = dict(thing)
    thing.clear()
    for key, facts in items:
        name = _key_of(key, model)
        thing[name] = before.get(name)
        if _in_place(facts) or isinstance(thing[name], dict | np.ndarray):
            put_back(thing[name], facts, arrays, model)
        else:
            thing[name] = made_of(facts, arrays, model)


def _key(key):
    """Return the key of a dict as JSON: text, a whole number, or a parameter by name."""
    if isinstance(key, Parameter):
        return {"parameter": key.name}
    if not isinstance(key, str | int):
        raise InvalidType(f"a dict of this recipe has the key {quoted(repr(key))}; stored are text, whole numbers and "
                          "parameters")
    return key


def _key_of(key, model):
    return model.parameters[key["parameter"]] if isinstance(key, dict) else key

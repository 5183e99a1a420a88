"""Write and read the JSON that describes a model in its file.

    text = description(model, state, made)       # sorted keys, no times, dates or paths: same model, same text
    facts = read_description(text, path)         # a dict; its version is checked before anything else

`format_version`, `minnet` (the version that wrote it), `kind` ("model" or "state"), `architecture` (`model.config()`),
`made` (whatever the caller wants to note), `signature` (or null), `frozen`, what a Predictor was made with (or null),
`fingerprint` (fingerprint.py), and for a run `state` (runs.py).
"""
import json

import numpy as np

from minnet import __version__
from minnet.data import Signature
from minnet.engine.initialisers import INITIALISERS
from minnet.errors import InvalidType, InvalidValue, MinnetError, file_error, quoted
from minnet.formats.fingerprint import DIGITS, fingerprint
from minnet.formats.runs import run_facts
from minnet.formats.tensors import parse_json

FORMAT_VERSION = 4  # the first had no signature, the third could have quantised weights, the fourth is fingerprinted
VERSIONS = {1: set(), 2: {"signature"}, 3: {"signature", "frozen"},
            4: {"signature", "frozen", "fingerprint"}}  # the keys that a version adds
ENLARGED = "vgg16"  # the scaling of data whose images were enlarged before the model saw them
RECORDED = {"classes", "shift", "scale", "scaling", "settings"}  # what commands recorded in the first version
KEYS = {"format_version", "minnet", "kind", "architecture", "made"}
KINDS = {"model": KEYS, "state": KEYS | {"state"}}


def description(model, state, made, frozen=None):
    """Return the JSON of `model`, and of the run `state` unless it is None; InvalidType for what JSON cannot hold.

    `frozen`: what a Predictor of it was made with. The fingerprint is as long as one, and yet to be set (`stamped`).
    """
    if made is not None and not isinstance(made, dict):
        raise InvalidType(f"made={quoted(repr(made))}; wanted a dict of what the model was made with")
    signature = None if model.signature is None else model.signature.to_json()
    facts = {"format_version": FORMAT_VERSION, "minnet": __version__, "kind": "model" if state is None else "state",
             "architecture": _named_initialisers(model.config()), "made": made or {}, "signature": signature,
             "frozen": frozen, "fingerprint": "0" * DIGITS}
    if state is not None:
        facts["state"] = run_facts(state)
    try:
        return _text(facts)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidType(f"a model file holds only what JSON can: {quoted(str(error))}") from error


def stamped(facts, arrays):
    """Return the JSON of parsed facts with the fingerprint of the file that has these tensors."""
    return _text(facts | {"fingerprint": fingerprint(facts, arrays)})


def read_description(text, path):
    """Return the facts in `text` of the file `path`: all keys and no others.

    Architecture and state are not yet checked.

    Raises FileError for another version of the format, InvalidValue for what is in none.
    """
    facts = parse_json("its description", text)
    if not isinstance(facts, dict):
        raise InvalidValue(f"its description is no table, but {quoted(repr(facts))}")
    version, kind = facts.get("format_version"), facts.get("kind")
    if type(version) is not int or version not in VERSIONS:
        raise file_error(path, f"its format_version is {quoted(repr(version))}, written by minnet "
                                 f"{quoted(repr(facts.get('minnet')))}; this is minnet {__version__}, which reads "
                                 f"up to {FORMAT_VERSION}", "read it with the minnet-lab that wrote it, or a newer one")
    wanted = KINDS[kind] | VERSIONS[version] if isinstance(kind, str) and kind in KINDS else None
    if set(facts) != wanted:
        raise InvalidValue(f"its description is of the kind {quoted(repr(kind))} with the keys "
                           f"{quoted(repr(sorted(facts)))}")
    if not isinstance(facts["made"], dict) or not isinstance(facts["minnet"], str):
        raise InvalidValue("its description does not say in a table what the model was made with, but in "
                           f"{quoted(repr(facts['made']))}, or by which version, but {quoted(repr(facts['minnet']))}")
    return facts


def signature_of(facts, shape, outputs):
    """Return the signature of a model in a file that takes `shape` and gives `outputs`, or None.

    A file of the first version, written by a command, says in `made` how its data were scaled and what the classes are
    called. Raises InvalidValue or InvalidType where a signature is none, or does not fit the model.
    """
    if facts.get("signature") is not None:
        found = Signature.from_json(facts["signature"])
    elif "signature" not in facts and set(facts["made"]) >= RECORDED:
        try:
            found = _recorded(facts["made"], shape)
        except MinnetError:  # what a caller noted under these names may mean something else
            return None
    else:
        return None
    if not found.fits(shape, outputs):
        raise InvalidValue(f"its signature is {quoted(repr(found))}; the model takes {tuple(shape)} and gives "
                           f"{tuple(outputs)}")
    return found


def _recorded(made, shape):
    """Return the signature in what a command recorded in a file of the first version."""
    scaling = None if made["scaling"] == ENLARGED else {"shift": made["shift"], "scale": made["scale"]}
    return Signature.from_json({"shape": list(shape), "scaling": scaling, "task": "classes", "target": None,
                                "feature_names": None, "classes": made["classes"]})


def _text(facts):
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value):
    """Return NumPy's numbers as Python's."""
    if isinstance(value, np.number | np.bool_):
        return value.item()
    raise TypeError(f"{type(value).__name__} {quoted(repr(value))} is no table, list, text or number")


def _named_initialisers(config):
    """Return a config in which no initialiser is a function: ours by name, another left to the default."""
    if isinstance(config, list):
        return [_named_initialisers(item) for item in config]
    if not isinstance(config, dict):
        return config
    plain = {name: _named_initialisers(value) for name, value in config.items()}
    if callable(plain.get("initialiser")):
        used = plain.pop("initialiser")
        plain |= {"initialiser": name for name in INITIALISERS if INITIALISERS[name] is used}  # noqa: B035 - one at most
    return plain

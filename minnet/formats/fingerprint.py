"""The fingerprint of a model file: SHA-256 over what its model computes, so that a changed file is told from it.

    found = fingerprint(facts, arrays)           # 64 hexadecimal digits
    check_fingerprint(facts, arrays)             # InvalidValue where the file says another one

It is over the architecture and the signature, as the JSON of the file has them, and over all tensors, by name: values,
masks, and where there are any scales, places of live weights and the vectors of a training run. What the model was
made with, and by which version, is not in it.
"""
import hashlib
import json
from collections.abc import Mapping

import numpy as np

from minnet.errors import InvalidValue, quoted
from minnet.formats.layout import code

DIGITS = 64
COVERED = ("architecture", "signature")


def fingerprint(facts: Mapping, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the fingerprint of a file with these facts and tensors."""
    text = json.dumps([facts[key] for key in COVERED], sort_keys=True, separators=(",", ":"))
    found = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        found.update(f"\n{json.dumps(name)} {code(array.dtype)} {list(array.shape)}\n".encode())
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        found.update(little.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def check_fingerprint(facts: Mapping, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse a file whose content has another fingerprint than it says; one that says none is taken as it is."""
    if "fingerprint" not in facts:
        return
    found = fingerprint(facts, arrays)
    if facts["fingerprint"] != found:
        raise InvalidValue(f"its fingerprint is {quoted(repr(facts['fingerprint']))}, and its content has {found}: it "
                           "was changed after it was saved")

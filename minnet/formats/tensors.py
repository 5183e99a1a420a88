"""The safetensors container: named arrays and one text in a file, and back, trusting nothing.

    content = to_bytes({"dense1.weight": array}, text)     # the same arrays and text give the same bytes
    with opened(path) as file:
        head = read_head(file, path)                       # checked whole; no data is read yet
        arrays = read_arrays(file, head)

A file is the length of the header (8 bytes, little-endian), the header (JSON: dtype, shape and place of each tensor),
and the data, which the tensors must tile without hole or overlap. Files that minnet writes are read by every
safetensors library; of theirs, minnet reads those that keep the rules to the letter.
"""
import json
import math
import os
from dataclasses import dataclass

import numpy as np

from minnet.errors import InvalidValue, file_error, quoted
from minnet.files import KINDS, sniff

LENGTH_BYTES = 8
ALIGNMENT = 8               # the data begins at a multiple of it
MOST_HEADER = 8 * 2**20     # bytes; JSON takes some twenty times as much memory as file
DEEPEST = 100               # JSON inside JSON; layers inside layers take two each
LONGEST_NUMBER = 100        # digits; the longest we write is a 128-bit state of a generator
MOST_AXES = 8
METADATA = "__metadata__"   # the format's own name
OURS = "minnet"             # our key in the metadata
DTYPES = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "U64": np.dtype("<u8"), "U32": np.dtype("<u4"),
          "U16": np.dtype("<u2"), "U8": np.dtype("u1"), "I8": np.dtype("i1")}
CODES = {dtype: code for code, dtype in DTYPES.items()}
FOREIGN = DTYPES | {"F16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4"),
                    "I16": np.dtype("<i2"), "BOOL": np.dtype("u1")}   # also in others' files
TO_SAFETENSORS = '`from safetensors.torch import save_file`, then `save_file(net.state_dict(), "net.safetensors")`'
IMPORT = "import it first: minnet import FILE"
OTHER_ADVICE = "give a model that minnet saved"
ADVICE = {  # what to do with a file that is no model file, by what `sniff` takes it for
    "empty": "write it again",
    "pickle": f"a pickle can run code and is never opened; where PyTorch made it: {TO_SAFETENSORS}",
    "onnx": IMPORT,
    "hdf5": IMPORT,
    "keras": IMPORT,
    "html": "the download brought a page instead of the file: fetch the file itself",
    "gzip": "unpack it first",
    "unknown": "it may be damaged or cut off: fetch or write it again",
}


@dataclass(frozen=True)
class Stored:
    """One tensor as the header describes it: a key of DTYPES, a shape, and where its bytes are in the data."""

    dtype: str
    shape: tuple
    start: int
    stop: int


@dataclass(frozen=True)
class Head:
    """A header: tensors by name, the text under our key, where the data begins, and the bytes of the whole file."""

    tensors: dict
    text: str
    begin: int
    size: int


# --- writing ---------------------------------------------------------------------------------------------------------


def header(specs, text):
    """Return the first bytes of a file with tensors `specs`, {name: (dtype, shape)}, and `text` (or None).

    Larger items come first, then names in order, so that every tensor is aligned. Raises InvalidValue if it is longer
    than a reader would take.
    """
    entries, start = {} if text is None else {METADATA: {OURS: text}}, 0
    for name in _order(specs):
        dtype, shape = specs[name]
        stop = start + n_bytes(dtype, shape)
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}
        start = stop
    body = json.dumps(entries, separators=(",", ":")).encode()
    body += b" " * (-len(body) % ALIGNMENT)
    if len(body) > MOST_HEADER:
        raise InvalidValue(f"the description of this model takes {len(body):,} bytes, a file holds at most "
                           f"{MOST_HEADER:,}: take fewer layers, or note less of how it was made")
    return len(body).to_bytes(LENGTH_BYTES, "little") + body


def file_size(specs, text):
    """Return the bytes of a file with these tensors and this text."""
    return len(header(specs, text)) + sum(n_bytes(dtype, shape) for dtype, shape in specs.values())


def to_bytes(arrays, text):
    """Return the whole file for {name: array} and `text` (or None); arrays of any layout and byte order."""
    arrays = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    specs = {name: (CODES[array.dtype], array.shape) for name, array in arrays.items()}
    return b"".join([header(specs, text), *(arrays[name].reshape(-1).view(np.uint8) for name in _order(specs))])


def tensor_bytes(data: bytes) -> dict[str, int]:
    """Return the bytes of each tensor of a file that `to_bytes` made."""
    start = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    entries = json.loads(data[LENGTH_BYTES:start])
    return {name: entry["data_offsets"][1] - entry["data_offsets"][0] for name, entry in entries.items()
            if name != METADATA}


def n_bytes(dtype, shape):
    """Return the bytes that a tensor takes in a file."""
    return math.prod(shape) * FOREIGN[dtype].itemsize


def _order(specs):
    return sorted(specs, key=lambda name: (-DTYPES[specs[name][0]].itemsize, name))


# --- reading ---------------------------------------------------------------------------------------------------------


def read_head(file, path):
    """Return the Head of the open file `path`, every claim in it checked against the file's real size.

    Raises FileError where this is another kind of file, InvalidValue where it breaks a rule.
    """
    entries, metadata, begin, size = _read_header(file, path)
    text = _our_text(metadata, path)
    return Head(_check_tiles(entries, size - begin, DTYPES), text, begin, size)


def read_foreign_head(file, path):
    """Return the Head of a file that another library wrote, with its dtypes (FOREIGN); no text unless it is ours."""
    entries, metadata, begin, size = _read_header(file, path)
    text = metadata.get(OURS) if isinstance(metadata, dict) else None
    return Head(_check_tiles(entries, size - begin, FOREIGN), text if isinstance(text, str) else "", begin, size)


def _read_header(file, path):
    """Return (entries by name, not yet checked; metadata; where the data begins; the file's size)."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(LENGTH_BYTES + 1)
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if start[LENGTH_BYTES:] != b"{":
        kind = sniff(path)
        raise file_error(path, f"is {KINDS[kind]}, not a model file", ADVICE.get(kind, OTHER_ADVICE))
    if length > min(size - LENGTH_BYTES, MOST_HEADER):
        raise InvalidValue(f"its header claims {length:,} bytes; the file has {size:,}, and at most {MOST_HEADER:,} "
                           "are read")
    file.seek(LENGTH_BYTES)
    entries = parse_json("its header", _read(file, length))
    if not isinstance(entries, dict):
        raise InvalidValue(f"its header is no table, but {quoted(repr(entries))}")
    return entries, entries.pop(METADATA, {}), LENGTH_BYTES + length, size


def read_arrays(file, head):
    """Return {name: array} of all tensors of `head`: read-only views of one buffer, as large as the data."""
    file.seek(head.begin)
    data = _read(file, head.size - head.begin)
    return {name: np.ndarray(at.shape, FOREIGN[at.dtype], data, at.start) for name, at in head.tensors.items()}


def parse_json(what, text):
    """Parse strict JSON: no repeated keys, no NaN or Infinity, no number too long, no nesting too deep.

    `what` begins the InvalidValue that is raised.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite,
                           parse_int=_bounded)
    except RecursionError as error:
        raise InvalidValue(f"{what} is nested too deeply") from error
    except ValueError as error:  # InvalidValue of the functions below is one too
        raise InvalidValue(f"{what} is not the JSON of a model file: {quoted(str(error))}") from error
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list)
                 for inner in (outer.values() if isinstance(outer, dict) else outer)]
    if level:
        raise InvalidValue(f"{what} is nested more than {DEEPEST} deep")
    return value


def _read(file, n):
    """Read exactly `n` bytes."""
    data = file.read(n)
    if len(data) != n:
        raise InvalidValue(f"it became shorter while it was read: {len(data):,} of {n:,} bytes are left")
    return data


def _unique(pairs):
    """Return a table; refuse a repeated key, which readers would take in different ways."""
    made = {}
    for key, value in pairs:
        if key in made:
            raise InvalidValue(f"{quoted(repr(key))} is in it twice")
        made[key] = value
    return made


def _refuse(constant):
    raise InvalidValue(f"{constant} is no number")


def _finite(digits):
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidValue(f"{quoted(digits)} is no finite number")
    return number


def _bounded(digits):
    if len(digits) > LONGEST_NUMBER:
        raise InvalidValue(f"a number has {len(digits)} digits")
    return int(digits)


def _our_text(metadata, path):
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidValue(f"its {METADATA} is no table of texts, but {quoted(repr(metadata))}")
    if OURS not in metadata:
        raise file_error(path, "is a safetensors file that minnet did not write", IMPORT)
    return metadata[OURS]


def _check_tiles(entries, n_data, dtypes):
    """Return {name: Stored}, if the tensors fill `n_data` bytes without hole or overlap."""
    tensors = {name: _check_entry(name, entry, dtypes) for name, entry in entries.items()}
    reached = 0
    for name, at in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if at.start != reached:
            raise InvalidValue(f"tensor {quoted(name)} begins at byte {at.start} of the data, the one before ends at "
                               f"{reached}")
        reached = at.stop
    if reached != n_data:
        raise InvalidValue(f"its tensors take {reached:,} bytes, the file holds {n_data:,}")
    return tensors


def _check_entry(name, entry, dtypes):
    """Return an entry of the header as a Stored: three keys, a known dtype, whole numbers, and the right length."""
    what = f"tensor {quoted(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InvalidValue(f"{what} has no dtype, shape and data_offsets, or more than these: {quoted(repr(entry))}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in dtypes:
        raise InvalidValue(f"{what} has the dtype {quoted(repr(dtype))}; model files hold {', '.join(dtypes)}")
    if not _whole_numbers(shape) or len(shape) > MOST_AXES or not _whole_numbers(offsets) or len(offsets) != 2:
        raise InvalidValue(f"{what} has the shape {quoted(repr(shape))} and the offsets {quoted(repr(offsets))}: "
                           "wanted lists of whole numbers")
    start, stop = offsets
    if n_bytes(dtype, shape) != stop - start:
        raise InvalidValue(f"{what} has {stop - start} bytes, its shape {quoted(repr(shape))} of {dtype} needs "
                           f"{n_bytes(dtype, shape)}")
    return Stored(dtype, tuple(shape), start, stop)


def _whole_numbers(items):
    return isinstance(items, list) and all(type(item) is int and item >= 0 for item in items)

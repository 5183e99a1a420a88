"""Read IDX and .npz files to arrays; safe with files that are not trusted.

    read_idx("train-images-idx3-ubyte.gz")      # any IDX file, compressed or not
    X, y = read_npz("mine.npz")                 # members X and y
    npz_parts("mine.npz")                       # {"train": {"X": "x_train", "y": "y_train"}, "test": ...}

Nothing is unpickled; what a header claims is compared with what is there before memory is taken; a small file that
unpacks to a huge array is refused. Every problem is a `FileError` that says what to do.
"""

import gzip
import lzma
import math
import os
import struct
import zipfile
import zlib
from tokenize import TokenError

import numpy as np

from minnet.errors import file_error, quoted
from minnet.files import opened

MIB = 2**20
SMALL_BYTES = 64 * MIB  # an array of up to this size may come from a compressed file of any size
MOST_EXPANSION = 100  # a larger one may be this many times its compressed size; images and tables reach 10
IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IDX_MAGIC_BYTES = 4
IDX_DIM_BYTES = 4
MOST_DIMENSIONS = 32  # that an array may have, less than NumPy's own bound
GZIP_MAGIC = b"\x1f\x8b"
ENCRYPTED = 0x1  # a flag of a member of a zip archive
NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
X_KINDS, Y_KINDS = "biuf", "biufSU"  # NumPy's letters for the kinds of dtypes that features and labels may have
PARTS = {"train": "train training", "valid": "valid val validation dev", "test": "test testing"}
ROLES = {"X": "x data image images features input inputs", "y": "y label labels target targets class classes"}
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile, struct.error, ValueError,
           SyntaxError, NotImplementedError, RuntimeError)  # what the standard library raises on damaged archives


# --- IDX: zero, zero, a code for the dtype, the number of dimensions, the dimensions, the numbers; big-endian ---------

def read_idx(path):
    """Return the array in the IDX file `path` (Y. LeCun's format of MNIST), in native byte order.

    Its content tells whether it is compressed by gzip. Its length must be exactly what the header claims.
    """
    with opened(path) as file:
        stored = os.fstat(file.fileno()).st_size
        packed = file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        try:
            dtype, shape = _idx_header(path, stream)
            size = math.prod(shape) * dtype.itemsize
            if packed:
                _check_expansion(path, "the array", size, stored)
            elif size > stored:
                raise file_error(path, f"claims {size:,} bytes of data and has {stored:,}", fix="fetch it again")
            data = stream.read(size + 1)
        except DAMAGED as error:
            raise file_error(path, f"is damaged: {_reason(error)}", fix="fetch it again") from error
    if len(data) != size:
        have = f"only {len(data):,}" if len(data) < size else "more"
        raise file_error(path, f"its header announces {size:,} bytes of data, it has {have}", fix="fetch it again")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _idx_header(path, stream):
    """Return (dtype, shape) as the first bytes of an IDX file state them."""
    magic = stream.read(IDX_MAGIC_BYTES)
    known = len(magic) == IDX_MAGIC_BYTES and magic[:2] == b"\0\0" and magic[2] in IDX_DTYPES
    if not (known and 1 <= magic[3] <= MOST_DIMENSIONS):
        raise file_error(path, f"is no IDX file: it begins with {magic!r}", fix="give one of MNIST's four files")
    data = stream.read(magic[3] * IDX_DIM_BYTES)
    shape = tuple(int(n) for n in np.frombuffer(data[: len(data) // IDX_DIM_BYTES * IDX_DIM_BYTES], ">u4"))
    if len(shape) != magic[3]:
        raise file_error(path, f"ends within its header of {magic[3]} dimensions", fix="fetch it again")
    return np.dtype(IDX_DTYPES[magic[2]]), shape


# --- .npz: a zip archive of .npy files --------------------------------------------------------------------------------

def read_npz(path, target="y", data="X"):
    """Return (X, y), the members `data` and `target` of the NumPy archive `path`; other members are not read.

    Object arrays (pickles), structured, complex and text features, encrypted or repeated members are refused.
    """
    with opened(path) as file:
        try:
            archive = zipfile.ZipFile(file)
            return (_npz_member(path, archive, data, X_KINDS), _npz_member(path, archive, target, Y_KINDS))
        except DAMAGED as error:
            raise file_error(path, f"is damaged: {_reason(error)}", fix="save it again with np.savez") from error


def npz_parts(path):
    """Return {"train": {"X": name, "y": name}, ...} of an archive with members as X_train, y_train; {} of another.

    Names are a word for the part and one for what it holds, in any order and case: x_train, train_images, val_labels.
    An archive with a member X is no such one. Each part needs both members, and training is one of the parts.
    """
    with opened(path) as file:
        try:
            names = [name.removesuffix(".npy") for name in zipfile.ZipFile(file).namelist()]
        except DAMAGED as error:
            raise file_error(path, f"is damaged: {_reason(error)}", fix="save it again with np.savez") from error
    return {} if "X" in names else _parts_of(path, names)


def _parts_of(path, names):
    """Return {part: {"X": name, "y": name}} of the members' names."""
    known = {word: key for table in (PARTS, ROLES) for key, words in table.items() for word in words.split()}
    found = {}
    for name in names:
        keys = [known.get(word) for word in name.lower().split("_")]
        part, role = (next((key for key in keys if key in table), None) for table in (PARTS, ROLES))
        if len(keys) != 2 or not (part and role):
            continue
        if role in found.setdefault(part, {}):
            raise file_error(path, f"has two members for one part: {quoted(found[part][role])} and {quoted(name)}",
                             fix="leave one of them out")
        found[part][role] = name
    if "train" not in found:
        return {}
    alone = [(part, *members.values()) for part, members in found.items() if len(members) == 1]
    if alone:
        part, name = alone[0]
        raise file_error(path, f"has a member {quoted(name)} and not its pair", fix=f"give X_{part} and y_{part}")
    return found


def _npz_member(path, archive, name, kinds):
    """Read one array of the archive, once its header, its size and its dtype are checked."""
    found = [info for info in archive.infolist() if info.filename == f"{name}.npy"]
    if len(found) != 1:
        have = ", ".join(quoted(n) for n in archive.namelist()[:10]) or "nothing"
        what = f"has {len(found)} members {quoted(name)!r}; it holds {have}"
        others = "" if name == "X" else "X=..., "
        raise file_error(path, what, fix=f"save it with np.savez(file, {others}{quoted(name)}=...)")
    info = found[0]
    if info.flag_bits & ENCRYPTED:
        raise file_error(path, f"its member {quoted(name)} is encrypted", fix="save it with np.savez")
    _check_expansion(path, f"its member {quoted(name)}", info.file_size, info.compress_size)
    with archive.open(info) as member:
        shape, fortran, dtype = _npy_header(member)
        if dtype.kind not in kinds:
            problem = f"its member {quoted(name)} has the dtype {quoted(str(dtype))}"
            raise file_error(path, problem, fix="save X as numbers, y as whole numbers or text")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or size != info.file_size - member.tell():
            problem = f"its member {quoted(name)} does not have the {size:,} bytes that its shape {shape} needs"
            raise file_error(path, problem, fix="save it again with np.savez")
        data = member.read(size + 1)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _npy_header(member):
    """Return (shape, fortran_order, dtype) as the head of an .npy file states them; ValueError for what is none."""
    version = np.lib.format.read_magic(member)
    if version not in NPY_HEADERS:
        raise ValueError(f"version {version} of the .npy format is for structured arrays")
    try:
        return NPY_HEADERS[version](member)
    except (LookupError, TypeError, MemoryError, TokenError) as error:  # of Python's own parser, not of our reading
        raise ValueError(f"its header makes no sense ({type(error).__name__})") from error


def _reason(error):
    """Return the message of an exception of the standard library, on one line of bounded length."""
    return quoted(" ".join(str(error).split()) or type(error).__name__)


def _check_expansion(path, what, size, stored):
    """Refuse a member that unpacks to far more than is stored: such a file was made to fill the memory."""
    if size > max(SMALL_BYTES, MOST_EXPANSION * stored):
        problem = f"{what} claims {size:,} bytes, from {stored:,} stored"
        raise file_error(path, problem, fix="store it without compression if it is meant so")

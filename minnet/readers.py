"""Read data files, IDX, .npz and .csv, to arrays; safe with files that are not trusted.

    read_idx("train-images-idx3-ubyte.gz")      # any IDX file, compressed or not
    X, y = read_npz("mine.npz")                 # members X and y
    X, y = read_csv("mine.csv", target="kind")  # numbers, and one column of classes

Nothing is unpickled; what a header claims is compared with what is there before memory is taken; a small file that
unpacks to a huge array is refused. Every problem is a `FileError` that says what to do.
"""

import csv
import gzip
import io
import lzma
import math
import os
import re
import struct
import zipfile
import zlib
from array import array
from itertools import chain
from tokenize import TokenError
from typing import NamedTuple

import numpy as np

from minnet.errors import check_count, file_error, quoted, unknown
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
CALLED = {"label", "class", "target", "y"}  # names of a column of classes
FEWEST_COUNTED = 3  # columns of a header 0, 1, 2, ...; two may as well be a sample
NUMBER = re.compile(r"-?[0-9]{1,9}")
LONGEST_INTEGER = 18  # digits that surely fit in 64 bits
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

def read_npz(path, target="y"):
    """Return (X, y), the members `X` and `target` of the NumPy archive `path`; other members are not read.

    Object arrays (pickles), structured, complex and text features, encrypted or repeated members are refused.
    """
    with opened(path) as file:
        try:
            archive = zipfile.ZipFile(file)
            return (_npz_member(path, archive, "X", X_KINDS), _npz_member(path, archive, target, Y_KINDS))
        except DAMAGED as error:
            raise file_error(path, f"is damaged: {_reason(error)}", fix="save it again with np.savez") from error


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


# --- .csv: numbers, and a class in the last column or the one named ---------------------------------------------------

class Table(NamedTuple):
    """What a table holds: X (n, d) float64, y (n,), the names of X's columns and of y's; None without a header."""

    X: np.ndarray
    y: np.ndarray
    names: tuple[str, ...] | None
    target: str | None


def read_csv(path, target=None):
    """Return (X, y) of a table: see `read_table`."""
    return read_table(path, target)[:2]


def read_table(path, target=None, learnt=None, *, ask=True):
    """Return the Table in a file in UTF-8; `target` is the name or number of the column of classes.

    Without it that is the column called `learnt` if there is one, else the last; with `ask`, a table in which another
    one is called label, class, target or y is refused, since either may be meant. A first line 0, 1, 2, ... of three
    columns or more is a header, as pandas writes it for columns without names.

    Comma, semicolon or tab separates; a first line with a cell that is no number names the columns. Each error
    names its line and column. y is of whole numbers, other numbers or text, whichever holds for all labels.
    """
    with opened(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        try:
            return _table(path, text, target, learnt, ask)
        except UnicodeDecodeError as error:
            raise file_error(path, f"is no text in UTF-8 ({error.reason})", fix="save it as UTF-8") from error
        finally:
            text.detach()


def _table(path, lines, target, learnt, ask):
    """Return the Table in the lines of the file."""
    rows = _rows(path, lines)
    first = _, head = next(rows, (0, []))
    if len(head) < 2:
        what = f"needs at least two columns, its first line has {len(head)}"
        raise file_error(path, what, fix="separate numbers and class by commas")
    if target is None and head.count(learnt) == 1:
        target = learnt
    if isinstance(target, str) and target not in head and NUMBER.fullmatch(target):
        target = int(target)
    place = _target_place(path, head, target)
    counted = len(head) >= FEWEST_COUNTED and head == [str(i) for i in range(len(head))]
    named = counted or isinstance(target, str) or not any(map(_is_number, head[:place] + head[place + 1:]))
    if ask and named and target is None:
        _ask_for_target(path, head)
    names = tuple(head) if named else None
    values, labels = array("d"), []
    for number, cells in rows if named else chain([first], rows):
        labels.append(_label(path, number, cells.pop(place)))
        values.extend(_features(path, number, cells, names, place))
    if not labels:
        raise file_error(path, "holds no rows", fix="a row is numbers and a class")
    X = np.frombuffer(values).reshape(len(labels), -1)
    return Table(X, _as_labels(labels), names and (*names[:place], *names[place + 1:]), names and names[place])


def _ask_for_target(path, names):
    """Refuse a table whose last column is called nothing in particular, and another one as if it held the classes."""
    meant = [name for name in names[:-1] if name.strip().lower() in CALLED]
    if meant and names[-1].strip().lower() not in CALLED:
        what = f"has a column {quoted(repr(meant[0]))}, and the last one is {quoted(repr(names[-1]))}"
        raise file_error(path, what, fix=f"say which holds the classes: --target {quoted(meant[0])}, or --target "
                                         f"{quoted(names[-1])}")


def _rows(path, lines):
    """Yield (line number, cells) of each row; all have as many cells as the first; empty lines are skipped."""
    lines = _without_nul(path, lines)
    first = next(lines, "")
    reader = csv.reader(chain([first], lines), delimiter=max(",;\t", key=first.count), strict=True)
    width = None
    try:
        for cells in filter(None, reader):
            width = width or len(cells)
            if len(cells) != width:
                problem = f"line {reader.line_num} has {len(cells)} columns, the first has {width}"
                raise file_error(path, problem, fix="mend that line")
            yield reader.line_num, cells
    except csv.Error as error:
        raise file_error(path, f"line {reader.line_num}: {error}", fix="mend that line") from error


def _without_nul(path, lines):
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise file_error(path, f"line {number} holds a NUL character", fix="save it as plain text in UTF-8")
        yield line


def _target_place(path, names, target):
    """Return the column of the classes; `names` is the first line, which has names if `target` is one."""
    if target is None:
        return len(names) - 1
    if not isinstance(target, str):
        return check_count("target", target, -len(names), len(names) - 1) % len(names)
    if target not in names:
        raise unknown(f"column of {quoted(str(path))}", target, names)
    if names.count(target) > 1:
        raise file_error(path, f"has {names.count(target)} columns {quoted(repr(target))}", fix="rename one")
    return names.index(target)


def _is_number(cell):
    """Test for what `float` takes, except spellings that no table means: 1_000, digits of other scripts."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def _is_integer(cell):
    return len(cell) <= LONGEST_INTEGER and _is_number(cell) and cell.lstrip("+-").isdigit()


def _features(path, number, cells, names, place):
    """Return the row's numbers, or raise an error that names the first cell that is none."""
    for column, cell in enumerate(cells):
        if not (_is_number(cell) and math.isfinite(float(cell))):
            column += column >= place  # the cell of the class is taken out already
            name = f" ({quoted(names[column])})" if names else ""
            problem = f"line {number}, column {column + 1}{name}: {quoted(repr(cell))} is no finite number"
            raise file_error(path, problem, fix="mend it, or encode text as numbers first")
    return map(float, cells)


def _label(path, number, cell):
    """Return the class of one row, as text."""
    cell = cell.strip()
    if not cell:
        raise file_error(path, f"line {number} has no class", fix="fill it in or take the line out")
    return cell


def _as_labels(labels):
    """Return labels as whole numbers, else as numbers, else as text: the first that holds for all."""
    if all(map(_is_integer, labels)):
        return np.array([int(label) for label in labels])
    if all(map(_is_number, labels)):
        return np.array([float(label) for label in labels])
    return np.array(labels)

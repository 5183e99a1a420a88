"""Store a parameter dense, or as its live values and their positions, given by bits or by columns.

    form = form_of(p.value.shape, live)      # "dense", "bits" or "columns", by sizes alone
    specs(form, shape, live)                 # {"": what the values take, ".mask": ...}, without any data
    pack(form, mask)                         # {".mask": array}
    mask = unpack(form, shape, arrays)       # checked: the file is not trusted

A tensor is taken as a matrix: its last axis runs along the columns, all others along the rows. Positions come from the
mask, never from nonzero values.
"""
import math

import numpy as np

from minnet.errors import InvalidValue

BITS = 8                    # entries of a mask in a byte
MOST_COLUMNS = 2**16 - 1    # so that a column and the count of a row's live columns fit in 16 bits
ENDINGS = (".mask", ".columns", ".counts")
INDEX_DTYPES = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64}


def form_of(shape, live):
    """Return "dense" where nothing is cut, else the smaller of "columns" and "bits" (bits where both are equal).

    Bits take one per entry; columns 2 bytes for each live entry and 2 for each row.
    """
    size = math.prod(shape)
    if live == size:
        return "dense"
    fits = shape[-1] <= MOST_COLUMNS
    return "columns" if fits and 2 * (live + size // shape[-1]) < -(-size // BITS) else "bits"


def specs(form, shape, live, dtype):
    """Return {ending of the name: (dtype, shape)} of the tensors that hold a parameter in this form."""
    size = math.prod(shape)
    if form == "dense":
        return {"": (dtype, shape)}
    if form == "bits":
        return {"": (dtype, (live,)), ".mask": ("U8", (-(-size // BITS),))}
    return {"": (dtype, (live,)), ".columns": ("U16", (live,)), ".counts": ("U16", (size // shape[-1],))}


def pack(form, mask):
    """Return {ending: array} with the positions of the live entries of `mask` (bool, shaped)."""
    if form == "dense":
        return {}
    if form == "bits":
        return {".mask": np.packbits(mask.reshape(-1))}
    matrix = mask.reshape(-1, mask.shape[-1])
    return {".columns": np.nonzero(matrix)[1].astype(np.uint16),
            ".counts": np.count_nonzero(matrix, axis=1).astype(np.uint16)}


def unpack(form, shape, live, stored):
    """Return the mask, flat (size,) bool, from what `pack` made; `stored` has the dtypes and shapes of `specs`.

    Raises InvalidValue for bits beyond the end, columns out of range or out of order, and for another number of live
    entries than `live`.
    """
    size = math.prod(shape)
    if form == "dense":
        return np.ones(size, bool)
    if form == "bits":
        bits = np.unpackbits(stored[".mask"])
        if bits[size:].any():
            raise InvalidValue(f"has bits set beyond its end, after {size:,} entries")
        mask = bits[:size].view(bool)
    else:
        mask = np.zeros(size, bool)
        mask[_positions(shape, stored[".columns"], stored[".counts"])] = True
    if np.count_nonzero(mask) != live:
        raise InvalidValue(f"has a mask with {np.count_nonzero(mask):,} live entries, but {live:,} values")
    return mask


def _positions(shape, columns, counts):
    """Return flat positions of live entries, from the columns of all rows in turn and the number in each row."""
    if counts.sum(dtype=np.int64) != len(columns):
        raise InvalidValue(f"has rows with {counts.sum(dtype=np.int64):,} live columns, but lists {len(columns):,}")
    if (columns >= shape[-1]).any():
        raise InvalidValue(f"lists column {columns.max()}; it has {shape[-1]}")
    positions = np.repeat(np.arange(len(counts)) * shape[-1], counts) + columns
    if (np.diff(positions) <= 0).any():
        first = columns[np.argmax(np.diff(positions) <= 0) + 1]
        raise InvalidValue(f"lists a row's columns out of order, or one of them twice: the first such is {first}")
    return positions


# --- parameters that are born sparse ---------------------------------------------------------------------------------


def pack_index(index):
    """Return the gaps between sorted positions, the first counted from 0, in the smallest unsigned dtype."""
    gaps = np.diff(index, prepend=0)
    return gaps.astype(INDEX_DTYPES[index_dtype(index)])


def index_dtype(index):
    """Return the dtype of `pack_index`: a key of INDEX_DTYPES."""
    widest = int(np.diff(index, prepend=0).max(initial=0))
    return next(code for code, dtype in INDEX_DTYPES.items() if widest <= np.iinfo(dtype).max)


def unpack_index(gaps, size):
    """Return the positions, int64 and sorted, all below `size`; raise InvalidValue for others."""
    positions = np.cumsum(gaps, dtype=np.int64)
    if len(positions) and (positions[0] < 0 or positions[-1] >= size or (np.diff(positions) <= 0).any()):
        raise InvalidValue(f"has an index that is not sorted, or reaches beyond its {size:,} entries")
    return positions

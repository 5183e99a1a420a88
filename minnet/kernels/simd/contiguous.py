"""A row of a slice, known to compiled code as contiguous.

    first = contiguous(moments[0])

NumPy arrays that are cut from wider ones, such as moments[:, a:b], have contiguous rows, but Numba's types cannot say
so: loops over such a row are not vectorised, and run ten times slower.
"""

from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload

from minnet.errors import InvalidValue

NOT_CONTIGUOUS = "the entries of a row must lie side by side: slice the columns, do not transpose or skip"


def contiguous(row):
    """Return the 1-D array `row` itself, typed as contiguous. Raises InvalidValue if its entries are not adjacent."""
    if row.size > 1 and row.strides[0] != row.itemsize:
        raise InvalidValue(NOT_CONTIGUOUS)
    return row


@overload(contiguous)
def compile_contiguous(row):
    """Return what `contiguous` is in compiled code: the same check, and an array of another type."""

    def compiled(row):
        if row.size > 1 and row.strides[0] != row.itemsize:
            raise InvalidValue(NOT_CONTIGUOUS)
        return retyped(row)

    return compiled


@intrinsic
def retyped(typing, row):
    """Return the type and the code generator of a cast of `row` to a C-contiguous array."""

    def build(context, builder, signature, values):
        # an array is the same record under either type, and the caller keeps its reference
        return impl_ret_borrowed(context, builder, signature.return_type, values[0])

    return row.copy(layout="C")(row), build

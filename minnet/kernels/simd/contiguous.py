"""A row of a slice, known to compiled code as contiguous.

    first = contiguous(moments[0])

NumPy arrays that are cut from wider ones, such as moments[:, a:b], have contiguous rows, but Numba's types cannot say
so: loops over such a row are not vectorised, and run ten times slower.
"""

from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload

from minnet.errors import InvalidValue

SCATTERED = "the entries of a row must lie side by side: slice the columns, do not transpose or skip"


def contiguous(row):
    """The 1-D array `row` itself. Raises InvalidValue if its entries do not lie side by side."""
    if row.size > 1 and row.strides[0] != row.itemsize:
        raise InvalidValue(SCATTERED)
    return row


@overload(contiguous)
def compile_contiguous(row):
    """What `contiguous` is in compiled code: the same, with another type."""

    def compiled(row):
        if row.size > 1 and row.strides[0] != row.itemsize:
            raise InvalidValue(SCATTERED)
        return retyped(row)

    return compiled


@intrinsic
def retyped(typing, row):
    """The same array, typed as C-contiguous; an array is the same record under either type."""

    def build(context, builder, signature, values):
        return impl_ret_borrowed(context, builder, signature.return_type, values[0])

    return row.copy(layout="C")(row), build

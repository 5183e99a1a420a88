"""The C99 functions that an exported model calls, by name; a file contains only those that it calls.

Images are (h, w, c), as everywhere in minnet; rows are (1, 1, c). `x` is read, `y` is written; neither overlaps the
other unless a function says so. A function more is a row in one of the tables gathered here, and in NEEDS where it
calls others.
"""
from minnet.formats.c_parts_images import IMAGES
from minnet.formats.c_parts_int8 import INT8
from minnet.formats.c_parts_int8 import NEEDS as OF_INT8
from minnet.formats.c_parts_linear import LINEAR
from minnet.formats.c_parts_pointwise import POINTWISE
from minnet.formats.c_parts_rows import ROWS

PARTS = ROWS | POINTWISE | LINEAR | IMAGES | INT8
NEEDS: dict[str, tuple[str, ...]] = {**OF_INT8}   # what a function calls itself: these come before it

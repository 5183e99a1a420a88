"""Structures by text: a name, or a name with numbers in it.

    structure_of("filter"), structure_of("2:4"), structure_of("4x1")

A function is taken as it is.
"""
import re
from collections.abc import Callable
from functools import partial

from minnet.errors import check_choice
from minnet.pruning.pieces import Pieces
from minnet.pruning.structures import STRUCTURES, block, n_m

Structure = str | Callable[..., Pieces]  # (model, layers)

N_OF_M = re.compile(r"([0-9]{1,4}):([0-9]{1,4})")
BLOCK = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")


def structure_of(structure: Structure) -> Callable[..., Pieces]:
    """Return the function (model, layers) -> Pieces that `structure` means.

    That is a name in STRUCTURES, "2:4" (keep 2 of each 4), "4x1" (blocks of 4 rows and 1 column), or a function, as it
    is. Raises UnknownName for any other text.
    """
    if isinstance(structure, str):
        group, size = N_OF_M.fullmatch(structure), BLOCK.fullmatch(structure)
        if group:
            return partial(n_m, n=int(group[1]), m=int(group[2]))
        if size:
            return partial(block, r=int(size[1]), c=int(size[2]))
    return check_choice("structure", structure, STRUCTURES)

"""Penalties: what is added to the loss so that weights become small, or exactly 0, while the net is trained.

    train(model, data, penalty=L1(1e-4))
    train(model, data, penalty=[L1({"dense1": 1e-3, "*": 1e-4}), L2(1e-5)])

A penalty is the sum of a smooth part, whose gradient joins that of the loss (`add_gradient`, before the step), and the
rest, which acts after the step as a proximal operator (`prox`):

    prox(w) = argmin over v of |v - w|^2 / 2 + lr * rest(v)

Penalties touch weights only. Their strength is a number, or a dict of layers (names, patterns, kinds) and numbers, of
which the last that matches a layer holds, and no match is 0. The files are in order of difficulty; each ends in a table
PENALTIES (name -> class), and what is in it is found everywhere. Your own derives from `Penalty`. `MaxNorm` is no term
of the loss but a bound, and in no table: `penalty=MaxNorm(3)`.
"""
from collections.abc import Callable
from typing import TYPE_CHECKING

from minnet.pruning.penalties import by_gradient, concave, convex, grouped
from minnet.pruning.penalties.base import Penalty
from minnet.pruning.penalties.constraints import MaxNorm as MaxNorm

FILES = (convex, concave, by_gradient, grouped)
PENALTIES: dict[str, type[Penalty]] = {name: made for file in FILES for name, made in file.PENALTIES.items()}


if TYPE_CHECKING:  # editors and type checkers know each class; at run time __getattr__ finds it
    from minnet.pruning.penalties.by_gradient import GrowingL2 as GrowingL2
    from minnet.pruning.penalties.by_gradient import Hoyer as Hoyer
    from minnet.pruning.penalties.by_gradient import HoyerSquare as HoyerSquare
    from minnet.pruning.penalties.concave import L0 as L0
    from minnet.pruning.penalties.concave import MCP as MCP
    from minnet.pruning.penalties.concave import SCAD as SCAD
    from minnet.pruning.penalties.concave import LHalf as LHalf
    from minnet.pruning.penalties.concave import LogSum as LogSum
    from minnet.pruning.penalties.concave import TransformedL1 as TransformedL1
    from minnet.pruning.penalties.convex import L1 as L1
    from minnet.pruning.penalties.convex import L2 as L2
    from minnet.pruning.penalties.convex import BatchNormL1 as BatchNormL1
    from minnet.pruning.penalties.convex import ElasticNet as ElasticNet
    from minnet.pruning.penalties.grouped import GroupLasso as GroupLasso
    from minnet.pruning.penalties.grouped import SparseGroupLasso as SparseGroupLasso


def __getattr__(name: str) -> Callable[..., Penalty]:
    for made in PENALTIES.values():
        if made.__name__ == name:
            return made
    raise AttributeError(f"minnet has no penalty {name!r}: it has {', '.join(f.__name__ for f in PENALTIES.values())}")


def __dir__() -> list[str]:
    return sorted([*globals(), *(made.__name__ for made in PENALTIES.values())])

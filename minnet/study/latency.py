"""Latency: how long a prediction takes, by the units that each layer has left; measured once, and then a function.

    clock = latency_table(model, data.X_train)                      # some seconds: cut nets, frozen, timed in turns
    prune(model, latency=0.5, clock=clock, structure="channel")     # half the time, by the table
    clock(model.mask), clock.error                                  # seconds; how far it is off where it was measured

A layer takes time for each multiply-add and for each output: seconds = c + sum over layers of a_l multiply-adds + b_l
outputs, no coefficient below 0. They are the least-squares fit to the median times of the net whole, of nets in which
one layer lost a share of its units, and of nets in which all did, each compacted and frozen as it would be used. So the
time by the table falls with every unit, and the same mask has the same time, however noisy the machine's clock is.
"""
from dataclasses import dataclass
from itertools import product

import numpy as np

from minnet.errors import check_count
from minnet.pruning.budgets import Costs
from minnet.pruning.choose import choose
from minnet.pruning.compact import compact
from minnet.pruning.units import unit_pieces
from minnet.runtime.predictor import freeze
from minnet.study.measure import MICRO, median_times, rows_of

SHARES = (0.25, 0.5, 0.75)  # of a layer's units that go
WHOLE = "whole"


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """`table(mask)` is the time in seconds of a call with `batch_size` rows, were the model so masked and compacted.

    `coefficients` (1 + 2 layers,): c, then a of each layer with weights, then b. `measured` and `fitted` are seconds of
    the nets that were timed, the whole one first.
    """

    costs: Costs
    batch_size: int
    coefficients: np.ndarray
    measured: np.ndarray
    fitted: np.ndarray

    def __call__(self, mask):
        """Seconds."""
        return float(work(self.costs, mask) @ self.coefficients)

    @property
    def error(self):
        """The largest difference between fitted and measured, as a share of the whole net's time."""
        return float(np.abs(self.fitted - self.measured).max() / self.measured[0])

    def __str__(self):
        return (f"{len(self.measured)} nets timed, the whole one {self.measured[0] * MICRO:.1f} us for "
                f"{self.batch_size} rows; the table is off by at most {self.error:.1%} of that")


def latency_table(model, X, *, batch_size=1, timer=median_times):
    """The LatencyTable of `model` for calls with `batch_size` of the rows `X` (n, *input_shape).

    `timer` ({name: Predictor}, batches) -> {name: seconds} measures; it takes the nets in turns, since a machine's
    speed drifts. 3 nets a layer with units that may go, and 4 more, are made and frozen. Raises InvalidValue where no
    unit may go.
    """
    check_count("batch_size", batch_size, 1)
    pieces = unit_pieces(model, choose(model), "channel")
    masks = {WHOLE: np.ones(len(model.values), bool)}
    masks |= {(part.name, share): _without(pieces, [part], share) for part, share in product(pieces.parts, SHARES)}
    masks |= {("all", share): _without(pieces, pieces.parts, share) for share in SHARES}
    times = timer({name: freeze(_cut(model, mask), batch_size=batch_size) for name, mask in masks.items()},
                  rows_of(X, batch_size))
    costs = Costs(model)
    measured = np.array([times[name] for name in masks])
    works = np.array([work(costs, mask) for mask in masks.values()])
    coefficients = fit(works, measured)
    return LatencyTable(costs, batch_size, coefficients, measured, works @ coefficients)


def work(costs, mask):
    """(1 + 2 layers,): 1, then for each layer with weights its multiply-adds, then its outputs, of one prediction."""
    live = costs.live(mask)
    layers = [layer for layer in costs.model.layers.values() for p in layer.parameters if p.kind == "weight"]
    windows = [layer.weight.of(live) for layer in layers]
    macs = [layer.positions * np.count_nonzero(window) for layer, window in zip(layers, windows, strict=True)]
    outputs = [layer.positions * np.count_nonzero(window.reshape(-1, window.shape[-1]).any(axis=0))
               for layer, window in zip(layers, windows, strict=True)]
    return np.array([1, *macs, *outputs], np.float64)


def fit(works, seconds):
    """The coefficients, none below 0, with which works @ coefficients is nearest to `seconds` (least squares)."""
    from scipy.optimize import nnls

    scale = np.maximum(works.max(axis=0), 1)
    return nnls(works / scale, seconds / seconds[0])[0] * seconds[0] / scale


def _without(pieces, parts, share):
    """The mask in which each of `parts` lost that share of its units."""
    keep = np.ones(pieces.n, bool)
    for part in parts:
        keep[part.start : part.start + min(round(share * part.size), part.size - part.keeps)] = False
    return pieces.expand(keep)


def _cut(model, mask):
    """A smaller copy of the model without what `mask` cuts; what is masked in the model is in it, as weights of 0."""
    copy = model.clone()
    copy.set_mask(mask)
    return compact(copy)

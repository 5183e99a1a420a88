"""A latency model: the time of a prediction as a function of the mask, fitted to measurements.

    clock = latency_table(model, data.X_train)                      # some seconds: compacted models, timed in turns
    prune(model, latency=0.5, clock=clock, structure="channel")     # half the time, by the model
    clock(model.mask), clock.error                                  # seconds; the largest error at the measurements

The model is linear: seconds = c + sum over layers of (a_l multiply-adds + b_l outputs), no coefficient below 0. It is
the nonnegative least-squares fit to the median times of the whole model, of models in which one layer lost a share of
its units, and of models in which all layers did, each compacted and frozen as it would be used. So the predicted time
falls with every unit removed, and is the same for the same mask, independent of the noise of the clock.
"""
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from minnet.errors import check_count
from minnet.model import Model
from minnet.pruning.choose import choose
from minnet.pruning.compact import compact
from minnet.pruning.costs import Costs
from minnet.pruning.units import unit_pieces
from minnet.runtime.freeze import freeze
from minnet.runtime.predictor import Predictor, StagedPredictor
from minnet.study.measure import MICRO, median_times, rows_of

SHARES = (0.25, 0.5, 0.75)  # of a layer's units that are removed
WHOLE = "whole"


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """A function from a mask to the predicted seconds of a call of the masked and compacted model.

    Parameters
    ----------
    costs : Costs
        Units, multiply-adds and bytes of the model by mask.
    batch_size : int
        Rows of a call.
    coefficients : (1 + 2 layers,) ndarray
        c, then a of each layer with weights, then b.
    measured, fitted : (models,) ndarray
        Measured and predicted seconds of the models that were timed, the whole one first.
    """

    costs: Costs
    batch_size: int
    coefficients: np.ndarray
    measured: np.ndarray
    fitted: np.ndarray

    def __call__(self, mask: np.ndarray) -> float:
        """Return the predicted seconds of a call.

        Parameters
        ----------
        mask : (n,) ndarray of bool
            A mask of the model, True where a value is kept.

        Returns
        -------
        float
            Seconds.
        """
        return float(work(self.costs, mask) @ self.coefficients)

    @property
    def error(self) -> float:
        """Return the largest difference of fitted and measured, as a share of the whole model's time."""
        return float(np.abs(self.fitted - self.measured).max() / self.measured[0])

    def __str__(self) -> str:
        """Describe the measurements and the fit in one line."""
        return (f"{len(self.measured)} models timed, the whole one {self.measured[0] * MICRO:.1f} us for "
                f"{self.batch_size} rows; largest error of the fit {self.error:.1%} of that")


def latency_table(model: Model, X: np.ndarray, *, batch_size: int = 1,
                  timer: Callable[..., dict] = median_times) -> LatencyTable:
    """Fit a linear model of the latency to measurements of compacted models.

    Three models per layer with removable units, and four more, are compacted, frozen and timed; see the module.

    Parameters
    ----------
    model : Model
        The model; it is not changed.
    X : ndarray
        Rows to predict, ``(n, *input_shape)``.
    batch_size : int
        Rows of a call.
    timer : callable
        Function ({name: Predictor}, batches) -> {name: seconds}; the default takes medians, the models in turns,
        since a machine's speed drifts.

    Returns
    -------
    LatencyTable
        Function from a mask to seconds, for ``prune(..., latency=, clock=)``.

    Raises
    ------
    InvalidValue
        If `batch_size` is below 1, or no unit of the model can be removed.
    """
    check_count("batch_size", batch_size, 1)
    pieces = unit_pieces(model, choose(model), "channel")
    masks = {WHOLE: np.ones(len(model.values), bool)}
    masks |= {(group.name, share): _without(pieces, [group], share)
              for group, share in product(pieces.layer_groups, SHARES)}
    masks |= {("all", share): _without(pieces, pieces.layer_groups, share) for share in SHARES}
    bare, batches = model.without_signature(), rows_of(model.inputs(X), batch_size)
    times = timer({name: freeze(_cut(bare, mask), batch_size=batch_size) for name, mask in masks.items()}, batches)
    costs = Costs(model)
    measured = np.array([times[name] for name in masks])
    works = np.array([work(costs, mask) for mask in masks.values()])
    coefficients = fit(works, measured)
    return LatencyTable(costs, batch_size, coefficients, measured, works @ coefficients)


def planned_seconds(model: Model) -> float:
    """Return the seconds of one row by the rates that `freeze` plans with: nothing is timed.

    Layers without a kernel, such as a user's own, count nothing.
    """
    fast = freeze(model)
    stages = fast.stages if isinstance(fast, StagedPredictor) else [fast]
    return sum(stage.cost[1] for stage in stages if isinstance(stage, Predictor))


def work(costs: Costs, mask: np.ndarray) -> np.ndarray:
    """Return (1 + 2 layers,): 1, the multiply-adds of each layer with weights, then its outputs, per sample."""
    live = costs.live(mask)
    layers = [layer for layer in costs.model.layers.values() for p in layer.parameters if p.kind == "weight"]
    windows = [layer.weight.of(live) for layer in layers]
    macs = [layer.positions * np.count_nonzero(window) for layer, window in zip(layers, windows, strict=True)]
    outputs = [layer.positions * np.count_nonzero(window.reshape(-1, window.shape[-1]).any(axis=0))
               for layer, window in zip(layers, windows, strict=True)]
    return np.array([1, *macs, *outputs], np.float64)


def fit(works: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return the nonnegative coefficients that minimise ||works @ coefficients - seconds||."""
    from scipy.optimize import nnls

    scale = np.maximum(works.max(axis=0), 1)
    return nnls(works / scale, seconds / seconds[0])[0] * seconds[0] / scale


def _without(pieces, layer_groups, share):
    """Return the mask without `share` of the units of each of `layer_groups`."""
    keep = np.ones(pieces.n, bool)
    for group in layer_groups:
        keep[group.start : group.start + min(round(share * group.size), group.size - group.keeps)] = False
    return pieces.expand(keep)


def _cut(model, mask):
    """Return a compacted copy of the model under `mask`; weights masked in the model are in it as zeros."""
    copy = model.clone()
    copy.set_mask(mask)
    return compact(copy)

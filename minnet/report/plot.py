"""`mn.plot`: a picture by one call. Each function takes `ax=` and returns a Display, whose attributes are the numbers.

    mn.plot.masks(model).figure_.savefig("masks.png")      # what each unit of the first layer still sees
    mn.plot.history(record, ax=ax)

A net is a Model, a fitted PrunedClassifier or PrunedRegressor, or a Pipeline that ends in one. Nothing is shown or
saved, and pyplot is not imported; Matplotlib is the extra "report".
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minnet.engine.activations import Activation
from minnet.engine.layer import Layer
from minnet.errors import InvalidValue, check_count, check_kind
from minnet.model import Model
from minnet.pruning.activation_cache import ActivationCache
from minnet.pruning.parse import Structure
from minnet.pruning.result import Record
from minnet.report.displays import (
    DISPLAYS,
    SPARSITIES,
    Display,
    PruningCurveDisplay,
    SensitivityDisplay,
    by_unit,
    net_and_rows,
    weight_of,
)
from minnet.report.pictures import AgreementDisplay, BarsDisplay, HistoryDisplay, Tiles
from minnet.study.agreement import Agreement
from minnet.typing import ArrayLike, Seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 40         # tiles of masks
MOST_FLIPS = 24
__all__ = ["DISPLAYS", "PLOTS"]  # DISPLAYS are the classes of displays.py by name


def masks(net: object, *, layer: str | None = None, most: int = MOST, ax: Axes | None = None) -> Tiles:
    """Show what each unit of a layer still sees: its live weights as an image, red below 0 and blue above.

    Of a convolution a tile is a kernel, summed over its input channels; of a dense layer on images it has their height
    and width, summed over channels; other rows are laid out in a rectangle. Masked weights are left grey.

    Parameters
    ----------
    net : estimator or Model
        Where the layer is.
    layer : str, optional
        Its name. Default: the first layer with weights.
    most : int
        How many units at most, the first ones.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    Tiles
        The display; `tiles` (units, height, width) has NaN where every weight is masked.

    Raises
    ------
    UnknownName
        There is no such layer with weights.
    MissingExtra
        Matplotlib is not installed.
    """
    check_count("most", most, 1)
    model, _ = net_and_rows(net, None)
    p = weight_of(model, layer)
    values, mask = by_unit(p)
    images = np.where(mask, values.astype(float), np.nan).T[:most].reshape(-1, *tile_shape(model, p.layer, p.shape))
    tiles = np.where(np.isnan(images).all(axis=-1), np.nan, np.nansum(images, axis=-1))
    kept = mask.sum(axis=0)[:most]
    shown = f", the first {most} of {mask.shape[1]} units" if mask.shape[1] > most else ""
    return Tiles(tiles, [f"{i}: {k}" for i, k in enumerate(kept)],
                 f"{p.layer}: unit and its live weights{shown}").plot(ax=ax)


def tile_shape(model: Model, name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (height, width, channels) in which to show the inputs of a unit."""
    inputs = int(np.prod(shape[:-1]))
    if len(shape) == 4:
        return shape[0], shape[1], shape[2]
    first = model.weight_parameters[0].layer == name
    if first and len(model.input_shape) == 3 and int(np.prod(model.input_shape)) == inputs:
        height, width, channels = model.input_shape
        return height, width, channels
    height = max(n for n in range(1, int(np.sqrt(inputs)) + 1) if inputs % n == 0)
    return height, inputs // height, 1


def dead_units(net: object, X: ArrayLike, *, ax: Axes | None = None) -> BarsDisplay:
    """Count the units of each layer of activations that are never above 0 on the rows: these tell nothing apart.

    A unit of images is dead where all its pixels are, on all rows.

    Parameters
    ----------
    net : estimator or Model
        The net.
    X : array_like
        Rows, as `predict` takes them.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    BarsDisplay
        The display; `parts` are the dead units of each layer, `wholes` all of them.

    Raises
    ------
    InvalidValue
        The net has no activations.
    MissingExtra
        Matplotlib is not installed.
    """
    model, X = net_and_rows(net, X)
    rows = model.inputs(X)
    fires: dict[Layer, np.ndarray] = {}
    for start in range(0, len(rows), model.rows_at_once()):
        cache = ActivationCache(model, rows[start : start + model.rows_at_once()], model.values)
        for layer, y in cache.outputs.items():
            if isinstance(layer, Activation):
                above = (y > 0).reshape(-1, y.shape[-1]).any(axis=0)
                fires[layer] = fires.get(layer, False) | above
    if not fires:
        raise InvalidValue(f"{model!r} has no layer of activations, and so no unit that could be dead")
    dead = [int(np.count_nonzero(~found)) for found in fires.values()]
    return BarsDisplay([str(layer.name) for layer in fires], dead, [len(found) for found in fires.values()],
                       part="never above 0", whole="all", unit="units").plot(ax=ax)


def curve(net: object, X: ArrayLike, y: ArrayLike, *, sparsities: Sequence[float] = SPARSITIES,
          criterion: str | Callable = "magnitude", structure: Structure = "weight", score: str | None = None,
          rng: Seed = None, ax: Axes | None = None) -> PruningCurveDisplay:
    """Show a score over the sparsity, of copies that are not trained again.

    Parameters
    ----------
    net, X, y, sparsities, criterion, structure, score, rng, ax
        As in `PruningCurveDisplay.from_estimator`.

    Returns
    -------
    PruningCurveDisplay
        The display.
    """
    return PruningCurveDisplay.from_estimator(net, X, y, sparsities=sparsities, criterion=criterion,
                                              structure=structure, score=score, rng=rng, ax=ax)


def sensitivity(net: object, X: ArrayLike, y: ArrayLike, *, sparsities: Sequence[float] = SPARSITIES,
                criterion: str | Callable = "magnitude", structure: Structure = "weight", score: str | None = None,
                rng: Seed = None, ax: Axes | None = None) -> SensitivityDisplay:
    """Show a score over the sparsity of each layer alone.

    Parameters
    ----------
    net, X, y, sparsities, criterion, structure, score, rng, ax
        As in `SensitivityDisplay.from_estimator`.

    Returns
    -------
    SensitivityDisplay
        The display.
    """
    return SensitivityDisplay.from_estimator(net, X, y, sparsities=sparsities, criterion=criterion,
                                             structure=structure, score=score, rng=rng, ax=ax)


def layers(net: object, *, ax: Axes | None = None) -> BarsDisplay:
    """Show how many weights of each layer are live, of how many, on a logarithmic axis.

    Parameters
    ----------
    net : estimator or Model
        The net.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    BarsDisplay
        The display; `parts` are the live weights of each layer, `wholes` all of them.

    Raises
    ------
    MissingExtra
        Matplotlib is not installed.
    """
    rows = net_and_rows(net, None)[0].summary().rows
    return BarsDisplay([row.name for row in rows], [row.remaining for row in rows], [row.weights for row in rows],
                       part="live", whole="all", unit="weights", log=True).plot(ax=ax)


def flips(before: object, after: object, X: ArrayLike, y: ArrayLike | None = None, *, most: int = MOST_FLIPS,
          ax: Axes | None = None) -> Tiles:
    """Show the images whose predicted class changed, with both classes, and the label where it is given.

    Parameters
    ----------
    before, after : estimator or Model
        Two nets for the same images, such as the dense and the pruned one.
    X : array_like
        Images, as both take them.
    y : array_like, optional
        Their labels.
    most : int
        How many images at most, the first ones.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    Tiles
        The display; `rows` are the numbers of all images whose prediction changed.

    Raises
    ------
    InvalidValue
        The nets take no images.
    MissingExtra
        Matplotlib is not installed.
    """
    check_count("most", most, 1)
    (one, rows), (other, _) = net_and_rows(before, X), net_and_rows(after, X)
    shape = one.input_shape
    if len(shape) != 3 or other.input_shape != shape:
        raise InvalidValue(f"flips shows images (height, width, channels) that both nets take; these take {shape} and "
                           f"{other.input_shape}")
    first, second = one.predict(rows), other.predict(rows)
    found = np.flatnonzero(first != second)
    tiles = np.asarray(rows, float).reshape(-1, *shape)[found[:most]].mean(axis=-1)
    said = "" if y is None else " (label)"
    names = [f"{first[i]}→{second[i]}" + ("" if y is None else f" ({np.asarray(y)[i]})") for i in found[:most]]
    display = Tiles(tiles, names, f"{len(found)} of {len(first)} predictions changed: before→after{said}", signed=False)
    display.rows = found
    return display.plot(ax=ax)


def history(record: Record, *, layer: str | None = None, ax: Axes | None = None) -> HistoryDisplay:
    """Show in which round each weight of a layer was removed.

    Parameters
    ----------
    record : Record
        What `prune(model, ..., record=record)` filled, by itself or in a recipe.
    layer : str, optional
        Name of the layer. Default: the first layer with weights.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    HistoryDisplay
        The display; `rounds` (inputs, units) is -1 where a weight is live after the last round.

    Raises
    ------
    InvalidValue
        The record is empty, or its layer is born sparse.
    UnknownName
        There is no such layer with weights.
    MissingExtra
        Matplotlib is not installed.
    """
    check_kind("history", record, Record)
    if not record:
        raise InvalidValue("this record is empty: prune(model, ..., record=record) adds to it")
    model = record[0].plan.model
    p = weight_of(model, layer)
    if p.index is not None:
        raise InvalidValue(f"{p.layer} is born sparse: its weights have no fixed places to show the rounds of")
    rounds = np.where(p.of(record[0].plan.before), -1, 0)
    for number, result in enumerate(record, 1):
        rounds[p.of(result.plan.before) & ~p.of(result.plan.mask)] = number
    rounds[p.of(record[-1].plan.mask)] = -1
    return HistoryDisplay(rounds.reshape(-1, p.shape[-1]), p.layer, len(record)).plot(ax=ax)


def agreement(found: Agreement, *, ax: Axes | None = None) -> AgreementDisplay:
    """Show the overlap of criteria with the oracle over the sparsity, chance dashed.

    Parameters
    ----------
    found : Agreement
        What `compare_criteria` returns.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    AgreementDisplay
        The display.

    Raises
    ------
    MissingExtra
        Matplotlib is not installed.
    """
    return AgreementDisplay(check_kind("agreement", found, Agreement)).plot(ax=ax)


PLOTS: dict[str, Callable[..., Display]] = {
    f.__name__: f for f in (masks, dead_units, curve, sensitivity, layers, flips, history, agreement)}

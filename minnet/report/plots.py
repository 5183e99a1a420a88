"""Plots of studies by Matplotlib (the extra "report"). Each function returns the axes that it draws in.

    plot_sensitivity(sensitivity(model, data)).figure.savefig("sensitivity.png")
    plot_agreement(compare_criteria(model, data), ax=ax)

Nothing is shown or saved, and pyplot is not imported.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnet.errors import import_optional, unknown
from minnet.report.curves import AXES, curves_of
from minnet.study.agreement import Agreement
from minnet.study.comparison import Sweep
from minnet.study.sensitivity import Sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXTRA = "report"


def plot_sensitivity(result: Sensitivity, score: str | None = None, ax: Axes | None = None) -> Axes:
    """Plot a score over the sparsity of each layer alone, one line per layer, and dashed that of the whole model.

    Parameters
    ----------
    result : Sensitivity
        What `sensitivity` returns.
    score : str, optional
        Name of the score. Default: the first.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    UnknownName
        If the result has no such score.
    MissingExtra
        If Matplotlib is not installed.
    """
    score = result.scores[0] if score is None else score
    if score not in result.scores:
        raise unknown("score", score, result.scores)
    ax = axes_of(ax)
    for name in result.layers:
        ax.plot(result.sparsities, result.at(layer=name, score=score), marker="o", label=name)
    ax.axhline(result.base[result.scores.index(score)], linestyle="--", color="grey", label="unpruned")
    return _named(ax, "sparsity of the layer", score.replace("_", " "))


def plot_agreement(agreement: Agreement, ax: Axes | None = None) -> Axes:
    """Plot the overlap of each criterion with the oracle over the sparsity, and dashed that of random removal.

    Parameters
    ----------
    agreement : Agreement
        What `compare_criteria` returns.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    MissingExtra
        If Matplotlib is not installed.
    """
    ax = axes_of(ax)
    for row in agreement.scores:
        if not row.reason:
            ax.plot(agreement.sparsities, row.overlap, marker="o", label=row.criterion)
    ax.plot((0, 1), (0, 1), linestyle="--", color="grey", label="chance")
    return _named(ax, "sparsity", "overlap with the oracle")


def plot_sweep(result: Sweep, x: str = "removed", ax: Axes | None = None) -> Axes:
    """Plot the test score of a sweep: the mean over seeds, each seed as a thin line, a band of one standard deviation.

    Parameters
    ----------
    result : Sweep
        What `sweep` returns.
    x : {"removed", "kept_weights", "macs"}
        What the score is plotted over: the share removed, the weights kept or the multiply-adds.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in. Default: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    UnknownName
        If there is no such axis.
    MissingExtra
        If Matplotlib is not installed.
    """
    curves, ax = curves_of(result.record(), x), axes_of(ax)
    for i, curve in enumerate(curves):
        colour = f"C{i}"
        for line in curve.seeds:
            ax.plot(*zip(*line, strict=True), color=colour, linewidth=0.5, alpha=0.6)
        at, mean, spread = (np.array(column) for column in zip(*curve.means, strict=True))
        ax.fill_between(at, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
        ax.plot(at, mean, marker="o", color=colour, label=curve.name)
    if x != "removed":
        ax.set_xscale("log")
    return _named(ax, AXES[x], result.score.replace("_", " "))


def axes_of(ax: Axes | None) -> Axes:
    """Return `ax`, or the axes of a new figure outside pyplot's state."""
    if ax is not None:
        return ax
    return import_optional("matplotlib.figure", EXTRA, "a plot").Figure(layout="constrained").subplots()


def _named(ax, x, y):
    ax.set(xlabel=x, ylabel=y)
    ax.legend()
    return ax

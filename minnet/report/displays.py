"""Displays by scikit-learn's convention: one method computes, `plot` draws, again if need be, in the caller's axes.

    display = PruningCurveDisplay.from_estimator(estimator, X, y)
    display.plot(ax=ax)                       # display.ax_, display.figure_; the numbers are its attributes
    display.figure_.savefig("curve.png")

An estimator is a fitted PrunedClassifier or PrunedRegressor, a Pipeline that ends in one, or a Model. Nothing is shown
or saved, and pyplot is not imported.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from minnet.engine.metrics import evaluate
from minnet.engine.vector import Parameter
from minnet.errors import InvalidType, InvalidValue, check_count, check_fraction, quoted, unknown
from minnet.model import Model
from minnet.pruning.parse import Structure
from minnet.pruning.prune import prune
from minnet.report.plots import axes_of, plot_sensitivity
from minnet.study.sensitivity import Sensitivity, sensitivity
from minnet.typing import ArrayLike, Seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
MASKED = "0.8"  # the grey of masked weights
MOST_PAIRS = 10


class Display:
    """What all displays have: `ax_` and `figure_` after `plot`."""

    ax_: Axes
    figure_: Figure

    def _drawn(self, ax):
        self.ax_, self.figure_ = ax, ax.figure
        return self


class PruningCurveDisplay(Display):
    """A score over the sparsity.

    Parameters
    ----------
    sparsities : (n,) array_like
        The sparsities, the fraction removed.
    scores : (n,) array_like
        The score at each of them.
    score_name : str
        Name of the score.
    errors : (n,) array_like, optional
        Standard deviation of each score.
    """

    def __init__(self, sparsities: ArrayLike, scores: ArrayLike, score_name: str = "accuracy",
                 errors: ArrayLike | None = None) -> None:
        self.sparsities, self.scores = np.asarray(sparsities, float), np.asarray(scores, float)
        self.score_name = score_name
        self.errors = None if errors is None else np.asarray(errors, float)

    @classmethod
    def from_estimator(cls, estimator: object, X: ArrayLike, y: ArrayLike, *,
                       sparsities: Sequence[float] = SPARSITIES, criterion: str | Callable = "magnitude",
                       structure: Structure = "weight", score: str | None = None, rng: Seed = None,
                       ax: Axes | None = None) -> Self:
        """Prune copies of a net to each sparsity, without training them again, and plot their scores.

        Parameters
        ----------
        estimator : estimator or Model
            What is pruned; it is not changed.
        X, y : array_like
            Rows and labels that are scored; criteria that need data take them too.
        sparsities : sequence of float
            The sparsities. Those below that of the net are left out, and its own comes first.
        criterion, structure
            As in `prune`.
        score : str, optional
            A score that `evaluate` gives. Default: accuracy, for numbers r2.
        rng : int or numpy.random.Generator, optional
            Seed of criteria that draw.
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.

        Returns
        -------
        PruningCurveDisplay
            The display.

        Raises
        ------
        UnknownName
            There is no such score.
        MissingExtra
            Matplotlib is not installed.
        """
        net, X = net_and_rows(estimator, X)
        found = [(net.sparsity, *_score(net, X, y, score))]
        for sparsity in sorted({check_fraction("sparsities", s) for s in sparsities}):
            if sparsity > net.sparsity:
                copy = net.clone()
                prune(copy, sparsity, criterion=criterion, structure=structure, data=(X, y), rng=rng)
                found.append((sparsity, *_score(copy, X, y, score)))
        at, names, scores = zip(*found, strict=True)
        return cls(at, scores, names[0]).plot(ax=ax)

    @classmethod
    def from_search(cls, search: object, *, ax: Axes | None = None) -> Self:
        """Plot the mean validation scores of a fitted GridSearchCV or its like over the parameter `sparsity`.

        Where other parameters were searched too, each sparsity has its best one.

        Parameters
        ----------
        search : fitted search
            Its `cv_results_` has a parameter `sparsity`, or one that ends in `__sparsity`.
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.

        Returns
        -------
        PruningCurveDisplay
            The display, with the standard deviation over folds as `errors`.

        Raises
        ------
        InvalidValue
            The search has no such parameter.
        MissingExtra
            Matplotlib is not installed.
        """
        results = getattr(search, "cv_results_", {})
        names = [name for name in results if name == "param_sparsity" or name.endswith("__sparsity")]
        if len(names) != 1:
            raise InvalidValue(f"search={quoted(repr(search))}: wanted a fitted search over the parameter sparsity")
        best = {}
        for row in zip(results[names[0]], results["mean_test_score"], results["std_test_score"], strict=True):
            if row[0] not in best or row[1] > best[row[0]][1]:
                best[row[0]] = row
        at, scores, errors = zip(*sorted(best.values()), strict=True)
        return cls(at, scores, "validation score", errors).plot(ax=ax)

    def plot(self, ax: Axes | None = None, *, line_kw: dict | None = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.
        line_kw : dict, optional
            Keywords of `Axes.errorbar`.

        Returns
        -------
        PruningCurveDisplay
            The display itself.
        """
        ax = axes_of(ax)
        ax.errorbar(self.sparsities, self.scores, self.errors, **{"marker": "o", **(line_kw or {})})
        ax.set(xlabel="sparsity", ylabel=self.score_name.replace("_", " "))
        return self._drawn(ax)


class SensitivityDisplay(Display):
    """A score over the sparsity of each layer alone.

    Parameters
    ----------
    result : Sensitivity
        What `minnet.sensitivity` returns.
    score : str, optional
        Name of the score. Default: the first.
    """

    def __init__(self, result: Sensitivity, score: str | None = None) -> None:
        self.result, self.score = result, score

    @classmethod
    def from_estimator(cls, estimator: object, X: ArrayLike, y: ArrayLike, *,
                       sparsities: Sequence[float] = SPARSITIES, criterion: str | Callable = "magnitude",
                       structure: Structure = "weight", score: str | None = None, rng: Seed = None,
                       ax: Axes | None = None) -> Self:
        """Measure and plot what pruning each layer alone costs.

        Parameters
        ----------
        estimator : estimator or Model
            What is pruned; it is not changed.
        X, y : array_like
            Rows and labels that are scored.
        sparsities, criterion, structure, rng
            As in `sensitivity`.
        score : str, optional
            Name of the score. Default: the first.
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.

        Returns
        -------
        SensitivityDisplay
            The display.

        Raises
        ------
        UnknownName
            There is no such score.
        MissingExtra
            Matplotlib is not installed.
        """
        net, X = net_and_rows(estimator, X)
        found = sensitivity(net, (X, y), sparsities=sparsities, criterion=criterion, structure=structure, rng=rng)
        return cls(found, score).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a line for each layer, and dashed the score of the net as it is.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.

        Returns
        -------
        SensitivityDisplay
            The display itself.
        """
        return self._drawn(plot_sensitivity(self.result, self.score, ax))


class MaskDisplay(Display):
    """The weights of a layer, one row a unit and one column an input; masked ones are grey.

    Parameters
    ----------
    weights : (inputs, units) array_like
        The weights; of a convolution the inputs are the entries of a kernel, (height, width, channel) flattened.
    mask : (inputs, units) array_like of bool
        True where a weight is kept.
    name : str
        Name of the layer.
    """

    def __init__(self, weights: ArrayLike, mask: ArrayLike, name: str = "") -> None:
        self.weights, self.mask, self.name = np.asarray(weights), np.asarray(mask, bool), name

    @classmethod
    def from_estimator(cls, estimator: object, *, layer: str | None = None, ax: Axes | None = None) -> Self:
        """Plot the weights and the mask of a layer.

        Parameters
        ----------
        estimator : estimator or Model
            Where the layer is.
        layer : str, optional
            Its name. Default: the first layer with weights.
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.

        Returns
        -------
        MaskDisplay
            The display.

        Raises
        ------
        UnknownName
            There is no such layer with weights.
        MissingExtra
            Matplotlib is not installed.
        """
        net, _ = net_and_rows(estimator, None)
        p = weight_of(net, layer)
        return cls(*by_unit(p), p.layer).plot(ax=ax)

    def plot(self, ax: Axes | None = None, *, cmap: str = "RdBu") -> Self:
        """Draw the weights in colours that are white at 0.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.
        cmap : str
            Name of a diverging colour map.

        Returns
        -------
        MaskDisplay
            The display itself.
        """
        ax = axes_of(ax)
        largest = float(np.abs(self.weights[self.mask]).max(initial=0)) or 1.0
        self.image_ = ax.imshow(np.ma.masked_array(self.weights, ~self.mask).T, cmap=cmap, vmin=-largest, vmax=largest,
                                aspect="auto", interpolation="nearest")
        ax.set_facecolor(MASKED)
        kept = f"{np.count_nonzero(self.mask):,} of {self.mask.size:,} weights kept"
        ax.set(xlabel="input", ylabel="unit", title=f"{self.name}: {kept}" if self.name else kept)
        ax.figure.colorbar(self.image_, ax=ax, label="weight")
        return self._drawn(ax)


class ConfusionPairsDisplay(Display):
    """The pairs of classes that are confused most often, one bar a pair, the largest on top.

    Parameters
    ----------
    pairs : list of (object, object, float)
        (true label, predicted label, rows), the most frequent first.
    """

    def __init__(self, pairs: Sequence[tuple[object, object, float]]) -> None:
        self.pairs = list(pairs)

    @classmethod
    def from_estimator(cls, estimator: object, X: ArrayLike, y: ArrayLike, *, top: int = MOST_PAIRS,
                       ax: Axes | None = None) -> Self:
        """Count and plot which classes are taken for which.

        Parameters
        ----------
        estimator : estimator or Model
            A net for classes.
        X, y : array_like
            Rows and labels.
        top : int
            How many pairs at most.
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.

        Returns
        -------
        ConfusionPairsDisplay
            The display.

        Raises
        ------
        InvalidType
            The net gives numbers, or several labels a row.
        MissingExtra
            Matplotlib is not installed.
        """
        check_count("top", top, 1)
        net, X = net_and_rows(estimator, X)
        found = evaluate(net, X, y, intervals=False)
        if "confusion" not in found:
            given = "several labels a row" if "hamming_loss" in found else "numbers"
            raise InvalidType(f"{net!r} gives {given}, which have no classes to confuse")
        counts = np.array(found["confusion"], float)
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")[:top]
        labels = range(len(counts)) if net.signature is None else net.signature.labels(np.arange(len(counts))).tolist()
        places = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, counts.shape), strict=True)]
        return cls([(labels[i], labels[j], counts[i, j]) for i, j in places if counts[i, j]]).plot(ax=ax)

    def plot(self, ax: Axes | None = None, *, bar_kw: dict | None = None) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in. Default: those of a new figure.
        bar_kw : dict, optional
            Keywords of `Axes.barh`.

        Returns
        -------
        ConfusionPairsDisplay
            The display itself.
        """
        ax = axes_of(ax)
        names = [f"{true} as {guess}" for true, guess, _ in self.pairs]
        ax.barh(range(len(names)), [rows for *_, rows in self.pairs], **(bar_kw or {}))
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.set(xlabel="rows", ylabel="class, and as what it was predicted")
        return self._drawn(ax)


def weight_of(model: Model, layer: str | None) -> Parameter:
    """Return the weight of a layer, by default of the first one that has weights."""
    weights = {p.layer: p for p in model.weight_parameters}
    name = next(iter(weights)) if layer is None else layer
    if name not in weights:
        raise unknown("layer", name, weights)
    return weights[name]


def by_unit(p: Parameter) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and the mask of a weight, both (inputs, units); where it was born without weights it is 0."""
    values, mask = np.zeros(p.size, p.value.dtype), np.zeros(p.size, bool)
    places = slice(None) if p.index is None else p.index
    values[places], mask[places] = p.value.reshape(-1), p.mask.reshape(-1)
    return values.reshape(-1, p.shape[-1]), mask.reshape(-1, p.shape[-1])


def net_and_rows(estimator, X):
    """Return the Model of an estimator, and rows as it takes them."""
    if hasattr(estimator, "steps"):
        X = X if X is None or len(estimator.steps) == 1 else estimator[:-1].transform(X)
        estimator = estimator.steps[-1][1]
    net = getattr(estimator, "model_", estimator)
    if not isinstance(net, Model):
        raise InvalidType(f"estimator={quoted(repr(estimator))}; wanted a fitted PrunedClassifier or PrunedRegressor, "
                          "a Pipeline that ends in one, or a Model")
    flat = net is not estimator and len(net.input_shape) > 1  # estimators take images as flat rows
    return net, np.asarray(X).reshape(-1, *net.input_shape) if flat and X is not None else X


def _score(net, X, y, score):
    """Return the name of the score and its value."""
    found = evaluate(net, X, y, intervals=False)
    name = ("accuracy" if "accuracy" in found else "r2") if score is None else score
    if not isinstance(found.get(name), float):
        raise unknown("score", name, [key for key, value in found.items() if isinstance(value, float)])
    return name, found[name]


DISPLAYS = {
    "pruning_curve": PruningCurveDisplay,
    "sensitivity": SensitivityDisplay,
    "mask": MaskDisplay,
    "confusion_pairs": ConfusionPairsDisplay,
}

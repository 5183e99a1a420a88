"""Sensitivity: the scores of a model when each layer alone is pruned, at each sparsity.

As Han et al. (2015, section 3.1) and Li et al. (2017, section 3.2). The model is not changed.

    found = sensitivity(model, data, sparsities=[0.5, 0.9])
    print(found)                                                # accuracy by layer and sparsity
    found.at(layer="dense1", score="loss")                      # (sparsities,) an array
    prune(model, 0.9, layers=found.least(2))                    # as layers="insensitive:2" with data=data
    prune(model, 0.9, distribution=found.distribution)          # more from less sensitive layers
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minnet.data import Dataset
from minnet.engine.sample import SAMPLES
from minnet.errors import InvalidValue, check_count, check_fraction, unknown
from minnet.model import Model
from minnet.pruning.choose import choose
from minnet.pruning.one_layer import SPARSITIES, candidates_of, mean_rise, measure, most_first, valid_part
from minnet.pruning.scores import Ranking
from minnet.text import aligned
from minnet.typing import Arrays, Seed

HALVINGS = 60  # bisection steps of the rise of the loss: to the precision of a float64


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """The scores of a model with each layer alone pruned to each sparsity.

    Parameters
    ----------
    layers : tuple of str
        Names of the layers; layers whose units are coupled are one, as "conv1+conv3".
    sparsities : tuple of float
        The sparsities.
    scores : tuple of str
        Names of the scores: "accuracy", "recall_macro", "f1_macro" and "loss", or "r2", "mae", "rmse" and "loss".
    values : (layers, sparsities, scores) ndarray
        The scores of the pruned models.
    base : (scores,) ndarray
        The scores of the model as it is.
    """

    layers: tuple[str, ...]
    sparsities: tuple[float, ...]
    scores: tuple[str, ...]
    values: np.ndarray
    base: np.ndarray

    @property
    def axes(self) -> dict[str, tuple]:
        """Return {name of an axis of `values`: its labels}, in order."""
        return {"layer": self.layers, "sparsity": self.sparsities, "score": self.scores}

    def at(self, *, layer: str | None = None, sparsity: float | None = None, score: str | None = None) -> np.ndarray:
        """Index `values` by labels.

        Parameters
        ----------
        layer, sparsity, score : str, float, str, optional
            A label of the axis; None keeps the axis.

        Returns
        -------
        ndarray
            `values` without the axes that are given.

        Raises
        ------
        UnknownName
            If an axis has no such label.
        """
        places = []
        for (axis, labels), wanted in zip(self.axes.items(), (layer, sparsity, score), strict=True):
            if wanted is not None and wanted not in labels:
                raise unknown(axis, wanted, labels)
            places.append(slice(None) if wanted is None else labels.index(wanted))
        return self.values[tuple(places)]

    @property
    def rises(self) -> np.ndarray:
        """Return (layers,) the rise of the loss, averaged over the sparsities."""
        return mean_rise(self.base, self.values, self.scores)

    def most(self, number: int) -> list[str]:
        """Return the names of the most sensitive layers, the most sensitive first.

        Parameters
        ----------
        number : int
            Number of layers.

        Returns
        -------
        list of str
            Names.
        """
        return most_first(self.layers, self.rises)[: check_count("number", number, 1)]

    def least(self, number: int) -> list[str]:
        """Return the names of the least sensitive layers, the least sensitive first.

        Parameters
        ----------
        number : int
            Number of layers.

        Returns
        -------
        list of str
            Names.
        """
        return most_first(self.layers, self.rises)[::-1][: check_count("number", number, 1)]

    def distribution(self, candidates, k):
        """Divide k removals among the layers so that each layer alone raises the loss by the same amount.

        The rise is interpolated linearly between the measured sparsities and made monotonic. If the largest measured
        sparsities give fewer than k, all layers are raised in proportion towards sparsity 1.

        Parameters
        ----------
        candidates : Candidates
            The layers and their sizes.
        k : int
            Number of removals.

        Returns
        -------
        tuple
            Groups and shares, as `prune` expects of a distribution.

        Raises
        ------
        InvalidValue
            If a layer was not measured.
        """
        curves = [self._curve(group.layers) for group in candidates.layer_groups]
        highest = max(curve[-1] for curve in curves)
        steps = (0.0, *self.sparsities)

        def lost(rise):
            return candidates.sizes * [_reach(curve, steps, rise) for curve in curves]

        low, high = lost(0.0), lost(highest)
        if k <= low.sum():
            low, high = np.zeros(len(curves)), low
        elif k > high.sum():
            low, high = high, candidates.sizes.astype(float)
        else:
            low, high = _around(lost, k, highest)
        gap = high.sum() - low.sum()
        return candidates.layers, low + (high - low) * ((k - low.sum()) / gap if gap else 0.0)

    def _curve(self, layers):
        """Return (1 + sparsities,) the rise of the loss, made monotonic; the largest of those of `layers`."""
        rows = [i for i, name in enumerate(self.layers) if set(name.split("+")) & set(layers)]
        if not rows:
            raise InvalidValue(f"{', '.join(layers)} was not measured, only {', '.join(self.layers)}: measure it, or "
                               "exclude it from layers=")
        rise = (self.at(score="loss")[rows] - self.base[self.scores.index("loss")]).max(axis=0)
        return np.maximum.accumulate(np.concatenate([[0.0], rise]))

    def record(self) -> dict[str, object]:
        """Return the sensitivity as JSON types.

        Returns
        -------
        dict of str to object
            The axes, `values`, `base` and `rises`.
        """
        return {**{axis: list(labels) for axis, labels in self.axes.items()}, "values": self.values.tolist(),
                "base": self.base.tolist(), "rises": self.rises.tolist()}

    def __str__(self) -> str:
        """Return a table of the first score by layer and sparsity."""
        score = self.scores[0]
        form = "{:.1%}".format if score == "accuracy" else "{:.4f}".format
        head = [score, *[f"{sparsity:.4g}" for sparsity in self.sparsities], "rise of loss"]
        lines = [head, *[[name, *map(form, row), f"{rise:.4f}"]
                         for name, row, rise in zip(self.layers, self.at(score=score), self.rises, strict=True)]]
        return "\n".join([*aligned(lines), f"unpruned: {form(self.base[0])}"])


def sensitivity(model: Model, data: Dataset | Arrays, *, sparsities: Sequence[float] = SPARSITIES,
                criterion: str | Callable = "magnitude", structure: str | Callable = "weight",
                layers: str | Sequence[str] | None = None, protect: str | Sequence[str] | None = None,
                samples: int | None = SAMPLES, reduction: str | Callable | None = None,
                rng: Seed = None) -> Sensitivity:
    """Measure the scores of a model with each layer alone pruned to each sparsity, on the validation part.

    Of a Dataset without validation rows the training part is measured; the test part is not read. At sparsity s,
    round(s n) of the n weights or units of the layer are masked, those with the lowest scores; a layer of units keeps
    one. The criterion scores the model once, on the training part. The scores are accuracy, macro recall, macro F1 and
    loss, or for regression r2, MAE, RMSE and loss. The cost is one pass over the rows for each layer and sparsity,
    which run in parallel threads.

    Parameters
    ----------
    model : Model
        The model; it is not changed.
    data : Dataset or (X, y)
        A pair serves both as training and as validation part.
    sparsities : sequence of float
        The sparsities.
    criterion, structure, layers, protect, samples, reduction, rng
        As in `prune`.

    Returns
    -------
    Sensitivity
        Scores by layer and sparsity.

    Raises
    ------
    InvalidValue
        If `sparsities` is empty or has a number outside [0, 1], and what `prune` raises.

    References
    ----------
    Han et al. (2015), Learning both weights and connections for efficient neural networks, section 3.1.

    Li et al. (2017), Pruning filters for efficient ConvNets, section 3.2.
    """
    steps = tuple(sorted({check_fraction("sparsities", sparsity) for sparsity in sparsities}))
    if not steps:
        raise InvalidValue("sparsities is empty; give at least one number in [0, 1]")
    ranking = Ranking(criterion, structure, data, samples, reduction, rng=rng)
    candidates = candidates_of(model, choose(model, layers, protect), ranking)
    kinds, base, values = measure(candidates, valid_part(model, data), steps)
    return Sensitivity(tuple(group.name for group in candidates.layer_groups), steps, kinds, values, base)


def _reach(curve, steps, rise):
    """Return the largest sparsity at which `curve`, linear between `steps`, is at most `rise`."""
    last = int(np.searchsorted(curve, rise, side="right")) - 1
    if last == len(curve) - 1:
        return steps[-1]
    part = (rise - curve[last]) / (curve[last + 1] - curve[last])
    return steps[last] + part * (steps[last + 1] - steps[last])


def _around(lost, k, highest):
    """Return the counts per layer just below and just above a total of k."""
    below, above = 0.0, highest
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        below, above = (middle, above) if lost(middle).sum() < k else (below, middle)
    return lost(below), lost(above)

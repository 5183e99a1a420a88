"""Sensitivity: what it costs to prune each layer alone, at each sparsity (Han et al., 2015, section 3.1; Li et al.,
2017, section 3.2). The model stays as it is.

    found = sensitivity(model, data, sparsities=[0.5, 0.9])
    print(found)                                                # accuracy by layer and sparsity
    found.at(layer="dense1", score="loss")                      # (sparsities,) an array
    prune(model, 0.9, layers=found.least(2))                    # as layers="insensitive:2" with data=data
    prune(model, 0.9, distribution=found.distribution)          # more where it costs less
"""
from dataclasses import dataclass

import numpy as np

from minnet.engine.sample import SAMPLES
from minnet.errors import InvalidValue, check_count, check_fraction, unknown
from minnet.pruning.alone import SPARSITIES, mean_rise, measure, most_first, pool_of, valid_part
from minnet.pruning.choose import choose

HALVINGS = 60  # of the loss that all layers may lose: to the last bits of a float64


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """`values` (layers, sparsities, scores), the score of the model with that layer alone at that sparsity; `base`
    (scores,) those of the model as it was. A layer is called "conv1+conv3" where the units are one."""

    layers: tuple
    sparsities: tuple
    scores: tuple
    values: np.ndarray
    base: np.ndarray

    @property
    def axes(self):
        """{name of the axis: what stands along it}, in the order of `values`."""
        return {"layer": self.layers, "sparsity": self.sparsities, "score": self.scores}

    def at(self, *, layer=None, sparsity=None, score=None):
        """`values` at one place of each axis that is given; the others remain. Raises UnknownName for no such place."""
        places = []
        for (axis, there), wanted in zip(self.axes.items(), (layer, sparsity, score), strict=True):
            if wanted is not None and wanted not in there:
                raise unknown(axis, wanted, there)
            places.append(slice(None) if wanted is None else there.index(wanted))
        return self.values[tuple(places)]

    @property
    def rises(self):
        """(layers,) by how much the loss rises, on average over the sparsities."""
        return mean_rise(self.base, self.values, self.scores)

    def most(self, number):
        """The names of the `number` most sensitive layers, the first first."""
        return most_first(self.layers, self.rises)[: check_count("number", number, 1)]

    def least(self, number):
        """The names of the `number` least sensitive layers, the last first."""
        return most_first(self.layers, self.rises)[::-1][: check_count("number", number, 1)]

    def distribution(self, pool, k):
        """(heaps, shares), as `prune` wants a distribution: every layer is pruned to where it alone raises the loss as
        much as any other, by straight lines between what was measured.

        Where that takes fewer than k, all go on in step to sparsity 1. A curve that falls counts as level. Raises
        InvalidValue for layers that were not measured.
        """
        curves = [self._curve(part.layers) for part in pool.parts]
        highest = max(curve[-1] for curve in curves)
        steps = (0.0, *self.sparsities)

        def lost(rise):
            return pool.sizes * [_reach(curve, steps, rise) for curve in curves]

        low, high = lost(0.0), lost(highest)
        if k <= low.sum():
            low, high = np.zeros(len(curves)), low
        elif k > high.sum():
            low, high = high, pool.sizes.astype(float)
        else:
            low, high = _around(lost, k, highest)
        gap = high.sum() - low.sum()
        return pool.layers, low + (high - low) * ((k - low.sum()) / gap if gap else 0.0)

    def _curve(self, layers):
        """(1 + sparsities,) how far the loss has risen, never falling; the worst of what was measured of `layers`."""
        rows = [i for i, name in enumerate(self.layers) if set(name.split("+")) & set(layers)]
        if not rows:
            raise InvalidValue(f"{', '.join(layers)} was not measured, only {', '.join(self.layers)}: measure it, or "
                               "leave it out of layers=")
        rise = (self.at(score="loss")[rows] - self.base[self.scores.index("loss")]).max(axis=0)
        return np.maximum.accumulate(np.concatenate([[0.0], rise]))

    def record(self):
        """As JSON has it."""
        return {**{axis: list(there) for axis, there in self.axes.items()}, "values": self.values.tolist(),
                "base": self.base.tolist(), "rises": self.rises.tolist()}

    def __str__(self):
        score = self.scores[0]
        form = "{:.1%}".format if score == "accuracy" else "{:.4f}".format
        head = [score, *[f"{sparsity:.4g}" for sparsity in self.sparsities], "loss rises by"]
        lines = [head, *[[name, *map(form, row), f"{rise:.4f}"]
                         for name, row, rise in zip(self.layers, self.at(score=score), self.rises, strict=True)]]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        table = ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]) for name, *cells in lines]
        return "\n".join([*table, f"as it is: {form(self.base[0])}"])


def sensitivity(model, data, *, sparsities=SPARSITIES, criterion="magnitude", structure="weight", layers=None,
                protect=None, samples=SAMPLES, reduction=None, rng=None):
    """The Sensitivity of `model`: accuracy, macro recall, macro F1 and loss on the validation part of `data` (or the
    pair X, y) with round(s n) of the n pieces of one layer gone, for each layer and each s of `sparsities`.

    The criterion scores the model once, on the training part; the lowest of a layer go. A layer of units keeps one.
    For numbers instead of classes the scores are r2 and loss. One pass over the rows for each layer and sparsity, side
    by side in threads. Arguments and errors as in `prune`.
    """
    steps = tuple(sorted({check_fraction("sparsities", sparsity) for sparsity in sparsities}))
    if not steps:
        raise InvalidValue("sparsities is empty; wanted at least one share in [0, 1]")
    pool = pool_of(model, choose(model, layers, protect), data, criterion, structure, samples=samples,
                   reduction=reduction, rng=rng)
    kinds, base, values = measure(pool, valid_part(data), steps)
    return Sensitivity(tuple(part.name for part in pool.parts), steps, kinds, values, base)


def _reach(curve, steps, rise):
    """The largest sparsity at which `curve`, straight between `steps`, is at most `rise`."""
    last = int(np.searchsorted(curve, rise, side="right")) - 1
    if last == len(curve) - 1:
        return steps[-1]
    part = (rise - curve[last]) / (curve[last + 1] - curve[last])
    return steps[last] + part * (steps[last + 1] - steps[last])


def _around(lost, k, highest):
    """What layers lose just below and just above k in all."""
    below, above = 0.0, highest
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        below, above = (middle, above) if lost(middle).sum() < k else (below, middle)
    return lost(below), lost(above)

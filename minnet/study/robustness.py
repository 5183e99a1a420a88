"""Robustness: the accuracy of a model on images that were attacked or corrupted.

    found = robustness(model, data, epsilon=0.1, rng=0)
    print(found)                                 # a table
    found.attacks["pgd"], found.corruptions["blur"][2]          # of severity 3
    print(beside({"before": robustness(dense, data, rng=0), "after": robustness(pruned, data, rng=0)}))

Attacks are made anew for each model, of it; corruptions are the same for all that are measured with one seed.
"""
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from minnet.data import Dataset
from minnet.engine.attacks import ATTACKS, LINF, NORMS, attacked
from minnet.engine.rng import as_rng, as_seed
from minnet.engine.sample import part_of
from minnet.errors import InvalidValue, check_choice, check_count, check_real
from minnet.model import Model
from minnet.study.corruptions import CORRUPTIONS, OF_ROWS, SEVERITIES, corrupted
from minnet.text import aligned
from minnet.typing import Arrays, Seed

SAMPLES = 1000
EPSILON, EPSILON_L2 = 0.1, 1.0


@dataclass(frozen=True)
class Robustness:
    """Hold the accuracy of a model on images as they are, attacked and corrupted.

    Attributes
    ----------
    clean : float
        The accuracy on the rows as they are.
    attacks : dict of str to float
        That under each attack, of this very model.
    corruptions : dict of str to tuple of float
        That under each corruption, of severity 1 to 5.
    samples : int
        How many rows.
    epsilon, epsilon_l2 : float
        How far attacks may go: each number, and in the Euclidean norm.
    """

    clean: float
    attacks: dict[str, float]
    corruptions: dict[str, tuple[float, ...]]
    samples: int
    epsilon: float
    epsilon_l2: float

    @property
    def rows(self) -> dict[str, float]:
        """Return {what was done: accuracy}, as the table shows it."""
        radii = {name: self.epsilon if NORMS[name] == LINF else self.epsilon_l2 for name in self.attacks}
        found = {"clean": self.clean} | {f"{name} {radii[name]:g}": value for name, value in self.attacks.items()}
        return found | {f"{name} {severity}": value for name, values in self.corruptions.items()
                        for severity, value in zip(SEVERITIES, values, strict=True)}

    def record(self) -> dict[str, object]:
        """Return the attributes as JSON types."""
        return asdict(self) | {"corruptions": {name: list(values) for name, values in self.corruptions.items()}}

    def __str__(self) -> str:
        """Return a table, an attack or a severity of a corruption a line."""
        return beside({"accuracy": self})


def robustness(model: Model, data: Dataset | Arrays, *, attacks: Sequence[str] | None = None,
               corruptions: Sequence[str] | None = None, epsilon: float = EPSILON, epsilon_l2: float = EPSILON_L2,
               samples: int | None = SAMPLES, rng: Seed = None) -> Robustness:
    """Measure the accuracy of a classifier on images that were attacked or corrupted, on the test part.

    Attacks are of the model itself, with their defaults: FGSM, PGD (10 steps, in the largest change of a number and in
    L2), DeepFool (L2) and a black-box random search (200 steps). Corruptions are noise, blur, shift, rotation,
    occlusion and contrast, each in five severities. The cost is that of about 300 passes over the rows, and of 50 k
    for DeepFool at most, for k classes.

    Parameters
    ----------
    model : Model
        A classifier whose inputs lie in [0, 1], as scaling="unit" makes them; it is not changed.
    data : Dataset or (X, y)
        Rows and labels; of a Dataset the test part.
    attacks, corruptions : sequence of str, optional
        Names of `attacks.ATTACKS` and of `corruptions.CORRUPTIONS`. Default: all that take rows of this shape; an
        empty sequence leaves them out.
    epsilon : float
        How far an attack may move each number.
    epsilon_l2 : float
        How far an attack in L2 may move a row.
    samples : int, optional
        How many rows are drawn at most; None takes all.
    rng : int, numpy.random.Generator or None
        What rows, attacks and corruptions are drawn from: the same seed takes the same rows, and spoils them alike.

    Returns
    -------
    Robustness
        Accuracies.

    Raises
    ------
    InvalidValue
        The model is no classifier, or takes inputs outside [0, 1], or a corruption of images is asked of rows.
    UnknownName
        There is no such attack or corruption.

    References
    ----------
    Hendrycks and Dietterich (2019), "Benchmarking neural network robustness to common corruptions and perturbations".
    """
    attacks, corruptions = _chosen(model, attacks, corruptions)
    radii = check_real("epsilon", epsilon, 0), check_real("epsilon_l2", epsilon_l2, 0)
    seed, (X, y) = as_seed(rng), part_of(model, data, "test")
    X, y = _drawn(X, y, samples, seed)
    if not len(X):
        raise InvalidValue("X has 0 rows; wanted at least 1 to measure an accuracy on")
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise InvalidValue("the model gives no classes, or several a row: robustness is of classifiers")
    net = model.without_signature()

    def accuracy(X):
        return float((net(X).argmax(-1) == y).mean())

    found = {name: accuracy(attacked(name, net, X, y, rng=seed, epsilon=radii[NORMS[name] != LINF]))
             for name in attacks}
    spoilt = {name: tuple(accuracy(corrupted(name, X, severity, as_rng(seed))) for severity in SEVERITIES)
              for name in corruptions}
    return Robustness(accuracy(X), found, spoilt, len(X), *radii)


def beside(found: Mapping[str, Robustness]) -> str:
    """Return a table with a column of accuracies for each {name: Robustness}, all of the same attacks."""
    columns = {name: one.rows for name, one in found.items()}
    lines = [["", *columns], *[[row, *(f"{rows[row]:.1%}" for rows in columns.values())]
                               for row in next(iter(columns.values()))]]
    return "\n".join(aligned(lines))


def _chosen(model, attacks, corruptions):
    """Return the names of attacks and corruptions, checked."""
    takes = CORRUPTIONS if len(model.input_shape) > 1 else OF_ROWS
    attacks, corruptions = (tuple(default if names is None else names) for names, default in
                            ((attacks, ATTACKS), (corruptions, takes)))
    for name in attacks:
        check_choice("attack", name, ATTACKS)
    for name in corruptions:
        check_choice("corruption", name, CORRUPTIONS)
    return attacks, corruptions


def _drawn(X, y, samples, seed):
    """Return `samples` rows, drawn without replacement and in order, or all."""
    if samples is None or check_count("samples", samples, 1) >= len(X):
        return X[:], y
    rows = np.sort(as_rng(seed).choice(len(X), samples, replace=False))
    return X[rows], y[rows]

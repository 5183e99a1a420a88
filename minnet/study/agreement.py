"""The agreement of criteria with the oracle, which measures the loss after deleting every weight in turn.

An unsigned score cannot express that the loss falls: it is compared with |dL|, a signed one with dL itself.

    print(compare_criteria(model, data))                     # a table, the best criterion first
    report.plots.plot_agreement(compare_criteria(model, data)).figure.savefig("agreement.png")
"""
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minnet.data import Dataset
from minnet.engine.sample import Sample, draw_sample
from minnet.errors import MinnetError, check_choice, check_fraction
from minnet.kernels.select import MAY_GO
from minnet.model import Model
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.criteria.ablation import oracle
from minnet.pruning.select import select
from minnet.text import aligned
from minnet.typing import Arrays, Seed

Criterion = Callable[[Model, Sample | None], np.ndarray]
SPARSITIES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class CriterionScore:
    """One criterion compared with the oracle.

    Parameters
    ----------
    criterion : str
        Its name.
    spearman, kendall : float
        Rank correlations over the live weights; NaN if the criterion could not be evaluated.
    overlap : tuple of float
        For each sparsity the share of the oracle's removals that the criterion makes too.
    seconds : float
        Time of scoring.
    reason : str
        Why the criterion could not be evaluated, else "".
    """

    criterion: str
    spearman: float = np.nan
    kendall: float = np.nan
    overlap: tuple[float, ...] = ()
    seconds: float = np.nan
    reason: str = ""


@dataclass(frozen=True)
class Agreement:
    """The agreement of several criteria with the oracle; `str` makes a table of it.

    Parameters
    ----------
    scores : tuple of CriterionScore
        One for each criterion, the best first.
    sparsities : tuple of float
        The columns of `overlap`.
    oracle_seconds : float
        Time of the oracle.
    """

    scores: tuple[CriterionScore, ...]
    sparsities: tuple[float, ...]
    oracle_seconds: float

    def __str__(self) -> str:
        """Return a table with one row per criterion."""
        head = ["criterion", "Spearman", "Kendall", *[f"{s:.0%}" for s in self.sparsities], "seconds"]
        lines = [head, *[[g.criterion, f"{g.spearman:.3f}", f"{g.kendall:.3f}", *[f"{o:.2f}" for o in g.overlap],
                          f"{g.seconds:.3f}"] for g in self.scores if not g.reason]]
        left_out = [f"{g.criterion} left out: {g.reason}" for g in self.scores if g.reason]
        return "\n".join([*aligned(lines), f"time of the oracle: {self.oracle_seconds:.1f} s", *left_out])


def compare_criteria(model: Model, data: Dataset | Sample | Arrays, criteria: Sequence[str | Criterion] | None = None,
                     *, sparsities: Sequence[float] = SPARSITIES, samples: int | None = 1000,
                     rng: Seed = 0) -> Agreement:
    """Compare criteria with the oracle, the change of the loss when a weight is deleted.

    Spearman's and Kendall's coefficients are those between the scores and the true changes of the loss (their
    magnitude for unsigned criteria) over the live weights. The overlap at sparsity s is the share of the weights that
    the oracle would remove which the criterion removes as well; random removal has overlap s.

    Parameters
    ----------
    model : Model
        The model; it is not changed.
    data : Dataset or (X, y)
        As in `prune`; every criterion sees the same sample.
    criteria : sequence of str or callable, optional
        Names or functions. Default: all that score single weights.
    sparsities : sequence of float
        Where the overlap is computed.
    samples : int or None
        Rows of the sample; None for all.
    rng : int or Generator, optional
        Source of the sample.

    Returns
    -------
    Agreement
        One CriterionScore for each criterion, the best first.

    Raises
    ------
    InvalidValue
        If a sparsity is outside [0, 1].
    UnknownName
        If a criterion is unknown.
    """
    sparsities = tuple(check_fraction("sparsities", s) for s in sparsities)
    asked = [name for name, function in CRITERIA.items() if function is not oracle and not traits_of(function).unit]
    asked = asked if criteria is None else criteria
    sample, live = draw_sample(model, data, samples=samples, rng=rng), model.mask[: model.n_weights]
    start = time.perf_counter()
    truth = oracle(model, sample)[live]
    seconds = time.perf_counter() - start
    scores = [_score(model, sample, criterion, live, truth, sparsities) for criterion in asked]
    scores.sort(key=lambda g: (bool(g.reason), -g.spearman))
    return Agreement(tuple(scores), sparsities, seconds)


def criterion_function(criterion: str | Criterion) -> Criterion:
    """Return the function of a name in CRITERIA; a function is returned as it is."""
    return check_choice("criterion", criterion, CRITERIA)


def _score(model, sample, criterion, live, truth, sparsities):
    """Return the CriterionScore of one criterion, with the reason if it cannot be evaluated."""
    from scipy.stats import kendalltau, spearmanr

    function = criterion_function(criterion)
    name = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", repr(criterion))
    start = time.perf_counter()
    try:
        scores = np.asarray(function(model.without_signature(), sample))[live].astype(np.float64)
    except MinnetError as error:
        return CriterionScore(name, reason=str(error))
    seconds = time.perf_counter() - start
    truth = truth if traits_of(function).signed else np.abs(truth)
    overlap = tuple(_overlap(_lowest(scores, s), _lowest(truth, s)) for s in sparsities)
    if np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return CriterionScore(name, reason="its scores, or the true changes, are all equal: they define no order")
    rank, pairs = spearmanr(scores, truth).statistic, kendalltau(scores, truth).statistic
    return CriterionScore(name, float(rank), float(pairs), overlap, seconds)


def _overlap(removed, wanted):
    """Return the share of `wanted` that is in `removed`."""
    return np.count_nonzero(removed & wanted) / max(np.count_nonzero(wanted), 1)


def _lowest(scores, sparsity):
    """Return (n,) bool, True for the weights removed at `sparsity`."""
    return select(scores, np.full(len(scores), MAY_GO, np.uint8), round(sparsity * len(scores)))

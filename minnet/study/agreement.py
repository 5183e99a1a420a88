"""How well criteria guess the truth: each beside the oracle, which deletes every weight in turn.

An unsigned score cannot say that the loss falls; it is held to |dL|, a signed one to dL itself.

    print(compare_criteria(model, data))                     # a table, best guess first
    report.plots.plot_agreement(compare_criteria(model, data)).figure.savefig("agreement.png")
"""
import time
from dataclasses import dataclass

import numpy as np

from minnet.engine.sample import draw_sample
from minnet.errors import MinnetError, check_choice, check_fraction
from minnet.kernels.select import MAY_GO
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.criteria.ablation import oracle
from minnet.pruning.select import select

SPARSITIES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Guess:
    """One criterion against the oracle: rank correlations over live weights, `overlap` (for each sparsity the share of
    the oracle's removals that it makes too), seconds of scoring; or `reason`, why it could not be asked."""

    criterion: str
    spearman: float = np.nan
    kendall: float = np.nan
    overlap: tuple = ()
    seconds: float = np.nan
    reason: str = ""


@dataclass(frozen=True)
class Agreement:
    """All guesses, the best first; `sparsities` are the columns of `overlap`. `str` makes the table."""

    guesses: tuple
    sparsities: tuple
    oracle_seconds: float

    def __str__(self):
        head = ["criterion", "Spearman", "Kendall", *[f"{s:.0%}" for s in self.sparsities], "seconds"]
        lines = [head, *[[g.criterion, f"{g.spearman:.3f}", f"{g.kendall:.3f}", *[f"{o:.2f}" for o in g.overlap],
                          f"{g.seconds:.3f}"] for g in self.guesses if not g.reason]]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        table = ["  ".join([name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]) for name, *numbers in lines]
        left_out = [f"{g.criterion} left out: {g.reason}" for g in self.guesses if g.reason]
        return "\n".join([*table, f"the oracle itself took {self.oracle_seconds:.1f} s", *left_out])


def compare_criteria(model, data, criteria=None, *, sparsities=SPARSITIES, samples=1000, rng=0):
    """Agreement of `criteria` (names or functions; all that judge single weights by default) with the oracle.

    Spearman's and Kendall's coefficient between scores and true loss changes (their size for unsigned criteria) over
    the live weights, and at each sparsity
    the share of the weights that the oracle would remove which the criterion removes as well: at sparsity s random
    removal has s. `data` and `samples` as in `prune`; every criterion sees the same sample.
    """
    sparsities = tuple(check_fraction("sparsities", s) for s in sparsities)
    asked = [name for name, function in CRITERIA.items() if function is not oracle and not traits_of(function).unit]
    asked = asked if criteria is None else criteria
    sample, live = draw_sample(model, data, samples=samples, rng=rng), model.mask[: model.n_weights]
    start = time.perf_counter()
    truth = oracle(model, sample)[live]
    seconds = time.perf_counter() - start
    guesses = [_guess(model, sample, criterion, live, truth, sparsities) for criterion in asked]
    guesses.sort(key=lambda g: (bool(g.reason), -g.spearman))
    return Agreement(tuple(guesses), sparsities, seconds)


def name_or(criterion):
    """The function that a name in CRITERIA means; a function is itself."""
    return check_choice("criterion", criterion, CRITERIA)


def _guess(model, sample, criterion, live, truth, sparsities):
    """The Guess of one criterion; one that cannot be asked here says why."""
    from scipy.stats import kendalltau, spearmanr

    function = name_or(criterion)
    name = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", repr(criterion))
    start = time.perf_counter()
    try:
        scores = np.asarray(function(model, sample))[live].astype(np.float64)
    except MinnetError as error:
        return Guess(name, reason=str(error))
    seconds = time.perf_counter() - start
    truth = truth if traits_of(function).signed else np.abs(truth)
    overlap = tuple(_overlap(_lowest(scores, s), _lowest(truth, s)) for s in sparsities)
    if np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return Guess(name, reason="its scores, or the true changes, are all equal: there is no order to compare")
    rank, pairs = spearmanr(scores, truth).statistic, kendalltau(scores, truth).statistic
    return Guess(name, float(rank), float(pairs), overlap, seconds)


def _overlap(gone, wanted):
    """The share of `wanted` that is in `gone`."""
    return np.count_nonzero(gone & wanted) / max(np.count_nonzero(wanted), 1)


def _lowest(scores, sparsity):
    """(n,) bool: what a cut at `sparsity` would remove."""
    return select(scores, np.full(len(scores), MAY_GO, np.uint8), round(sparsity * len(scores)))

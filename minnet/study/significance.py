"""Paired tests over seeds: how much a score differs, how sure that is, and last the p-value.

    for test in paired_tests(groups):
        print(test)     # obd - magnitude, sparsity 0.95: +1.20 points [0.31, 2.09], 5 seeds, p = 0.020 (0.12 by Holm)

The nets of one seed have the same dense net, so they are compared in pairs. Student's t test; from 10 seeds Wilcoxon's
signed-rank test too. As there are many tests, p-values are also corrected by Holm's method over all of the sweep.
"""
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from minnet.errors import PERCENT

BASELINES = ("random", "magnitude")
WILCOXON_SEEDS = 10
CONFIDENCE = 0.95
CONTROL = "control="


@dataclass(frozen=True)
class Test:
    """A paired comparison of two combinations that differ in one setting.

    Parameters
    ----------
    setting, value, against : str
        What differs: a criterion, or a recipe and its control; the effect is that of `value` less that of `against`.
    where : dict of str to object
        The other settings that were varied, which both have.
    effect : float
        Mean difference of the test score.
    low, high : float
        Its interval of 95 % by Student's t.
    n : int
        Seeds that both have.
    p, p_holm : float
        Of the t test, two-sided; corrected.
    p_wilcoxon, p_wilcoxon_holm : float, optional
        Of Wilcoxon's test, from 10 seeds.
    """

    setting: str
    value: str
    against: str
    where: dict[str, object]
    effect: float
    low: float
    high: float
    n: int
    p: float
    p_holm: float = math.nan
    p_wilcoxon: float | None = None
    p_wilcoxon_holm: float | None = None

    def __str__(self) -> str:
        """Return the effect in points with its interval, then the p-values."""
        where = "".join(f", {name} {value}" for name, value in self.where.items())
        effect, low, high = (PERCENT * number for number in (self.effect, self.low, self.high))
        rank = "" if self.p_wilcoxon is None else \
            f"; Wilcoxon {self.p_wilcoxon:.2g} ({self.p_wilcoxon_holm:.2g} by Holm)"
        return (f"{self.value} - {self.against}{where}: {effect:+.2f} points [{low:.2f}, {high:.2f}], {self.n} seeds, "
                f"p = {self.p:.2g} ({self.p_holm:.2g} by Holm){rank}")

    def record(self) -> dict[str, object]:
        """Return it as JSON types."""
        return asdict(self)


def paired_tests(groups: Sequence[Sequence[Mapping]]) -> list[Test]:
    """Return the tests of a sweep, with corrected p-values.

    Parameters
    ----------
    groups : sequence of sequence of mapping
        For each combination its rows, as in `Sweep.rows`.

    Returns
    -------
    list of Test
        Each criterion against "random" and "magnitude", where these are there, and each recipe against its controls;
        in the order of the groups. A pair with fewer than two seeds in common has none.

    References
    ----------
    .. [1] Holm, 1979, "A simple sequentially rejective multiple test procedure".
    """
    tests = [test for first, second, setting in _pairs(groups)
             if (test := paired_test(first, second, setting)) is not None]
    holm = holm_of([test.p for test in tests])
    ranked = iter(holm_of([test.p_wilcoxon for test in tests if test.p_wilcoxon is not None]))
    return [replace(test, p_holm=p, p_wilcoxon_holm=None if test.p_wilcoxon is None else next(ranked))
            for test, p in zip(tests, holm, strict=True)]


def paired_test(first: Sequence[Mapping], second: Sequence[Mapping], setting: str) -> Test | None:
    """Compare the rows of two combinations that differ in `setting`; return None if they share fewer than 2 seeds."""
    others = {row["seed"]: row["test"] for row in second if row["test"] is not None}
    gains = [row["test"] - others[row["seed"]] for row in first if row["test"] is not None and row["seed"] in others]
    if len(gains) < 2:
        return None
    where = {name: value for name, value in first[0]["settings"].items() if name != setting}
    effect, low, high, p = student(gains)
    return Test(setting, first[0]["settings"][setting], second[0]["settings"][setting], where, effect, low, high,
                len(gains), p, p_wilcoxon=wilcoxon_p(gains) if len(gains) >= WILCOXON_SEEDS else None)


def student(gains: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the mean of differences, the ends of its interval, and the two-sided p-value of the t test.

    Where all differences are equal the interval is a point, and p is 1 or 0.
    """
    from scipy.stats import t

    mean, error = statistics.fmean(gains), statistics.stdev(gains) / math.sqrt(len(gains))
    if not error:
        return mean, mean, mean, float(mean == 0)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(gains) - 1)) * error
    return mean, mean - reach, mean + reach, float(2 * t.sf(abs(mean) / error, len(gains) - 1))


def wilcoxon_p(gains: Sequence[float]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; 1 where no difference is other than 0."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(gains, method="approx").pvalue) if any(gains) else 1.0


def holm_of(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's method: the i-th smallest times n - i, never falling."""
    order, found, least = sorted(range(len(values)), key=values.__getitem__), [0.0] * len(values), 0.0
    for i, place in enumerate(order):
        least = max(least, min(1.0, (len(values) - i) * values[place]))
        found[place] = least
    return found


def _pairs(groups: Sequence[Sequence[Mapping]]) -> Iterator[tuple[Sequence[Mapping], Sequence[Mapping], str]]:
    """Yield the groups to compare and the setting in which they differ."""
    known = {repr(group[0]["settings"]): group for group in groups}
    for group in groups:
        settings = group[0]["settings"]
        for baseline in BASELINES:
            if settings.get("criterion") in (None, baseline) or \
                    (settings["criterion"], baseline) == BASELINES:  # magnitude against random is there already
                continue
            other = known.get(repr(settings | {"criterion": baseline}))
            if other is not None:
                yield group, other, "criterion"
        for other in groups:
            theirs = other[0]["settings"]
            if settings | {"recipe": None} == theirs | {"recipe": None} and \
                    _is_control(str(theirs.get("recipe")), str(settings.get("recipe"))):
                yield group, other, "recipe"


def _is_control(name, recipe):
    """Return True if `name` is that of a recipe with one of its controls."""
    return name.startswith(f"{recipe}{',' if ':' in recipe else ':'}{CONTROL}")

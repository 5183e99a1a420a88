"""A row: a figure that a paper printed, how ours is made, and when ours is as good."""
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A published figure and how to make ours.

    `run(lab, **settings)` trains and returns `lab.outcome(...)`, whose `figure` is compared with `target`: it has to be
    at most that, or at least that where `rises`. `tiny` replaces settings where only the way is tested, on digits.
    """

    name: str
    paper: str        # author and year, table or place
    published: str    # the figure as printed, with its kept weights
    target: float
    run: Callable
    settings: dict
    tiny: dict = field(default_factory=dict)
    measure: str = "test error, %"
    rises: bool = False
    frontier: bool = False  # of the rows that take nights

    def reaches(self, figure):
        """Whether a figure, rounded to as many digits as are printed, is as good as the target."""
        return round(figure, 2) >= self.target if self.rises else round(figure, 2) <= self.target

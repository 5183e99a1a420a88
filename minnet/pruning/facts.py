"""Facts: what a criterion needs and what its scores are, beside the function, in the table FACTS of its file.

    FACTS = {"fpgm": Facts(unit=True), "snip": Facts(needs="data", passes="1 forward, 1 backward")}

A criterion that is not in the table has the defaults. A function of your own may carry an attribute `facts`.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """`unit`: it judges units, writes a unit's score to each incoming weight, and is reduced by `mean`.
    `needs`: "weights", or "data", or "initial" (what an earlier state of the weights was).
    `signed`: scores below 0 have a meaning, so the reductions l1, l2 and linf are refused.
    `stochastic`: it draws from data.rng, so that another rng gives other scores.
    `reduction`: how scores become a unit's score unless the caller says; "" leaves it to these facts.
    `passes`: what it costs, in passes over the sample. `cannot`: what it cannot do, and why; "" if nothing.
    """

    unit: bool = False
    needs: str = "weights"
    signed: bool = False
    stochastic: bool = False
    reduction: str = ""
    passes: str = "none"
    cannot: str = ""

    @property
    def default_reduction(self):
        """Units by `mean` where they are judged already, signed scores by `sum`, others by `l2`."""
        return self.reduction or ("mean" if self.unit else "sum" if self.signed else "l2")

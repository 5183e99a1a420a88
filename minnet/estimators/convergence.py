"""Convergence: when training has converged, by scikit-learn's rule.

    rule = Convergence(tol=1e-4, patience=10)
    rule.update(-loss)         # True where the score is the best so far
    rule.converged             # more than `patience` epochs in a row without a gain of `tol`

A score is minus the loss of an epoch, or what the validation rows give.
"""
import math


class Convergence:
    """Count the epochs whose score is no more than `tol` above the best before, as MLPClassifier does.

    Parameters
    ----------
    tol : float
        The gain that counts.
    patience : int or float
        How many epochs in a row may be without one; math.inf never stops.
    """

    def __init__(self, tol: float, patience: float):
        self.tol, self.patience = tol, patience
        self.reset()

    def reset(self) -> None:
        """Begin anew: what is trained has changed, so earlier scores are no measure."""
        self.best, self.stale = -math.inf, 0

    def update(self, score: float) -> bool:
        """Take the score of an epoch, higher being better; return whether it is the best since the last reset."""
        self.stale = self.stale + 1 if score < self.best + self.tol else 0
        better = score > self.best
        self.best = max(score, self.best)
        return better

    @property
    def converged(self) -> bool:
        """Whether more than `patience` epochs in a row had no gain."""
        return self.stale > self.patience

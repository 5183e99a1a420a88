"""SparsitySelector: features chosen by pruning the inputs of a small net."""
import warnings
from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np
from numpy.random import RandomState
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.sparsefuncs import inplace_column_scale, mean_variance_axis
from sklearn.utils.validation import check_is_fitted, validate_data

from minnet.arrays import power_of_2
from minnet.data.scaling import ROUNDING, maximum, mean_and_deviation
from minnet.engine.optimizers import Optimizer
from minnet.errors import InvalidType, InvalidValue, check_choice, check_count, quoted
from minnet.estimators.base import FLOATS, PrunedEstimator, RandomSource, kept_on_error
from minnet.estimators.checks import checked
from minnet.estimators.classifier import PrunedClassifier
from minnet.estimators.parameters import AUTO, LARGEST_BATCH, seed_of
from minnet.estimators.regressor import PrunedRegressor
from minnet.pruning.penalties.grouped import GroupLasso
from minnet.pruning.scores import Criterion
from minnet.typing import ArrayLike

ESTIMATORS = {"classification": PrunedClassifier, "regression": PrunedRegressor}
FEWEST = 2            # rows
HALVES = 2
SMALLEST_BATCH, STEPS = 8, 20  # rows of a step at least, and steps of an epoch of few rows


class SparsitySelector(SelectorMixin, BaseEstimator):
    """Select features by training a small net while its inputs are pruned.

    A net with the hidden layers given is trained on standardised features; meanwhile whole inputs are removed, those
    with the lowest scores first, until as many are left as are wanted.

    Parameters
    ----------
    n_features_to_select : int, float or None
        How many features remain: a number, a share of them in (0, 1), or half of them.
    hidden_layer_sizes : int or sequence of int
        Widths of the hidden layers.
    criterion : str or callable
        As for `minnet.prune`: a criterion that scores weights. Those of one input are reduced to one score.
    penalty : float
        Strength of the group lasso that pulls all weights of an input to 0 together, so that inputs which nothing
        speaks for lose the weights that they began with.
    task : {"classification", "regression"}, optional
        What y is; by default floating-point numbers with fractions are learnt as numbers, all else as classes.
    solver : str or Optimizer
        As for PrunedClassifier.
    learning_rate_init : float
        Learning rate.
    batch_size : int or "auto"
        Rows of a step; "auto" is a twentieth of all, at least 8 and at most 200.
    max_iter : int
        How long training is planned: a quarter of it without pruning, then inputs are removed, and with the last one it
        ends, after five eighths. 40 epochs or 12,000 steps, whichever are more, are taken at most.
    stability : int, optional
        How many random halves of the rows features are selected on again. The features that most halves keep are
        then selected, of equal ones those first that all rows keep.
    random_state : int, numpy.random.RandomState or None
        What initial weights, the order of rows, halves and a criterion's sample are drawn from.

    Attributes
    ----------
    support_ : numpy.ndarray of bool
        Shape (features,), True where a feature is selected.
    n_features_to_select_ : int
        How many are.
    stability_ : numpy.ndarray or None
        Shape (features,): the share of the halves that keep each; None without `stability`.
    estimator_ : PrunedClassifier, PrunedRegressor or None
        The net that was trained on all rows, on standardised features, until the last input was removed; None where
        all features are selected.
    n_iter_ : int
        How many epochs it took, 1 where there was nothing to do.
    n_features_in_, feature_names_in_
        As for every estimator of scikit-learn.

    Notes
    -----
    Halves are drawn in pairs that share no row; those of classes have each class in its proportion. Sparse rows stay
    sparse: their features are divided by the standard deviation, and the mean is not subtracted, so that others may be
    selected than of the same rows made dense.

    References
    ----------
    Yuan and Lin, 2006, "Model selection and estimation in regression with grouped variables", for the group lasso;
    Meinshausen and Bühlmann, 2010, "Stability selection"; Shah and Samworth, 2013, "Variable selection with error
    control: another look at stability selection", for halves in pairs.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> selector = SparsitySelector(8, random_state=0).fit(X, y)
    >>> selector.transform(X).shape
    (569, 8)
    """

    def __init__(self, n_features_to_select: int | float | None = None, *,
                 hidden_layer_sizes: int | Iterable[int] = (64,), criterion: Criterion = "magnitude",
                 penalty: float = 0.03, task: str | None = None, solver: str | Optimizer = "adam",
                 learning_rate_init: float = 0.001, batch_size: int | str = "auto", max_iter: int = 200,
                 stability: int | None = None, random_state: RandomSource = None):
        self.n_features_to_select = n_features_to_select
        self.hidden_layer_sizes = hidden_layer_sizes
        self.criterion = criterion
        self.penalty = penalty
        self.task = task
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.stability = stability
        self.random_state = random_state

    support_: np.ndarray
    stability_: np.ndarray | None
    estimator_: PrunedEstimator | None

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Select features.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).
        y : array_like
            Labels (n,), or 0 and 1 (n, k) for several labels a row; or numbers, (n,) or (n, k).

        Returns
        -------
        SparsitySelector
            The selector itself.

        Raises
        ------
        InvalidValue, InvalidType
            A parameter cannot be used.
        ValueError
            Rows or targets cannot be learnt from, as scikit-learn checks them.
        """
        with kept_on_error(self):
            return self._fit(X, y)

    def _fit(self, X, y):
        """Select features, for `fit`."""
        inputs, targets = self._validated(X, y)
        n, features = inputs.shape
        halves = 0 if self.stability is None else check_count("stability", self.stability, 1)
        kind = ESTIMATORS[self._task(targets)]
        keep = self.n_features_to_select_ = self._wanted(features)
        random = check_random_state(self.random_state)
        self.support_, self.estimator_ = self._select(kind, inputs, targets, keep, random)
        self.stability_, self.n_iter_ = None, 1 if self.estimator_ is None else self.estimator_.n_iter_
        if halves:
            labels = targets if kind is PrunedClassifier and targets.ndim == 1 else None
            found = [self._select(kind, inputs[rows], targets[rows], keep, random)[0]
                     for rows in half_rows(n, labels, halves, random)]
            self.stability_ = np.mean(found, axis=0)
            best = np.lexsort((~self.support_, -self.stability_))[:keep]
            self.support_ = np.isin(np.arange(features), best)
        return self

    def _validated(self, X, y) -> tuple[np.ndarray, np.ndarray]:
        """Return rows with standardised columns, and targets."""
        with checked(X, y):
            X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, multi_output=True,
                                 ensure_min_samples=FEWEST)
        return _standardised(X), y.toarray() if issparse(y) else y  # several labels a row

    def _task(self, y):
        """Return what y is: "classification" or "regression"."""
        if self.task is not None:
            check_choice("task", self.task, ESTIMATORS)
            return self.task
        return "regression" if type_of_target(y, input_name="y").startswith("continuous") else "classification"

    def _wanted(self, features):
        """Return how many of the features remain."""
        wanted = self.n_features_to_select
        if wanted is None:
            return max(1, features // HALVES)
        if isinstance(wanted, float | np.floating) and 0 < wanted < 1:
            return max(1, round(float(wanted) * features))
        try:
            return check_count("n_features_to_select", wanted, 1, features)
        except InvalidType as error:
            raise InvalidType(f"n_features_to_select={quoted(repr(wanted))}; wanted a whole number from 1 to "
                              f"{features}, a share in (0, 1) or None") from error

    def _select(self, kind, X, y, keep, random):
        """Return (which features the net keeps, the net as an estimator, None where none is removed)."""
        features = X.shape[1]
        if keep == features:
            return np.ones(features, bool), None
        automatic = isinstance(self.batch_size, str) and self.batch_size == AUTO
        rows = min(LARGEST_BATCH, max(SMALLEST_BATCH, len(y) // STEPS)) if automatic else self.batch_size
        net = kind(self.hidden_layer_sizes, solver=self.solver, learning_rate_init=self.learning_rate_init,
                   batch_size=rows, max_iter=self.max_iter,
                   penalty=GroupLasso(self.penalty, structure="input") if self.penalty else None,
                   criterion=self.criterion, structure="input", sparsity=1 - keep / features,
                   random_state=seed_of(random))
        net._only_pruned = True  # what follows decides nothing
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it need not converge: its inputs are what counts
            net.fit(X, y)
        support = ~net.result_.plan.candidates.pieces.gone(net.model_.mask)
        if np.count_nonzero(support) != keep:
            raise InvalidValue(f"max_iter={self.max_iter} epochs end before all inputs are pruned: raise it")
        return support, net

    def _get_support_mask(self):
        """Return `support_`."""
        check_is_fitted(self, "support_")
        return self.support_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags


def _standardised(X):
    """Return columns with mean 0 and standard deviation 1; those that are constant become 0.

    Of sparse rows the mean stays, as with scikit-learn's StandardScaler(with_mean=False): zeros stay zeros.
    """
    if issparse(X):
        scaled = X.copy()
        inplace_column_scale(scaled, 1 / power_of_2(maximum(X, None)[1]))  # of any unit: squares stay in range
        mean, variance = mean_variance_axis(scaled, axis=0)
        inplace_column_scale(scaled, 1 / np.sqrt(np.where(variance > (ROUNDING * mean) ** 2, variance, 1)))
        return scaled
    mean, deviation = mean_and_deviation(X)
    return ((X - mean) / deviation).astype(X.dtype)


def half_rows(n: int, labels: np.ndarray | None, halves: int, random: RandomState) -> Iterator[np.ndarray]:
    """Yield the numbers of the rows of random halves, in pairs that share no row.

    Rows of each label are divided evenly.
    """
    for start in range(0, halves, HALVES):
        shuffled = random.permutation(n)
        order = shuffled if labels is None else shuffled[np.argsort(labels[shuffled], kind="stable")]
        for first in range(min(HALVES, halves - start)):
            yield np.sort(order[first::HALVES])

"""PrunedClassifier: a pruned net as a classifier of scikit-learn."""
from collections.abc import Callable, Iterable, Iterator
from typing import Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.neural_network import MLPClassifier
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from minnet.data.labels import as_indicator
from minnet.data.signature import Signature
from minnet.engine.optimizers import Optimizer
from minnet.engine.probabilities import log_sigmoid, log_softmax, probabilities
from minnet.engine.state import Step
from minnet.engine.weights import row_weights
from minnet.errors import InvalidValue, quoted
from minnet.estimators.base import PrunedEstimator, RandomSource
from minnet.pruning.parse import Structure
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Criterion
from minnet.typing import ArrayLike, ClassWeight

BINARY = 2


class PrunedClassifier(ClassifierMixin, PrunedEstimator):
    """Classify by a neural net that is pruned while it is trained.

    The parameters up to `n_iter_no_change` are named as those of scikit-learn's MLPClassifier, and mean the same.

    Rows hold numbers alone: where a table has gaps, categories or text, put a ColumnTransformer with an imputer, a
    one-hot encoder or a vectoriser before the estimator in a Pipeline, or use `load_data`, which fits these itself.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Widths of the hidden layers.
    activation : {"identity", "logistic", "tanh", "relu"}
        What follows each hidden layer.
    solver : str or Optimizer
        "adam", "sgd" (with Nesterov's momentum 0.9), another name in OPTIMIZERS, or an optimizer, which has its own
        learning rate.
    alpha : float
        Strength of the L2 penalty: alpha / 2 times the sum of the squared weights, divided by the weight of the rows of
        a batch, joins the mean loss.
    batch_size : int or "auto"
        Rows of a step; "auto" is min(200, n).
    learning_rate_init : float
        Learning rate.
    max_iter : int
        The most epochs.
    random_state : int, numpy.random.RandomState or None
        What initial weights, the order of rows, validation rows and a criterion's sample are drawn from.
    tol : float
        The gain of the loss, or of the validation score, that counts.
    verbose : bool
        Whether a line is written for each epoch.
    warm_start : bool
        Whether `fit` goes on from the weights and the mask of the fit before.
    early_stopping : bool
        Whether the score on validation rows decides which epoch is kept, and when a fit without pruning stops.
    validation_fraction : float
        Share of the rows that are held out for it.
    n_iter_no_change : int or math.inf
        A fit without pruning stops after more than so many epochs in a row without a gain of `tol`. One that prunes
        runs to the end of the recipe, and warns where the last epochs still had gains and `max_iter` cut it short.
    sparsity : float or None
        Share of the pieces, mostly weights, that are removed; 0 prunes nothing, None is for a structure or distribution
        that sets the count.
    criterion, structure
        As for `minnet.prune`.
    distribution : str, dict or callable, optional
        As for `minnet.prune`; by default "lamp", and none where `sparsity` is None.
    schedule : str, callable or list, optional
        How pruning proceeds, by default as the recipe does.
    recipe : str or callable
        A name in RECIPES or a function of that form: how training and pruning alternate. "auto" is "granet" for single
        weights, else "gradual".
    penalty : (str, float), Penalty or sequence of these, optional
        Penalties beside `alpha`, as ("l1", 1e-5): names in PENALTIES with their strength.
    prune_iter : int or "auto"
        The most epochs of a fit that prunes: with "gradual", "iterative" and "one_shot" the net is trained dense in the
        first quarter; other recipes take all of them. While a recipe runs, the learning rate is three times
        `learning_rate_init` in the first half, then falls to 0 in a line. "auto" is 40 epochs or 12,000 steps,
        whichever are more; never more than `max_iter`.
    image_shape : (h, w) or (h, w, c), optional
        Rows are images of this shape: two convolutions of 3 x 3, each with a pool of 2 x 2, come first.
    class_weight : "balanced" or mapping, optional
        A weight for each class; see `minnet.train`. Not for several labels a row.

    Attributes
    ----------
    classes_ : numpy.ndarray
        The labels (k,); 0 ... k-1 where a row has several of k labels.
    model_ : Model
        The trained, masked net, with a signature.
    predictor_ : Predictor
        The same, compacted and frozen: what predicts.
    result_ : Result
        What the last pruning did: `remaining`, `sparsity`, `per_layer`, `explain`.
    loss_curve_, validation_scores_ : list of float
        The loss of each epoch; the scores on validation rows, None without `early_stopping`.
    n_iter_ : int
        How many epochs were done.
    loss_, best_loss_, best_validation_score_ : float
        The last loss and the best ones.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_
        As for MLPClassifier; n_outputs_ is the number of classes, or of labels.

    Notes
    -----
    Where `y` is a matrix (n, k) of 0 and 1, dense or sparse, a row has any number of k labels, as for MLPClassifier:
    the loss is the binary cross-entropy, a mean over rows and labels; `predict` gives a dense one, and the score is
    the share of rows all of whose labels are right.

    Rows of float32 are learnt in float32, which is faster; all others in float64. Rows are not scaled: put a scaler
    before it in a pipeline. Sparse rows stay sparse; images (`image_shape`) are dense.

    References
    ----------
    Liu et al., 2021, "Sparse training via boosting pruning plasticity with neuroregeneration": the default recipe.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = PrunedClassifier(sparsity=0.8, learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> bool(classifier.score(X, y) > 0.9)
    True
    """

    def __init__(self, hidden_layer_sizes: int | Iterable[int] = (100,), activation: str = "relu", *,
                 solver: str | Optimizer = "adam", alpha: float = 0.0001, batch_size: int | str = "auto",
                 learning_rate_init: float = 0.001, max_iter: int = 200, random_state: RandomSource = None,
                 tol: float = 1e-4, verbose: bool = False, warm_start: bool = False, early_stopping: bool = False,
                 validation_fraction: float = 0.1, n_iter_no_change: float = 10, sparsity: float | None = 0.9,
                 criterion: Criterion = "magnitude", structure: Structure = "weight",
                 distribution: str | dict | Callable | None = None, schedule: PruneSchedule | None = None,
                 recipe: str | Callable[..., Iterator[Step]] = "auto", penalty: object = None,
                 prune_iter: int | str = "auto", image_shape: Iterable[int] | None = None,
                 class_weight: ClassWeight = None):
        super().__init__(hidden_layer_sizes, activation, solver=solver, alpha=alpha, batch_size=batch_size,
                         learning_rate_init=learning_rate_init, max_iter=max_iter, random_state=random_state, tol=tol,
                         verbose=verbose, warm_start=warm_start, early_stopping=early_stopping,
                         validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change,
                         sparsity=sparsity, criterion=criterion, structure=structure, distribution=distribution,
                         schedule=schedule, recipe=recipe, penalty=penalty, prune_iter=prune_iter,
                         image_shape=image_shape)
        self.class_weight = class_weight

    classes_: np.ndarray
    _net = MLPClassifier
    _labels = True
    _multilabel = False  # whether `y` is a matrix of 0 and 1

    @property
    def _loss(self):
        return "binary_cross_entropy" if self._multilabel else "cross_entropy"

    @property
    def _stratify(self):
        return not self._multilabel

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train and prune the net.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).
        y : array_like
            Labels (n,): numbers or text; or 0 and 1 (n, k), dense or sparse, for several labels a row.
        sample_weight : array_like, optional
            A weight (n,) of at least 0 for each row.

        Returns
        -------
        PrunedClassifier
            The estimator itself.

        Raises
        ------
        InvalidValue, InvalidType
            A parameter cannot be used.
        ValueError
            Rows or labels cannot be learnt from, as scikit-learn checks them.
        Diverged
            The loss is NaN or infinite.

        Warns
        -----
        ConvergenceWarning
            `max_iter` epochs were not enough.
        """
        return self._fit(X, y, sample_weight)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None,
                    sample_weight: ArrayLike | None = None) -> Self:
        """Pass once over some rows, then prune: after `prune_iter` passes (40 for "auto") as far as `sparsity` says.

        Pruning follows the schedule, "cubic" by default; `recipe` is not used.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).
        y : array_like
            Labels (n,), or 0 and 1 (n, k).
        classes : array_like, optional
            All labels that will occur; wanted at the first call. Of several labels a row their numbers, 0 ... k-1, or
            what the cells of `y` hold, 0 and 1.
        sample_weight : array_like, optional
            A weight (n,) of at least 0 for each row.

        Returns
        -------
        PrunedClassifier
            The estimator itself.

        Raises
        ------
        InvalidValue, InvalidType
            As from `fit`; `classes` are missing, or others than at the first call.
        """
        first = not hasattr(self, "model_")
        if classes is None and first:
            raise InvalidValue("classes must be passed on the first call to partial_fit: all labels that will occur")
        if classes is not None:
            classes = np.unique(classes)
            if not first and not np.array_equal(classes, self.classes_):
                raise InvalidValue(f"classes={quoted(repr(classes))} is not the same as on last call to partial_fit, "
                                   f"was: {quoted(repr(self.classes_))}")
            self.classes_ = classes
        return self._partial_fit(X, y, sample_weight, first, learn=False)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the label of each row, or where it has several, whether it has each.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).

        Returns
        -------
        numpy.ndarray
            Labels (n,), or 0 and 1 (n, k).
        """
        outputs = self._answers(X)
        several = self.predictor_.signature.task == "multilabel"
        return self.predictor_.signature.predictions(outputs) if several else self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Compute the probability of each class, or of each of several labels by itself.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).

        Returns
        -------
        numpy.ndarray
            Shape (n, k): columns in the order of `classes_`, rows with the sum 1 unless they have several labels.
        """
        return probabilities(self._answers(X), self.predictor_.signature.task)

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Compute the logarithm of the probability of each class or label.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).

        Returns
        -------
        numpy.ndarray
            Shape (n, k).
        """
        logits = self._answers(X)
        return log_sigmoid(logits) if self.predictor_.signature.task == "multilabel" else log_softmax(logits)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Compute the logits; for two classes, how much that of the second is above that of the first.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).

        Returns
        -------
        numpy.ndarray
            Shape (n, k), or (n,) for two classes; of several labels a row (n, k).
        """
        logits = self._answers(X)
        two = logits.shape[1] == BINARY and self.predictor_.signature.task == "classes"
        return logits[:, 1] - logits[:, 0] if two else logits

    def _targets(self, y, sample_weight, first, learn):
        """Return codes of the labels, or whether rows have each of several, and weights of the rows."""
        check_classification_targets(y)
        learn = learn and first  # a warm start keeps the labels
        several = type_of_target(y) == "multilabel-indicator"
        if hasattr(self, "model_") and not learn and several != self._multilabel:
            given, before = ("several labels", "one") if several else ("one label", "several")
            raise InvalidValue(f"y has {given} a row, and that of the first call had {before}: fit a new estimator")
        self._multilabel = several
        if several:
            return self._label_targets(as_indicator(y), sample_weight, learn)
        y = column_or_1d(y, warn=True)
        found, codes = np.unique(y, return_inverse=True)
        if learn:
            self.classes_ = found
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise InvalidValue(f"y has classes {quoted(repr(unknown))}, not in `self.classes_`: "
                               f"{quoted(repr(self.classes_))}")
        codes = np.searchsorted(self.classes_, found)[codes].astype(np.int64)
        self._outputs = len(self.classes_)
        return codes, row_weights(codes, sample_weight, self.class_weight, self.classes_)

    def _label_targets(self, y, sample_weight, learn):
        """Return whether each row has each label, bool (n, k), and weights of the rows."""
        labels = np.arange(y.shape[1])
        if learn or (not hasattr(self, "model_") and np.array_equal(self.classes_, [0, 1])):
            self.classes_ = labels
        if not np.array_equal(self.classes_, labels):
            raise InvalidValue(f"y has {len(labels)} labels a row, and classes are {quoted(repr(self.classes_))}: "
                               f"wanted 0 ... {len(labels) - 1}")
        self._outputs = len(labels)
        return y, row_weights(y, sample_weight, self.class_weight)

    def _decay(self, batch, weights):
        """Return alpha's share; MLPClassifier's loss of several labels is their sum, minnet's their mean."""
        return super()._decay(batch, weights) / (self._outputs if self._multilabel else 1)

    def _take_targets(self, estimator):
        """Take over the labels."""
        self._multilabel = estimator.out_activation_ == "logistic" and estimator.n_outputs_ > 1
        self.classes_ = np.arange(estimator.n_outputs_) if self._multilabel else estimator.classes_

    def _signature(self, shape, names):
        """Return a signature with the labels."""
        return Signature(shape, classes=self.classes_, feature_names=names,
                         task="multilabel" if self._multilabel else "classes")

    def _score_outputs(self, outputs, targets, weights):
        """Return the accuracy: of several labels a row the share of rows all of whose labels are right."""
        right = ((outputs > 0) == targets).all(axis=1) if self._multilabel else outputs.argmax(axis=1) == targets
        return float(np.average(right, weights=weights))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

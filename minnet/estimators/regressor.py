"""PrunedRegressor: a pruned net as a regressor of scikit-learn."""
from typing import Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor

from minnet.data.scaling import mean_and_deviation
from minnet.data.signature import Signature
from minnet.engine.dense import Dense
from minnet.engine.weights import row_weights
from minnet.errors import InvalidValue
from minnet.estimators.base import PrunedEstimator
from minnet.typing import ArrayLike

FARTHEST = 1e6  # of standard deviations, old and new: beyond it units differ, and what was predicted is no start


class PrunedRegressor(RegressorMixin, PrunedEstimator):
    """Predict numbers by a neural net that is pruned while it is trained.

    The parameters up to `n_iter_no_change` are named as those of scikit-learn's MLPRegressor, and mean the same; but
    targets are scaled to mean 0 and standard deviation 1 while the net learns, so losses, `alpha` and `tol` do not
    depend on their unit.

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
        a batch, joins half the mean squared error.
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
        Whether `fit` goes on from the weights and the mask of the fit before. Targets are scaled anew, by those of
        each `fit`; the last layer is changed to match, so that training begins at what the net predicted before.
    early_stopping : bool
        Whether R2 on validation rows decides which epoch is kept, and when a fit without pruning stops.
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

    Attributes
    ----------
    model_ : Model
        The trained, masked net, with a signature that has the scaling of the targets.
    predictor_ : Predictor
        The same, compacted and frozen: what predicts.
    result_ : Result
        What the last pruning did: `remaining`, `sparsity`, `per_layer`, `explain`.
    loss_curve_, validation_scores_ : list of float
        The mean squared error of the scaled targets in each epoch; R2 on validation rows, None without
        `early_stopping`.
    n_iter_ : int
        How many epochs were done.
    loss_, best_loss_, best_validation_score_ : float
        The last loss and the best ones.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_
        As for MLPRegressor.

    Notes
    -----
    Rows of float32 are learnt in float32, all others in float64. Rows are not scaled: put a scaler before it in a
    pipeline. Sparse rows stay sparse; images (`image_shape`) are dense.

    References
    ----------
    Liu et al., 2021, "Sparse training via boosting pruning plasticity with neuroregeneration": the default recipe.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = PrunedRegressor(sparsity=0.9, learning_rate_init=0.01, random_state=0).fit(scale(X), y)
    >>> bool(regressor.score(scale(X), y) > 0.5)
    True
    """

    _net = MLPRegressor
    _loss = "mse"
    _numeric = _several = True

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train and prune the net.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).
        y : array_like
            Numbers (n,), or (n, k) for k outputs.
        sample_weight : array_like, optional
            A weight (n,) of at least 0 for each row.

        Returns
        -------
        PrunedRegressor
            The estimator itself.

        Raises
        ------
        InvalidValue, InvalidType
            A parameter cannot be used.
        ValueError
            Rows or targets cannot be learnt from, as scikit-learn checks them.
        Diverged
            The loss is NaN or infinite.

        Warns
        -----
        ConvergenceWarning
            `max_iter` epochs were not enough.
        """
        return self._fit(X, y, sample_weight)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Pass once over some rows, then prune: after `prune_iter` passes (40 for "auto") as far as `sparsity` says.

        Pruning follows the schedule, "cubic" by default; `recipe` is not used. Targets are scaled by the mean and
        standard deviation of the first call's.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).
        y : array_like
            Numbers (n,) or (n, k).
        sample_weight : array_like, optional
            A weight (n,) of at least 0 for each row.

        Returns
        -------
        PrunedRegressor
            The estimator itself.

        Raises
        ------
        InvalidValue, InvalidType, ValueError
            As from `fit`.
        """
        first = not hasattr(self, "model_")
        return self._partial_fit(X, y, sample_weight, first, learn=first)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the numbers of each row, in the units of the targets.

        Parameters
        ----------
        X : array_like or sparse matrix
            Rows (n, features).

        Returns
        -------
        numpy.ndarray
            Shape (n,), or (n, k) for k outputs.
        """
        outputs = self._answers(X)
        return self.predictor_.signature.predictions(outputs)

    def _targets(self, y, sample_weight, first, learn):
        """Return scaled numbers (n, k), and weights of the rows."""
        y = np.asarray(y, np.float64).reshape(len(y), -1)
        weights = row_weights(y, sample_weight)
        if first:
            self._outputs = y.shape[1]
        if y.shape[1] != self._outputs:
            raise InvalidValue(f"y has {y.shape[1]} columns; this net has learnt {self._outputs}")
        self._target_scaling = mean_and_deviation(y, weights) if learn else _scaling_of(self.model_)
        shift, scale = self._target_scaling
        return (y - shift) / scale, weights

    def _continue_from(self, model):
        """Let the last layer give its outputs by the new scaling of the targets: the same numbers in their units.

        Where old and new targets are of units far apart, the layer gives the same scaled outputs as before.
        """
        (old_shift, old_scale), (shift, scale) = _scaling_of(model), self._target_scaling
        ratio, moved = old_scale / scale, (old_shift - shift) / scale
        if 1 / FARTHEST <= ratio.min() and max(ratio.max(), np.abs(moved).max()) <= FARTHEST:
            last = [layer for layer in model.layers.values() if isinstance(layer, Dense)][-1]
            last.weight.value[:] = last.weight.value * ratio
            last.bias.value[:] = last.bias.value * ratio + moved

    def _take_targets(self, estimator):
        """Note that the net gives its numbers as they are."""
        self._target_scaling = np.zeros(estimator.n_outputs_), np.ones(estimator.n_outputs_)

    def _signature(self, shape, names):
        """Return a signature with the scaling of the targets."""
        return Signature(shape, task="numbers", target_scaling=self._target_scaling, feature_names=names)

    def _score_outputs(self, outputs, targets, weights):
        """Return R2."""
        return float(r2_score(targets, outputs, sample_weight=weights))

    def _decay(self, batch, weights):
        """Return alpha's share as for half the squared error: minnet's `mse` is twice it, and a mean over outputs."""
        return 2 / self._outputs * super()._decay(batch, weights)


def _scaling_of(model):
    """Return (shift, scale) of the targets of a model, each (k,), also where it gives them as they are."""
    known = model.signature.target_scaling
    k = model.output_shape[-1]
    return (np.zeros(k), np.ones(k)) if known is None else (known.shift, known.scale)

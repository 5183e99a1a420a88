"""What the estimators share: rows by scikit-learn's rules, a model that is trained and pruned, a frozen one.

A subclass says what its targets are (`_targets`), by which loss they are learnt, and what the outputs mean.
"""
import copy
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import Self

import numpy as np
from numpy.random import RandomState
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from minnet.engine.optimizers import Optimizer
from minnet.engine.state import Snapshot, Step
from minnet.errors import InvalidType, InvalidValue, check_count, check_real, quoted, unknown
from minnet.estimators import parameters
from minnet.estimators.checks import checked
from minnet.estimators.convergence import Convergence
from minnet.estimators.fitting import EVERY, Fitting, Pruning
from minnet.estimators.mlp import model_of_mlp
from minnet.formats.c_source import save_c
from minnet.formats.onnx_write import save_onnx
from minnet.formats.storage import save
from minnet.model import Model
from minnet.pruning.compact import compact
from minnet.pruning.parse import Structure
from minnet.pruning.result import Result
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Criterion
from minnet.runtime.freeze import freeze
from minnet.runtime.predictor import Predictor
from minnet.training import train
from minnet.typing import Path

FLOATS = (np.float64, np.float32)
FEWEST_VALID = 2
COPIED = ("feature_names_in_", "n_iter_", "loss_", "best_loss_", "validation_scores_", "best_validation_score_")
EXPORTS = {".onnx": save_onnx, ".c": save_c, ".safetensors": save}
RandomSource = int | RandomState | None  # what scikit-learn takes as random_state


class PrunedEstimator(BaseEstimator):
    """Hold the parameters that classifier and regressor share, and do all that does not depend on the targets."""

    model_: Model
    predictor_: Predictor
    result_: Result
    loss_curve_: list[float]
    _outputs: int              # of the net
    _shape: tuple[int, ...]    # of a row as the net takes it
    _passes: float             # that partial_fit has made

    def __init__(self, hidden_layer_sizes: int | Iterable[int] = (100,), activation: str = "relu", *,
                 solver: str | Optimizer = "adam", alpha: float = 0.0001, batch_size: int | str = "auto",
                 learning_rate_init: float = 0.001, max_iter: int = 200, random_state: RandomSource = None,
                 tol: float = 1e-4, verbose: bool = False, warm_start: bool = False, early_stopping: bool = False,
                 validation_fraction: float = 0.1, n_iter_no_change: float = 10, sparsity: float | None = 0.9,
                 criterion: Criterion = "magnitude", structure: Structure = "weight",
                 distribution: str | dict | Callable | None = None, schedule: PruneSchedule | None = None,
                 recipe: str | Callable[..., Iterator[Step]] = "auto", penalty: object = None,
                 prune_iter: int | str = "auto", image_shape: Iterable[int] | None = None):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.sparsity = sparsity
        self.criterion = criterion
        self.structure = structure
        self.distribution = distribution
        self.schedule = schedule
        self.recipe = recipe
        self.penalty = penalty
        self.prune_iter = prune_iter
        self.image_shape = image_shape

    # --- what a subclass says ----------------------------------------------------------------------------------------

    def _targets(self, y, sample_weight, first, learn):
        """Return (targets as the loss takes them, weights of the rows or None).

        On the `first` pass this sets `_outputs`, how many outputs the net has; without `learn` it keeps what is known
        of the targets.
        """
        raise NotImplementedError

    def _continue_from(self, model):
        """Change a fitted model so that it is where a warm start begins."""

    def _signature(self, shape, names):
        """Return the signature of the model."""
        raise NotImplementedError

    def _score_outputs(self, outputs, targets, weights):
        """Return the score of a net's outputs for validation rows."""
        raise NotImplementedError

    _loss = ""            # name of the loss
    _several = False      # whether targets (n, k) are numbers
    _labels = False       # whether targets (n, k) are labels, of which a row has several
    _numeric = False      # whether targets are numbers
    _stratify = False     # whether validation rows are drawn by class
    _only_pruned = False  # whether training may end with the last pruning

    def _decay(self, batch, weights):
        """Return what alpha means as a share of each weight that is added to its gradient."""
        return self.alpha / (batch * (1.0 if weights is None else float(weights.mean())))

    def _take_targets(self, estimator):
        """Take over what a fitted estimator of scikit-learn knows of its targets."""
        raise NotImplementedError

    _net: type[MLPClassifier | MLPRegressor]     # scikit-learn's class that means the same

    @classmethod
    def from_estimator(cls, estimator: MLPClassifier | MLPRegressor) -> Self:
        """Make a fitted estimator of scikit-learn's own net, with the same predictions, whose `fit` prunes that net.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            A fitted net. Its parameters are taken over where they mean the same; in place of "lbfgs" the solver is
            "adam".

        Returns
        -------
        PrunedClassifier or PrunedRegressor
            Fitted, not pruned yet, with `warm_start=True`: `fit` and `partial_fit` go on from these weights. How much
            is pruned, and how, `set_params` says, as in ``.set_params(sparsity=0.8)``.

        Raises
        ------
        InvalidType
            Another estimator: a classifier is made of an MLPClassifier, a regressor of an MLPRegressor.
        Unsupported
            A net with another last activation.
        sklearn.exceptions.NotFittedError
            It is not fitted.
        """
        if not isinstance(estimator, cls._net):
            raise InvalidType(f"{quoted(repr(estimator))}: {cls.__name__}.from_estimator wants a fitted "
                              f"{cls._net.__name__}")
        check_is_fitted(estimator)
        given, names = estimator.get_params(deep=False), cls._get_param_names()
        taken = {name: given[name] for name in names if name in given} | {"warm_start": True}
        made = cls(**taken | ({"solver": "adam"} if given["solver"] == "lbfgs" else {}))
        made.n_features_in_ = estimator.n_features_in_
        for name in COPIED:
            if hasattr(estimator, name):
                setattr(made, name, getattr(estimator, name))
        made.loss_curve_ = list(getattr(estimator, "loss_curve_", ()))
        made.model_ = model_of_mlp(estimator)
        made._shape, made._outputs = made.model_.input_shape, made.model_.output_shape[-1]
        made._state, made._passes = None, 0
        made._take_targets(estimator)
        made.model_.signature = made._made_signature()
        pruning = Pruning(0, made.criterion, made.structure, None, None, made.recipe)
        pruning.none(made.model_)
        made._finish(pruning.result)
        return made

    # --- fitting -----------------------------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight):
        """Train and prune on rows and targets as users give them; after an error the estimator is as before."""
        with kept_on_error(self):
            return self._fit_all(X, y, sample_weight)

    def _fit_all(self, X, y, sample_weight):
        """Fit, for `_fit`."""
        first = not (self.warm_start and hasattr(self, "model_"))
        X, y, weights, random = self._prepared(X, y, sample_weight, first, learn=True)
        fitting = self._fitting(X, y, weights, random)
        if not first:
            self._continue_from(self.model_)
        self.model_.signature = None  # while it learns, it takes what is prepared
        try:
            fitting.run(parameters.seed_of(random))
        finally:
            self.model_.signature = self._made_signature()
        self._passes = math.inf  # of partial_fit: this is pruned as far as it will be
        self.loss_curve_, self.n_iter_, self.loss_ = fitting.losses, len(fitting.losses), fitting.losses[-1]
        early = self.validation_scores_ = fitting.scores if self.early_stopping else None
        self.best_loss_ = None if early else min(fitting.losses)
        self.best_validation_score_ = max(early) if early else None
        self._state = fitting.state
        self._finish(fitting.pruning.result)
        if not fitting.converged:
            warnings.warn(f"training reached max_iter={self.max_iter} epochs and has not converged: raise max_iter or "
                          "learning_rate_init", ConvergenceWarning, stacklevel=4)
        return self

    def _partial_fit(self, X, y, sample_weight, first, learn):
        """Pass once over the rows, then prune as far as the schedule is; after an error the estimator is as before."""
        with kept_on_error(self):
            return self._fit_once(X, y, sample_weight, first, learn)

    def _fit_once(self, X, y, sample_weight, first, learn):
        """Make the pass, for `_partial_fit`."""
        if self.early_stopping:
            raise InvalidValue("partial_fit sees a part of the rows at a time and cannot stop early: set "
                               "early_stopping=False")
        X, y, weights, random = self._prepared(X, y, sample_weight, first, learn)
        fitting, state = self._fitting(X, y, weights, random), None if first else self._state
        self._passes = 1 if first else self._passes + 1
        wanted = parameters.pruning_epochs(self.prune_iter, sys.maxsize, sys.maxsize)
        self.model_.signature = None
        try:
            for step in fitting.train(self.model_, (X, y), epochs=1 if state is None else state.epoch + 1, state=state,
                                      rng=parameters.seed_of(random)):
                fitting.state, fitting.losses = step.state, [step.loss]
            fitting.pruning.after(self.model_, (X, y), min(1.0, self._passes / wanted), parameters.seed_of(random))
            fitting.state.apply_mask()
        finally:
            self.model_.signature = self._made_signature()
        self.loss_curve_ = fitting.losses if first else [*self.loss_curve_, *fitting.losses]
        self.loss_, self.n_iter_ = fitting.losses[-1], 1
        self._state = fitting.state
        self._finish(fitting.pruning.result)
        return self

    def _prepared(self, X, y, sample_weight, first, learn):
        """Return (inputs, targets, weights, random generator); make the model on the first pass."""
        with checked(X, y):
            X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, reset=first,
                                 multi_output=self._several or self._labels, y_numeric=self._numeric)
            y, weights = self._targets(y, sample_weight, first, learn)
        random = check_random_state(self.random_state)
        self._shape = parameters.image_shape(self.image_shape, X.shape[1])
        if first:
            self.model_ = parameters.build(self.hidden_layer_sizes, self.activation, self._shape, self._outputs,
                                           parameters.seed_of(random), X.dtype)
        return self._shaped(X), y, weights, random

    def _shaped(self, X):
        """Return rows as the net takes them; sparse ones stay as they are."""
        return X if issparse(X) else X.reshape(len(X), *self._shape)

    def _fitting(self, X, y, weights, random):
        """Return the Fitting of these inputs, targets and weights, by the parameters."""
        validation = None
        if self.early_stopping:
            X, y, weights, validation = self._held_out(X, y, weights, random)
        batch = parameters.batch_rows(self.batch_size, len(y))
        check_real("alpha", self.alpha, 0)
        bound = partial(train, every=EVERY, optimizer=parameters.optimizer(self.solver, self.learning_rate_init,
                                                              self._decay(batch, weights)),
                        loss=self._loss, batch_size=batch, penalty=parameters.penalties(self.penalty),
                        sample_weight=weights)
        pruning = Pruning(self.sparsity, self.criterion, self.structure, self.distribution, self.schedule, self.recipe)
        epochs = check_count("max_iter", self.max_iter, 1)
        for_pruning = parameters.pruning_epochs(self.prune_iter, epochs, -(-len(y) // batch))
        rule = Convergence(check_real("tol", self.tol, 0), parameters.patience(self.n_iter_no_change))
        return Fitting(self.model_, (X, y), pruning, bound, epochs=epochs, pruning_epochs=for_pruning, rule=rule,
                       validation=validation, report=_write_line if self.verbose else _say_nothing,
                       only_pruned=self._only_pruned)

    def _held_out(self, X, y, weights, random):
        """Return the rows to train on, and the score of a model on the others."""
        arrays = [X, y] if weights is None else [X, y, weights]
        parts = train_test_split(*arrays, random_state=random, test_size=self.validation_fraction,
                                 stratify=y if self._stratify else None)
        X, X_valid, y, y_valid, weights, w_valid = [*parts, None, None][:6]
        if len(y_valid) < FEWEST_VALID:
            raise InvalidValue(f"validation_fraction={self.validation_fraction} of the rows is {len(y_valid)}: raise "
                               "it, or give more rows")
        if w_valid is not None and not np.any(w_valid):
            raise InvalidValue("the weights of all rows that early_stopping holds out are zero: raise "
                               "validation_fraction, or leave out the rows that count nothing")
        return X, y, weights, lambda model: self._score_outputs(model(X_valid), y_valid, w_valid)

    def _finish(self, result):
        """Keep what pruning did, and the frozen net."""
        self.result_ = result
        self.n_layers_, self.n_outputs_ = len(parameters.widths(self.hidden_layer_sizes)) + 2, self._outputs
        self.predictor_ = freeze(compact(self.model_))

    def _made_signature(self):
        """Return the signature, with the names of the columns where they are usable as such."""
        return self._signature(self._shape, parameters.feature_names(self, self._shape))

    # --- predicting --------------------------------------------------------------------------------------------------

    def _answers(self, X):
        """Return the net's outputs (n, k) for rows as users give them."""
        check_is_fitted(self, "predictor_")
        with checked(X):
            X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        return self.predictor_.decision_function(self._shaped(X))

    def export(self, path: Path) -> Self:
        """Write the pruned, compacted net to a file that takes rows as `predict` does.

        Parameters
        ----------
        path : str or path-like
            Its ending says the format: .onnx, .c or .safetensors (which `minnet.load` reads).

        Returns
        -------
        PrunedClassifier or PrunedRegressor
            The estimator itself.

        Raises
        ------
        UnknownName
            Another ending.
        FileError, MissingExtra, Unsupported
            As from `save_onnx`, `save_c` and `save`.
        """
        check_is_fitted(self, "predictor_")
        ending = PurePath(path).suffix.lower()
        if ending not in EXPORTS:
            raise unknown("ending of a file", ending, EXPORTS)
        EXPORTS[ending](compact(self.model_), path)
        return self

    def __getstate__(self):
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "predictor_"}

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "model_"):  # compiled for the machine at hand, in memory of its own
            self.predictor_ = freeze(compact(self.model_))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = self._several
        return tags


@contextmanager
def kept_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Put back the attributes of an estimator where a fit fails, and the model that it trains on by a warm start.

    Else the net of before would predict by the classes or in the units of targets that it has not learnt.
    """
    before, model, state = dict(vars(estimator)), getattr(estimator, "model_", None), getattr(estimator, "_state", None)
    snapshot, signature = (None, None) if model is None else (Snapshot(model), model.signature)
    run = {} if state is None else copy.deepcopy({name: value for name, value in vars(state).items()
                                                  if name not in ("model", "optimizer")})
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        if snapshot is not None:
            snapshot.put_back()
            snapshot.model.signature = signature
        if state is not None:
            vars(state).update(run)
        raise


def _write_line(line):
    sys.stdout.write(f"{line}\n")


def _say_nothing(line):
    """Report nothing."""

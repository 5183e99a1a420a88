"""Read scikit-learn's own nets: a fitted MLPClassifier or MLPRegressor, alone or behind scalers, becomes a Model."""
from dataclasses import replace

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from minnet.errors import InvalidType, Unsupported, quoted
from minnet.estimators.base import PrunedEstimator
from minnet.estimators.mlp import model_of_mlp
from minnet.estimators.parameters import feature_names
from minnet.model import Model


def from_sklearn(estimator: object) -> Model:
    """Make a Model of a fitted MLPClassifier or MLPRegressor, with the same outputs on the same rows.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, PrunedClassifier, PrunedRegressor or Pipeline
        A fitted net; of a Pipeline the last step, before it StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler,
        which become the scaling of the signature.

    Returns
    -------
    Model
        In the dtype of the net, with a signature: names of columns, scaling, and labels or numbers. Of two classes,
        which MLPClassifier tells apart by one output z, the logits are -z / 2 and z / 2: their softmax is the same.
        Where a row has several labels, there is a logit for each.

    Raises
    ------
    InvalidType
        Another estimator.
    Unsupported
        A net with another last activation, or a scaler that clips.
    sklearn.exceptions.NotFittedError
        It is not fitted.
    """
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    *scalers, net = [step for step in steps[:-1] if step not in (None, "passthrough")] + steps[-1:]
    if isinstance(net, PrunedEstimator):
        check_is_fitted(net, "predictor_")
        model = net.model_.clone()
    elif isinstance(net, MLPClassifier | MLPRegressor):
        check_is_fitted(net)
        model = model_of_mlp(net)
    else:
        raise InvalidType(f"{quoted(repr(net))} is no net: give a fitted MLPClassifier or MLPRegressor, or a Pipeline "
                          "that ends in one")
    return _behind(scalers, model, feature_names(steps[0], model.input_shape))


def _behind(scalers, model, names):
    """Return the model with the scaling of these scalers, in order, and the names of the columns."""
    shift, scale = np.zeros(model.input_shape), np.ones(model.input_shape)
    for scaler in scalers:
        check_is_fitted(scaler)
        less, over = _affine(scaler)
        shift, scale = shift + scale * less, scale * over  # ((x - shift) / scale - less) / over
    facts = {"scaling": (shift, scale)} if scalers else {}
    if names is not None:
        facts["feature_names"] = names
    model.signature = replace(model.signature, **facts)
    return model


def _affine(scaler):
    """Return (shift, scale) of a scaler: it computes (x - shift) / scale."""
    if getattr(scaler, "clip", False):
        raise Unsupported(f"{quoted(repr(scaler))} clips, which no scaling does: set clip=False")
    if isinstance(scaler, StandardScaler):
        return (0.0 if scaler.mean_ is None or not scaler.with_mean else scaler.mean_,
                1.0 if scaler.scale_ is None else scaler.scale_)
    if isinstance(scaler, MinMaxScaler):  # x * scale_ + min_
        return -scaler.min_ / scaler.scale_, 1 / scaler.scale_
    if isinstance(scaler, MaxAbsScaler):
        return 0.0, scaler.scale_
    if isinstance(scaler, RobustScaler):
        return (scaler.center_ if scaler.with_centering else 0.0), (scaler.scale_ if scaler.with_scaling else 1.0)
    raise Unsupported(f"{quoted(repr(scaler))} is before the net: only StandardScaler, MinMaxScaler, MaxAbsScaler and "
                      "RobustScaler become a scaling; transform the rows first, and give the net alone")

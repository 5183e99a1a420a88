"""Predict with a Model's own layers, rows shared between threads: what `model(X)` does."""
from functools import partial

import numpy as np

from minnet import threads
from minnet.blas import one_blas_thread
from minnet.engine.tape import Tape
from minnet.fast.choose import predict_shards


def predict_rows(model, tree, X, values=None, shards=None):
    """Return the logits (n, k) of X (n, *input_shape), checked; `tree` is the model's, or rewritten from it.

    `shards` threads share the rows: as many as are worth it unless given.
    """
    out = np.empty((len(X), *model.output_shape), X.dtype)
    shards = predict_shards(model, len(X)) if shards is None else shards
    # Passes of equal length, a multiple of the threads: none waits long for the others.
    passes = shards * -(-len(X) // (shards * model.rows_at_once()))
    rows = -(-len(X) // max(passes, 1)) or 1
    starts = range(0, len(X), rows)
    with one_blas_thread():
        threads.run([partial(_predict, model, tree, X, values, starts[i::shards], rows, out) for i in range(shards)])
    return out


def _predict(model, tree, X, values, starts, rows, out):
    """Compute one thread's share."""
    tape = Tape(model, values)
    for start in starts:
        out[start : start + rows] = tree.forward(X[start : start + rows], tape)

"""Predict with a Model's own layers, rows shared between threads: what `model(X)` does."""
from functools import partial

import numpy as np

from minnet import threads
from minnet.blas import one_blas_thread
from minnet.csr import SparseRows
from minnet.engine.tape import Tape
from minnet.errors import NotFinite
from minnet.fast.choose import predict_shards
from minnet.fast.sparse_rows import reading_csr


def predict_rows(model, tree, X, values=None, shards=None):
    """Return the logits (n, k) of X (n, *input_shape), checked; `tree` is the model's, or rewritten from it.

    `shards` threads share the rows: as many as are worth it unless given.
    """
    reading = reading_csr(tree) if isinstance(X, SparseRows) else None
    out = np.empty((len(X), *model.output_shape), X.dtype)
    shards = predict_shards(model, len(X)) if shards is None else shards
    # Passes of equal length, a multiple of the threads: none waits long for the others.
    passes = shards * -(-len(X) // (shards * model.rows_at_once()))
    rows = -(-len(X) // max(passes, 1)) or 1
    starts, walked = range(0, len(X), rows), reading or tree
    with one_blas_thread():
        threads.run([partial(_predict, model, walked, X, values, starts[i::shards], rows, out, reading is not None)
                     for i in range(shards)])
    return out


def check_logits(out: np.ndarray) -> None:
    """Raise NotFinite where finite inputs gave logits that are not: their argmax would name a class all the same."""
    if np.isfinite(out).all():
        return
    wrong = int(np.count_nonzero(~np.isfinite(out).reshape(len(out), -1).all(axis=1)))
    raise NotFinite(f"{wrong} of {len(out)} rows of X give logits that are NaN or infinite: they are too large for "
                    f"{out.dtype}, or the model's weights are; wanted values as in training")


def _predict(model, tree, X, values, starts, rows, out, sparse):
    """Compute one thread's share; with `sparse` the tree takes a CsrBatch."""
    tape = Tape(model, values)
    with np.errstate(over="ignore", invalid="ignore"):  # logits that are not finite are found in all of them at once
        for start in starts:
            stop = min(start + rows, len(X))
            x = X.batch(np.arange(start, stop)) if sparse else X[start:stop]
            out[start:stop] = tree.forward(x, tape)

"""Training and predictions from rows in CSR: the first layer reads the nonzeros of a batch alone.

    tree = reading_csr(rewrite(model.tree))     # None where the first layer is not a Dense or SparseDense
    logits = tree.forward(X.batch(rows), tape)

The rest of the tree is as for dense rows. The optimizer still moves every weight of a Dense layer, and with wide inputs
that is most of a step; where few weights are live, these alone are moved (see live_weights.py).
"""
from minnet.engine.containers import Sequential
from minnet.engine.sparse import SparseDense
from minnet.fast.rewrite import ZeroBlockDense
from minnet.fast.sharded import ShardedStepper
from minnet.kernels.layers.pointwise import add_bias, column_sums
from minnet.kernels.sparse.rows import rows_backward, rows_backward_live, rows_forward, rows_forward_live


def reading_csr(tree):
    """Return a rewritten tree whose first layer takes a CsrBatch, or None where there is no such layer."""
    if isinstance(tree, ZeroBlockDense):
        return CsrDense(tree.dense)
    if type(tree) is SparseDense:
        return CsrSparseDense(tree)
    if type(tree) is not Sequential or not tree.layers:
        return None
    first = reading_csr(tree.layers[0])
    return first and tree.with_children([first, *tree.layers[1:]])


class CsrDense:
    """A Dense layer that reads the nonzeros of its input."""

    def __init__(self, dense):
        self.dense = dense

    def forward(self, x, tape):
        """Compute y = x W + b from a CsrBatch x (n, in)."""
        dense = self.dense
        y = tape.buffer(dense, "y", (len(x.rows), dense.units))
        self.product(x, tape, y)
        if dense.bias is not None:
            add_bias(dense.bias.of(tape.values), y)
        tape[self] = x
        return y

    def backward(self, dy, tape):
        """Write dW = x' dy and db to the tape; nothing below learns."""
        dense = self.dense
        self.gradient(tape[self], dy, tape)
        if dense.bias is not None:
            column_sums(dy, dense.bias.of(tape.grads))

    def product(self, x, tape, y):
        """Compute y = x W."""
        rows_forward(*x, self.dense.weight.of(tape.values), y)

    def gradient(self, x, dy, tape):
        """Write dW = x' dy."""
        rows_backward(*x, dy, self.dense.weight.of(tape.grads))


class CsrSparseDense(CsrDense):
    """The same of a SparseDense layer: for each nonzero of a row, the live weights of that input."""

    def product(self, x, tape, y):
        """Compute y = x W."""
        places = self.dense.places(tape)
        rows_forward_live(*x, places.indptr, places.indices, self.dense.weight.of(tape.values), y)

    def gradient(self, x, dy, tape):
        """Write dW = x' dy at the live weights."""
        places = self.dense.places(tape)
        rows_backward_live(*x, places.indptr, places.indices, dy, self.dense.weight.of(tape.grads))


class SparseRowsStepper(ShardedStepper):
    """Make one step at a time from rows in CSR, which are never made dense."""

    name = "layers, sparse rows"

    def batch(self, tape, rows):
        """Return the CsrBatch of these rows."""
        return self.job.X.batch(rows)

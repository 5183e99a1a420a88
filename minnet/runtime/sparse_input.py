"""Sparse rows through a frozen net: the first layer reads their nonzeros, a compiled program does the rest.

    reader = sparse_input(nodes, plan, dtype)     # None where another layer than a linear one reads the input
    reader.predict(X, out)                        # X: SparseRows (n, features); out: (n, outputs)

What it needs of the nodes is copied when a model is frozen, of layers with few live weights these alone; the program
is made of that at the first sparse rows.
"""
import copy
from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np

from minnet import threads
from minnet.csr import SparseRows
from minnet.kernels.layers.pointwise import add_bias
from minnet.kernels.program.ops import RUN
from minnet.kernels.sparse.csr import flat_to_csr
from minnet.kernels.sparse.rows import rows_forward, rows_forward_live
from minnet.runtime.emit import emit
from minnet.runtime.graph import LinearNode, Node
from minnet.runtime.passes import first_linear_nodes, redirect
from minnet.runtime.plans import kernels_of
from minnet.runtime.program import Program

ROWS = 256       # that are predicted at a time: their activations stay in the cache
SINGLES = 8      # rows up to which the rest runs row by row
FEW_LIVE = 0.25  # a first layer with at most this share of its weights is kept as these alone


def sparse_input(nodes: Sequence[Node], plan: Sequence[str], dtype: np.dtype) -> "SparseInput | None":
    """Return the SparseInput of the nodes of a net (see graph.py), which it changes, or None where there is none.

    There is one where rows, not images, are read by one linear layer alone, whose weights are floats.
    """
    readers = first_linear_nodes(nodes) if len(nodes[0].shape) == 1 else []
    if len(readers) != 1 or readers[0].scale is not None:
        return None
    return SparseInput(nodes, readers[0], plan, dtype)


class SparseInput:
    """The first layer's weights, and the nodes behind it."""

    def __init__(self, nodes: Sequence[Node], first: LinearNode, plan: Sequence[str], dtype: np.dtype) -> None:
        self.dtype, self.units, self.bias = dtype, first.units, np.array(first.bias, dtype)
        source = Node([], first.shape)
        redirect(nodes, first, source)
        behind = list(nodes).index(first) + 1  # before it are the input and its reshapes
        self.rest, self.plan = [source, *nodes[behind:]], plan[1:]
        self.packed = [_packed(node) for node in self.rest if isinstance(node, LinearNode)]
        self.weight = first.matrix().copy() if first.density > FEW_LIVE else _live_weights(first)

    @cached_property
    def programs(self) -> dict[int, Program]:
        """The programs of the rest by the rows of a tile; none where the first layer is the last."""
        rest = copy.deepcopy(self.rest)  # several threads may ask for them at once
        linear = (node for node in rest if isinstance(node, LinearNode))
        for node, (size, places, values) in zip(linear, self.packed, strict=True):
            node.entries = np.zeros(size, values.dtype)
            node.entries[places] = values
        tiles = (1, RUN) if len(rest) > 1 else ()
        return {tile: emit(rest, kernels_of(self.plan, rest, tile), tile, self.dtype) for tile in tiles}

    @property
    def nbytes(self) -> int:
        """Return the bytes of the weights that it keeps, and of its programs once they are made."""
        first = self.weight if isinstance(self.weight, tuple) else (self.weight,)
        kept = [*first, self.bias, *(array for _, *arrays in self.packed for array in arrays)]
        made = self.__dict__.get("programs", {}).values()
        return sum(array.nbytes for array in kept if isinstance(array, np.ndarray)) + \
            sum(program.nbytes for program in made)

    def predict(self, X: SparseRows, out: np.ndarray) -> None:
        """Write the logits of the rows to `out` (n, outputs); threads share them."""
        starts = range(0, len(X), ROWS)
        shards = max(1, min(threads.n_threads(), len(starts)))
        programs = self.programs  # made before threads ask for them
        threads.run([partial(self._predict, programs, X, out, starts[i::shards]) for i in range(shards)])

    def _predict(self, programs, X, out, starts):
        """Do one thread's share."""
        for start in starts:
            rows = np.arange(start, min(start + ROWS, len(X)))
            y = self.first(X, rows)
            if programs:
                programs[1 if len(rows) <= SINGLES else RUN].run_serial(y, 0, len(y), out[start : start + ROWS])
            else:
                out[start : start + ROWS] = y

    def first(self, X: SparseRows, rows: np.ndarray) -> np.ndarray:
        """Return the first layer's outputs y = x W + b of these rows."""
        y = np.empty((len(rows), self.units), self.dtype)
        if isinstance(self.weight, tuple):
            rows_forward_live(*X.batch(rows), *self.weight, y)
        else:
            rows_forward(*X.batch(rows), self.weight, y)
        add_bias(self.bias, y)
        return y


def _packed(node):
    """Take the weights out of a node, which are the model's own: (size, places, values), of few live ones these."""
    entries, places = node.entries, slice(None)
    if node.index is not None:
        node.index = node.index.copy()
    elif node.density <= FEW_LIVE:
        places = np.flatnonzero(entries).astype(np.int32)
    node.entries = entries[:0].copy()
    return len(entries), places, entries[places].copy()


def _live_weights(node):
    """Return (indptr, indices, weights), CSR by input, of a node's weights that are not 0."""
    positions, weights = node.live()
    indptr, indices = np.empty(node.full[0] + 1, np.int64), np.empty(len(weights), np.int32)
    flat_to_csr(positions.astype(np.int64), node.units, indptr, indices)
    return indptr, indices, weights.copy()

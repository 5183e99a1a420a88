"""Model: a tree of layers over one vector of values.

    model = Model(Sequential(Dense(300), ReLU(), Dense(10)), (784,), rng=0)
    logits = model(X)
    model.parameters["dense1.weight"].value      # a view; model.values is the whole vector
    model.set_mask(mask)                          # what is masked is +0.0 from now on

This is the reference: one thread, layer by layer. minnet/model.py makes predictions of it that threads share.
"""
import math
import re
from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType
from typing import Self

import numpy as np

from minnet.arrays import check_X
from minnet.blas import one_blas_thread
from minnet.engine.containers import build_child
from minnet.engine.layer import Layer, rebuild
from minnet.engine.rng import as_rng
from minnet.engine.space import Coupling, couple
from minnet.engine.summary import Summary
from minnet.engine.tape import Tape
from minnet.engine.vector import Parameter, lay_out
from minnet.errors import InvalidType, InvalidValue, check_count, quoted
from minnet.kernels.steps import zero_masked
from minnet.typing import Seed

PREDICT_ROWS = 256                # rows that one pass of `model(X)` takes at most
PREDICT_BYTES = 32 * 2**20        # and what they and its buffers may hold: about a third-level cache
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


class Model:
    """A tree of layers, an input shape (without the batch), and one flat vector with its mask.

    The tree given is copied, and every layer of the copy gets a name: its own, or its kind and a number. `values` and
    `mask` are written through, never rebound. Raises InvalidValue where shapes do not fit.
    """

    def __init__(self, tree: Layer, input_shape: int | Sequence[int], *, rng: Seed = None,
                 dtype: type | str = np.float32):
        self.input_shape = tuple(check_count("input_shape", n, 1) for n in np.atleast_1d(input_shape).tolist())
        if dtype not in (np.float32, np.float64, "float32", "float64"):
            raise InvalidType(f"dtype={quoted(repr(dtype))}: a model computes in float32 or float64")
        self.dtype = np.dtype(dtype)
        if not isinstance(tree, Layer):
            raise InvalidType(f"tree={quoted(repr(tree))}: give a layer, mostly a Sequential")
        self.tree = rebuild(tree)
        name_layers(self.tree)
        self.output_shape, declared = build_child(self.tree, self.input_shape)
        placed, self.n_weights, self.n_trainable, length = lay_out(declared)
        self.values = np.zeros(length, self.dtype)
        self.mask = np.ones(length, bool)
        self.signature = None  # what rows and labels are outside: None takes arrays as given
        self.topology = 0  # goes up when positions of a parameter born sparse move
        self.parameters = MappingProxyType({p.name: p for p in self._bind(placed)})
        self.tree.trace(False)
        if rng is not False:
            self._initialise(declared, as_rng(rng))

    def _bind(self, placed):
        """Make each Parameter and hand it to its layer."""
        for item, window in placed:
            shape = item.shape if item.index is None else (item.size,)
            value, mask = self.values[window].reshape(shape), self.mask[window].reshape(shape)
            name = f"{item.layer.name}.{item.kind}"
            index = None if item.index is None else np.array(item.index)
            parameter = Parameter(name, item.kind, window, item.shape, index, value, mask)
            setattr(item.layer, item.kind, parameter)
            yield parameter

    def _initialise(self, declared, rng):
        """Every parameter has a stream of its own, so a change in one does not move the others."""
        for item, stream in zip(declared, rng.spawn(len(declared)), strict=True):
            parameter = getattr(item.layer, item.kind)
            parameter.value[...] = item.initialise(stream, parameter.shape if item.index is None else item)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers that hold no others, by name, in the order of the pass."""
        return {layer.name: layer for layer in self.tree.leaves()}

    @property
    def weights(self) -> np.ndarray:
        """The first zone of the values: all that can be pruned; a view."""
        return self.values[: self.n_weights]

    @property
    def weight_parameters(self) -> list[Parameter]:
        """The parameters of the first zone, in the order of the vector."""
        return [p for p in self.parameters.values() if p.kind == "weight"]

    @property
    def density(self) -> float:
        """The fraction of weights that remain."""
        total = sum(p.size for p in self.weight_parameters)
        return int(np.count_nonzero(self.mask[: self.n_weights])) / total if total else 1.0

    @property
    def sparsity(self) -> float:
        """The fraction of weights removed."""
        return 1.0 - self.density

    @property
    def n_parameters(self) -> int:
        """Trainable numbers that the mask lets live, biases included."""
        return int(np.count_nonzero(self.mask[: self.n_trainable]))

    @property
    def macs(self) -> int:
        """Multiply-adds of one prediction, counting live weights only (a border counts like the middle)."""
        return sum(layer.positions * int(np.count_nonzero(p.mask))
                   for layer in self.layers.values() for p in layer.parameters if p.kind == "weight")

    def set_mask(self, mask: np.ndarray) -> None:
        """Take a mask: what it cuts becomes +0.0, what it frees is 0.

        Parameters
        ----------
        mask : numpy.ndarray of bool
            Shape (len(values),), True where an entry is live; True throughout the statistics.

        Raises
        ------
        InvalidValue
            It has another length or dtype, or cuts statistics.
        """
        mask = np.asarray(mask)
        if mask.shape != self.mask.shape or mask.dtype != bool:
            raise InvalidValue(f"a mask is bool and has the length {len(self.mask)} of the whole vector, got "
                               f"{mask.dtype} of shape {mask.shape}")
        if not mask[self.n_trainable :].all():
            raise InvalidValue("a mask may not cut statistics (running mean and variance): leave the third zone True")
        self.mask[:] = mask
        zero_masked(self.mask, self.values)

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the logits of a batch `x` (n, *input_shape), contiguous; they are in the tape's buffers."""
        return self.tree.forward(x, tape)

    def backward(self, dlogits: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Write the gradient to `tape.grads`; return that of the input if the tape wants it."""
        return self.tree.backward(dlogits, tape)

    def couple(self, free_inputs: bool = False) -> Coupling:
        """Return the Coupling: which axes of which parameters carry the same units.

        With `free_inputs` features of the input may be removed: single numbers where the tree flattens them first, else
        channels. By default they are fixed.
        """
        features = math.prod(self.input_shape) if self.tree.flattens else self.input_shape[-1]
        return couple(self, features if free_inputs else None)

    def __call__(self, X, values: np.ndarray | None = None) -> np.ndarray:
        """Return the logits (n, k) of the rows or images `X`, in use (no dropout, running statistics), batch by batch.

        `values` asks "what if the weights were these". Raises InvalidValue for a wrong shape, NaN or infinity.
        """
        tape, rows = Tape(self, values), self.rows_at_once()
        X = self.inputs(X, tape.dtype)
        out = np.empty((len(X), *self.output_shape), tape.dtype)
        with one_blas_thread():
            for start in range(0, len(X), rows):
                out[start : start + rows] = self.forward(X[start : start + rows], tape)
        return out

    def inputs(self, X, dtype: type | str | np.dtype | None = None) -> np.ndarray:
        """Return raw rows as the layers take them: checked and scaled by the signature, as given where there is none.

        Of a sparse matrix they are SparseRows: batches of them are dense.
        Raises InvalidValue for a wrong shape, NaN or infinity.
        """
        dtype = self.dtype if dtype is None else dtype
        return check_X(X, self.input_shape, dtype) if self.signature is None else self.signature.rows(X, dtype)

    def without_signature(self) -> Self:
        """Return this model, the same values, mask and layers, as it takes inputs that are scaled already."""
        if self.signature is None:
            return self
        view = object.__new__(type(self))
        vars(view).update(vars(self))
        view.signature = None
        return view

    def rows_at_once(self) -> int:
        """Return how many rows one pass takes, so that its rows and buffers stay within PREDICT_BYTES."""
        shapes = [self.input_shape, *(layer.output_shape for layer in self.layers.values())]
        per_row = sum(map(math.prod, shapes)) * self.dtype.itemsize
        return max(1, min(PREDICT_ROWS, PREDICT_BYTES // max(per_row, 1)))

    def config(self) -> dict:
        """Return JSON that rebuilds the architecture: {"tree": ..., "input_shape": ..., "dtype": ...}."""
        return {"tree": self.tree.config(), "input_shape": list(self.input_shape), "dtype": self.dtype.name}

    @classmethod
    def blank(cls, tree: Layer, input_shape: int | Sequence[int], dtype: type | str = np.float32) -> Self:
        """Return a model whose values are all 0, to be filled by the caller."""
        return cls(tree, input_shape, rng=False, dtype=dtype)

    def clone(self, dtype: type | str | None = None) -> Self:
        """Return a model of its own with the same bits (or the same numbers in another dtype)."""
        copy = self.blank(self.tree, self.input_shape, dtype or self.dtype)
        copy.values[:] = self.values
        copy.mask[:] = self.mask
        for name, p in self.parameters.items():
            if p.index is not None:
                copy.parameters[name].index[:] = p.index
        copy.signature = self.signature
        return copy

    def __getstate__(self):
        """Return what a copy or a pickle needs: the tree, unbuilt, and the numbers, without the views onto them."""
        index = {name: p.index for name, p in self.parameters.items() if p.index is not None}
        return {"tree": rebuild(self.tree), "input_shape": self.input_shape, "dtype": self.dtype.name,
                "values": self.values, "mask": self.mask, "topology": self.topology, "index": index,
                "signature": self.signature}

    def __setstate__(self, state):
        """Build the model anew and fill it."""
        self.__init__(state["tree"], state["input_shape"], rng=False, dtype=state["dtype"])
        self.values[:], self.mask[:], self.topology = state["values"], state["mask"], state["topology"]
        self.signature = state["signature"]
        for name, index in state["index"].items():
            self.parameters[name].index[:] = index

    def summary(self) -> Summary:
        """Return a table, printable, with each layer's name, shape, weights, remaining, sparsity and MACs."""
        return Summary(self)

    def __repr__(self):
        return f"Model({self.tree!r}, {self.input_shape}, dtype=np.{self.dtype.name})"


def name_layers(tree):
    """Give every layer of a tree a name: its own, or its kind and the next free number."""
    taken = [layer.name for layer in _all(tree) if layer.name is not None]
    for name in taken:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InvalidValue(f"the layer name {quoted(repr(name))} must be letters, digits, _ and -")
    twice = [name for name, times in Counter(taken).items() if times > 1]
    if twice:
        raise InvalidValue(f"two layers are called {twice[0]!r}: names must differ")
    numbers, taken = Counter(), set(taken)
    for layer in _all(tree):
        while layer.name is None:
            numbers[layer.prefix] += 1
            name = f"{layer.prefix}{numbers[layer.prefix]}"
            layer.name = None if name in taken else name


def _all(layer):
    """Yield a layer and everything inside it, in the order of the pass."""
    yield layer
    for child in layer.children():
        yield from _all(child)

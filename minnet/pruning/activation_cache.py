"""Keep the activations of one pass, and continue it from the middle with another output of one layer.

    cache = ActivationCache(model, x, values)           # inputs and outputs of every layer on the rows x
    logits = cache.forward_from(layer, y, rows, tape)   # y: that layer's output for x[rows], however changed

The rows of y may repeat an image many times, as the deletions of single weights do.
"""
from collections.abc import Sequence

import numpy as np

from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.layer import Layer
from minnet.engine.model import Model
from minnet.engine.product import Product
from minnet.engine.tape import Tape


class ActivationCache:
    """One inference pass over the rows `x`, with the input and output of every layer (containers too) kept."""

    def __init__(self, model: Model, x: np.ndarray, values: np.ndarray) -> None:
        self.tree = model.tree
        self.inputs: dict[Layer, np.ndarray] = {}
        self.outputs: dict[Layer, np.ndarray] = {}
        self.logits = self._forward(model.tree, x, Tape(model, values))

    def _forward(self, layer, x, tape):
        """Return `layer.forward(x, tape)`, copied."""
        if isinstance(layer, Sequential):
            y = x
            for child in layer.layers:
                y = self._forward(child, y, tape)
        elif isinstance(layer, Residual):
            straight = self._forward(layer.branch, x, tape)
            y = straight + (x if layer.shortcut is None else self._forward(layer.shortcut, x, tape))
        elif isinstance(layer, Product):
            a = self._forward(layer.branch, x, tape)
            y = layer.combine(a, x if layer.other is None else self._forward(layer.other, x, tape))
        elif isinstance(layer, Concat):
            y = np.concatenate([self._forward(branch, x, tape) for branch in layer.branches], axis=-1)
        else:
            y = layer.forward(x, tape).copy()
        self.inputs[layer], self.outputs[layer] = x, y
        return y

    def forward_from(self, leaf: Layer, y: np.ndarray, rows: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the logits when `leaf` gives `y` for the cached rows `rows`, in buffers of the tape."""
        return self._forward_from(self.tree, leaf, y, rows, tape)

    def _forward_from(self, layer, leaf, y, rows, tape):
        """Return the output of `layer`, which contains `leaf`."""
        if layer is leaf:
            return y
        inside = next(child for child in layer.children() if any(leaf is below for below in child.leaves()))
        y = self._forward_from(inside, leaf, y, rows, tape)
        if isinstance(layer, Sequential):
            for child in layer.layers[layer.layers.index(inside) + 1 :]:
                y = child.forward(y, tape)
            return y
        if isinstance(layer, Residual | Product):
            other = next((child for child in layer.children() if child is not inside), None)
            theirs = (self.inputs[layer] if other is None else self.outputs[other])[rows]
            return y + theirs if isinstance(layer, Residual) else layer.combine(y, theirs)
        sides = [y if branch is inside else self.outputs[branch][rows] for branch in layer.branches]
        return np.concatenate(sides, axis=-1)

    def after(self, leaf: Layer) -> Sequence[Layer]:
        """Return the layers that follow `leaf` directly in its Sequential, in order; none in another container."""
        holder = _holder(self.tree, leaf)
        return holder.layers[holder.layers.index(leaf) + 1 :] if isinstance(holder, Sequential) else ()


def _holder(layer, leaf):
    """Return the container that holds `leaf` directly."""
    for child in layer.children():
        if child is leaf:
            return layer
        found = _holder(child, leaf)
        if found is not None:
            return found
    return None

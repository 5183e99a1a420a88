"""What if one layer's output were another? A pass that is kept, and taken up again in the middle.

    kept = Kept(model, x, values)                       # inputs and outputs of every layer on the rows x
    logits = kept.resume(layer, y, rows, tape)          # y: that layer's output for x[rows], however changed

The rows of y may repeat an image many times, as the deletions of single weights do.
"""
import numpy as np

from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.tape import Tape


class Kept:
    """One pass over the rows `x` in use, with every layer's input and output kept (containers' too)."""

    def __init__(self, model, x, values):
        self.tree = model.tree
        self.inputs, self.outputs = {}, {}
        self.logits = self._forward(model.tree, x, Tape(model, values))

    def _forward(self, layer, x, tape):
        """`layer.forward`, with copies."""
        if isinstance(layer, Sequential):
            y = x
            for child in layer.layers:
                y = self._forward(child, y, tape)
        elif isinstance(layer, Residual):
            straight = self._forward(layer.branch, x, tape)
            y = straight + (x if layer.shortcut is None else self._forward(layer.shortcut, x, tape))
        elif isinstance(layer, Concat):
            y = np.concatenate([self._forward(branch, x, tape) for branch in layer.branches], axis=-1)
        else:
            y = layer.forward(x, tape).copy()
        self.inputs[layer], self.outputs[layer] = x, y
        return y

    def resume(self, leaf, y, rows, tape):
        """The logits when `leaf` gives `y` for the kept images `rows`; lives in the tape's buffers."""
        return self._resume(self.tree, leaf, y, rows, tape)

    def _resume(self, layer, leaf, y, rows, tape):
        """The output of `layer`, inside which `leaf` stands."""
        if layer is leaf:
            return y
        inside = next(child for child in layer.children() if any(leaf is below for below in child.leaves()))
        y = self._resume(inside, leaf, y, rows, tape)
        if isinstance(layer, Sequential):
            for child in layer.layers[layer.layers.index(inside) + 1 :]:
                y = child.forward(y, tape)
            return y
        if isinstance(layer, Residual):
            other = next((child for child in layer.children() if child is not inside), None)
            return y + (self.inputs[layer] if other is None else self.outputs[other])[rows]
        sides = [y if branch is inside else self.outputs[branch][rows] for branch in layer.branches]
        return np.concatenate(sides, axis=-1)

    def after(self, leaf):
        """The layers that follow `leaf` directly in its Sequential, in order; none in another container."""
        holder = _holder(self.tree, leaf)
        return holder.layers[holder.layers.index(leaf) + 1 :] if isinstance(holder, Sequential) else ()


def _holder(layer, leaf):
    """The container that holds `leaf` directly."""
    for child in layer.children():
        if child is leaf:
            return layer
        found = _holder(child, leaf)
        if found is not None:
            return found
    return None

"""What follows a linear layer and is computed with it in C: BatchNorm in its weights, a max pool after it.

The numbers are those of a frozen net: BatchNorm is folded as `freeze` does it, and weights are quantised after that.
"""
from collections.abc import Iterable, Iterator

import numpy as np

from minnet.engine.activations import Activation
from minnet.engine.containers import Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.layer import Layer, find_row
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.padding import Window
from minnet.engine.pooling import Flatten, MaxPool2d
from minnet.engine.quantise import is_linear, to_int8
from minnet.engine.unit_weights import UnitWeights


class Linear(UnitWeights):
    """A linear layer with its weights as C has them, and the layers that are computed with it.

    The bias is in float64. `members` are the layers whose work it does, in order, and `pool` is the window of a max
    pool among them.
    """

    def __init__(self, layer: Layer) -> None:
        weight = layer.weight
        self.layer, self.members, self.name = layer, [layer], layer.name
        self.entries, self.index, self.full = weight.value.reshape(-1), weight.index, weight.shape
        self.bias = np.zeros(self.units) if layer.bias is None else layer.bias.value.astype(np.float64)
        self.window: Window | None = getattr(layer, "window", None)
        self.pool: Window | None = None
        self.input_shape, self.output_shape = layer.input_shape, layer.output_shape
        self.factor = np.ones(self.units)    # of each unit's weights, by what was folded

    def fold(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Replace the output y by scale * y + shift, by unit."""
        super().fold(scale, shift)
        self.factor = self.factor * scale

    def take_pool(self, layer: MaxPool2d) -> None:
        """Take a max pool that follows."""
        self.pool, self.output_shape = layer.window, layer.output_shape
        self.members.append(layer)

    def divide(self, divisor: float) -> None:
        """Divide the weights by what the inputs are divided by."""
        super().divide(divisor)
        self.factor = self.factor / divisor

    def unfolded(self, entries: np.ndarray) -> np.ndarray:
        """Return the weights of the layer itself for which folded ones are these."""
        return entries / np.where(self.factor == 0, 1, self.factor)[self.unit]

    def to_int8(self, by: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights as whole numbers, and the scale of each unit."""
        return to_int8(self.entries, self.index, self.units, by)


def steps(layers: Iterable[Layer]) -> Iterator[Layer | Linear]:
    """Yield what a chain computes, one after the other: layers, and Linear in place of linear ones and their like.

    BatchNorm after a linear layer is folded. A max pool whose windows neither overlap nor are padded is taken into the
    convolution before it, also over an increasing activation f, since max f(x) = f(max x), which is yielded after it.
    """
    left = list(flattened(layers))
    while left:
        layer = left.pop(0)
        if not is_linear(layer):
            yield layer
            continue
        step = Linear(layer)
        while left and isinstance(left[0], BatchNorm):
            norm = left.pop(0)
            step.fold(*norm.scale_and_offset())
            step.members.append(norm)
        after = 1 if left and isinstance(left[0], Activation) and left[0].increasing else 0
        if find_row({Conv2d: True}, layer) and layer.groups == 1 and left[after:] and can_pool(left[after]):
            step.take_pool(left.pop(after))
        yield step


def can_pool(layer: Layer) -> bool:
    """Return whether a layer is a max pool of windows that neither overlap nor are padded."""
    if find_row({MaxPool2d: True}, layer) is None or layer.window.padded:
        return False
    return all(k <= s for k, s in zip(layer.window.kernel, layer.window.stride, strict=True))


def flattened(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield the layers of a chain, those of chains in it too, without what does nothing in use."""
    for layer in layers:
        if find_row({Sequential: True}, layer):
            yield from flattened(layer.layers)
        elif find_row({Dropout: True}, layer) is None:
            yield layer


def first_is_linear(tree: Layer) -> bool:
    """Return whether the input, flattened or not, is read by a single linear layer."""
    first = [layer for layer in flattened([tree]) if find_row({Flatten: True}, layer) is None][:1]
    return bool(first) and is_linear(first[0])

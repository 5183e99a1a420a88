"""Ends of nets of other frameworks: one probability, the sigmoid of a number z, becomes the logits of two classes.

    end = two_logits(items, end)        # numbers of items of onnx_tree.py: the net now gives -z / 2 and z / 2

The softmax of -z / 2 and z / 2 has the second column 1 / (1 + exp(-z)), and halves of floats are exact. Neither logit
is 0, so that no weight looks pruned.
"""
import numpy as np

from minnet.engine.dense import Dense
from minnet.formats.onnx_tree import Item

HALVES = (-0.5, 0.5)


def two_logits(items: list[Item], end: int) -> int:
    """Let the net that ends in the item `end`, with one output z, give two logits; return the number of the last item.

    A Dense layer that only the end reads gets a second unit; after any other comes a Dense layer of two units.
    """
    item = items[end]
    read = any(end in other.inputs for other in items)
    if isinstance(item.layer, Dense) and not read:
        item.layer.units = len(HALVES)
        item.values = {kind: array * np.array(HALVES, array.dtype) for kind, array in item.values.items()}
        return end
    items.append(Item(Dense(len(HALVES), use_bias=False), (end,), {"weight": np.array([HALVES], np.float32)},
                      item.label))
    return len(items) - 1

"""Compile what `minnet prune` needs last, while it compiles what it needs first: `python -m minnet.cli.ahead`.

Compiled kernels are shared by all processes, so this only has to call them on a small model: those that train a pruned
model, and those that run a frozen one.
"""
import numpy as np

from minnet.models import lenet_300_100
from minnet.pruning.prune import prune
from minnet.runtime.linear import DENSE
from minnet.runtime.rates import layer_seconds, sparse_layer
from minnet.study.settings import SPARSITY, Settings
from minnet.study.training import training_arguments
from minnet.training import train

SHAPE, CLASSES, ROWS = (8, 8, 1), 10, 64


def main() -> None:
    """Train a pruned model for one epoch and run a frozen layer."""
    model = lenet_300_100(SHAPE, CLASSES, rng=0)
    prune(model, SPARSITY)
    data = np.zeros((ROWS, *SHAPE), model.dtype), np.arange(ROWS) % CLASSES
    next(train(model, data, epochs=1, rng=0, **training_arguments(Settings(), ROWS)))
    layer_seconds(sparse_layer(1, 1), DENSE, 1)


if __name__ == "__main__":
    main()

"""The engine: vector, layers, losses, optimizers, state, training, metrics. It knows of pruning only the mask."""

"""Random models for Hypothesis, which are those of `minnet.testing`, and what several tests ask of them."""
import numpy as np

from minnet.testing.small import MASKS, STATISTICS, mask_units, random_input, random_mask, randomise
from minnet.testing.trees import ACTIVATIONS, compiled_models, masked_models, models, trees

__all__ = ["ACTIVATIONS", "MASKS", "STATISTICS", "compiled_models", "mask_units", "masked_models", "models",
           "random_input", "random_mask", "randomise", "seen", "trees"]


def seen(layer, tape, units):
    """What the weight of a layer sees of the units that its rows read: (n, places, units)."""
    grouped = getattr(layer, "groups", 1) > 1
    rows = layer.unfolded_groups(tape) if grouped else layer.unfolded_input(tape)[..., None]
    n = len(rows) // layer.positions
    return np.moveaxis(rows.reshape(n, -1, len(units), rows.shape[-1]), -1, 1).reshape(n, -1, len(units)).copy()

"""Randomness is an argument: None, a whole number or a numpy Generator."""
import numpy as np

from minnet.errors import InvalidType, InvalidValue, quoted
from minnet.typing import Seed

SEED_RANGE = 2**63


def as_rng(rng: Seed) -> np.random.Generator:
    """Return the Generator that `rng` means: itself, or a new one from a seed; None takes its seed from the system."""
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(as_seed(rng))


def as_seed(rng: Seed) -> int:
    """Return a whole number that stands for `rng`: a seed itself, a draw from a Generator, or one from the system."""
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(SEED_RANGE))
    if rng is None:
        return int(np.random.SeedSequence().entropy % SEED_RANGE)
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        raise InvalidType(f"rng={quoted(repr(rng))}: give None, a whole number or a numpy Generator")
    if rng < 0:
        raise InvalidValue(f"rng={rng}: a seed is a whole number of at least 0")
    return int(rng)

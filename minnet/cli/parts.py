"""The parts of a Dataset by name, as a command's option gives it."""
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # NumPy is loaded by `run` alone
    import numpy as np

    from minnet.data import Dataset

PARTS = ("test", "valid", "train", "all")


def part_of(data: Dataset, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y) of the part `name`; "all" concatenates train, valid and test."""
    from minnet.csr import join_rows

    parts = ("train", "valid", "test") if name == "all" else (name,)
    X, y = (join_rows([getattr(data, f"{letter}_{part}") for part in parts]) for letter in "Xy")
    return X, y

"""The parts of a Dataset by name, as commands let the user choose."""
PARTS = ("test", "valid", "train", "all")


def part_of(data, name):
    """(X, y) of the part `name`; "all" is the three, one after the other: train, valid, test."""
    import numpy as np

    if name != "all":
        return getattr(data, f"X_{name}"), getattr(data, f"y_{name}")
    order = ("train", "valid", "test")
    return tuple(np.concatenate([getattr(data, f"{letter}_{part}") for part in order]) for letter in "Xy")

"""Draw the rows of the training, validation and test part, so that each class has its share in each.

    rest, valid, test = split_rows(raw, codes, classes, 0, None, None)

Official parts stay what they are.
"""
import numpy as np

from minnet.data.sources import Raw
from minnet.errors import InvalidValue, check_fraction, listed, quoted
from minnet.typing import Seed

TEST = 0.2  # of all samples: with fewer than 360 test digits a mean over seeds hides a point
VALID = 0.1  # of all samples
OFFICIAL_VALID = 1 / 12  # of the 60,000 training images of MNIST: 5,000
SEEDS = 2**32  # scikit-learn takes seeds below


def split_rows(raw: Raw, y: np.ndarray, classes: np.ndarray, rng: Seed, valid: float | None,
               test: float | None, other: str = "") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sorted indices of the three parts; each class has its share in each part that is drawn.

    `other` is what `class_column` says of another column of a table.
    """
    n = len(y)
    rest, middle, last = np.split(np.arange(n), [n - raw.n_test - raw.n_valid, n - raw.n_test])
    for name, share, size in (("test", test, raw.n_test), ("valid", valid, raw.n_valid)):
        if size and share is not None:
            raise InvalidValue(f"{name}={share}: {raw.name} has its official {name} part of {size}; leave {name} away")
    generator = _generator(rng)
    if not raw.n_test:
        size = round(check_fraction("test", TEST if test is None else test) * (n - raw.n_valid))
        rest, last = _draw(rest, y, size, classes, "test", generator, other)
    if not raw.n_valid:
        share = (OFFICIAL_VALID if raw.n_test else VALID) if valid is None else valid
        size = round(check_fraction("valid", share) * (n - raw.n_test))
        rest, middle = _draw(rest, y, size, classes, "valid", generator, other)
    missing = np.setdiff1d(np.arange(len(classes)), y[rest])
    if missing.size:
        raise InvalidValue(f"{missing.size} of {len(classes)} classes have no training sample: "
                           f"{listed(classes[missing].tolist())}; mend these labels, take their rows out, or give "
                           "other parts, --test FILE and --valid FILE (in Python also other shares, test= and valid=)")
    return rest, middle, last


def _draw(rows, y, size, classes, name, generator, other):
    """Draw `size` of the rows, stratified by class; return (rest, part)."""
    if size == 0:
        return rows, rows[:0]
    left = len(rows) - size
    present = np.unique(y[rows])
    if min(size, left) < len(present):
        many = f", for {len(classes)} classes" * (len(classes) > 1)
        problem = f"{name} would have {size} samples and {max(left, 0)} would be left{many}"
        raise InvalidValue(f"{problem}; give more samples, or --test FILE and --valid FILE (in Python also other "
                           "shares, test= and valid=)")
    counts = np.bincount(y[rows])[present]
    if len(classes) > 1 and counts.min() < 2:
        label = quoted(repr(classes[present[counts.argmin()]].item()))
        raise InvalidValue(f"class {label} has 1 sample left for {name} and training; wanted at least 2: take that "
                           f"class out, or bring a {name} part of its own: --{name} FILE (in Python also {name}=0); if "
                           f"another column holds the classes, name it: --target{other}")
    from sklearn.model_selection import train_test_split

    seed = int(generator.integers(SEEDS))
    by = y[rows] if len(classes) > 1 else None
    rest, part = train_test_split(rows, test_size=size, stratify=by, random_state=seed)
    return np.sort(rest), np.sort(part)


def _generator(rng):
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"rng={quoted(repr(rng))}; wanted a whole number of at least 0, or a Generator") from error

"""Test error by kilobytes of exported C: `python -m bench error_by_kilobyte`.

    python -m bench error_by_kilobyte            # a quarter of an hour; writes bench/results/error_by_kilobyte.json
    python -m bench error_by_kilobyte --quick    # a small net on digits: to see that it runs

A net is trained densely and then loses weights by magnitude in steps, each with epochs of training in which the
learning rate falls along a cosine. After each step the compacted net is exported in every form: bytes are those of the
object's .rodata by `size -A` at -O2 (weights, places, counts, biases, scales, windows: all constants), errors those of
the compiled C on the test part. A run that the file of results has already is not trained again.

Images of MNIST, of 28 x 28, are sampled at 16 x 16 places as BitNetMCU's are, or at all: each place reads the image,
smoothed by the triangle of half a width of 28/16 pixels as a resize does, between four pixels. For training each image
is rotated, scaled and shifted anew in each epoch, drawn evenly from +- 10 degrees, 0.9 to 1.1, and +- 10 % of the width
either way; that is written here, for whole batches, by the same sampling. All 60,000 rows are trained on, and the test
part is looked at after the last step alone. One trial on 55,000 of them, judged by the others, said how many weights
take how many bytes; nothing was chosen by the test part.
"""
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

import minnet as mn
from bench.c_accuracy import FORMS
from bench.c_size import RESULTS, error_of, sections
from minnet.files import check_writable, write_whole

DEGREES, SHIFT, ZOOM = 10, 0.1, 0.1
PUBLISHED = (("BitNetMCU, CNN of 2 bits", 11.0 * 1024, 0.47), ("BitNetMCU, MLP of 4 bits", 12.3 * 1024, 0.98))
DECAY, MOMENTUM, BATCH = 1e-4, 0.9, 100
LEAST_POOLED = 6       # the side of the smallest image that is pooled


class Run(NamedTuple):
    """A net's filters, the side of its images, and steps of (weights that are left or None, learning rate, epochs)."""

    data: str
    widths: tuple
    side: int
    steps: tuple
    seeds: tuple = (0,)
    augmented: bool = True


RUNS = {
    "MNIST, 16 x 16": Run("mnist", (16, 32, 32), 16, ((None, 0.1, 9), (6500, 0.05, 10), (3500, 0.05, 4)), (0, 1, 2)),
    "MNIST, 28 x 28": Run("mnist", (8, 16, 32), 28, ((None, 0.1, 8), (3000, 0.05, 6))),
    "digits, 8 x 8": Run("digits", (16, 32), 8, ((None, 0.1, 20), (1500, 0.05, 20), (700, 0.05, 20)), (0, 1, 2), False),
}


def smoothed(images, half):
    """Images (n, h, w), each pixel the mean of those within `half` pixels, weighted by a triangle; 0 outside."""
    reach = int(np.ceil(half)) - 1
    weights = np.maximum(1 - np.abs(np.arange(-reach, reach + 1)) / half, 0)
    weights /= weights.sum()
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (reach, reach)
        wide = np.pad(images, pad)
        images = sum(weight * wide.take(range(k, k + images.shape[axis]), axis) for k, weight in enumerate(weights))
    return images.astype(np.float32)


def sampled(images, side, moves=None):
    """Images (n, h, h) at side x side places, (n, side, side, 1); `moves` (n, 4) are angle, zoom, and shifts in pixels.

    A place p of the output reads zoom R (p - c) + c + shift of the image, R the rotation by the angle and c the centre,
    between the four pixels around it; 0 outside.
    """
    n, h = images.shape[:2]
    moves = np.tile([0.0, 1.0, 0.0, 0.0], (n, 1)) if moves is None else moves
    angle, zoom, down, right = moves.T.astype(np.float32)
    grid = ((np.arange(side) + 0.5) * h / side - h / 2).astype(np.float32)
    cos, sin = (f(angle)[:, None, None] * zoom[:, None, None] for f in (np.cos, np.sin))
    row = cos * grid[:, None] - sin * grid + (down[:, None, None] + (h - 1) / 2)
    column = sin * grid[:, None] + cos * grid + (right[:, None, None] + (h - 1) / 2)
    row, column = (np.clip(at + 1, 0, h + 1).astype(np.float32) for at in (row, column))   # of a padded image
    flat = np.pad(images, ((0, 0), (1, 2), (1, 2))).ravel()
    i, j = row.astype(np.int32), column.astype(np.int32)
    row -= i
    column -= j
    at = np.arange(n, dtype=np.int32)[:, None, None] * (h + 3) ** 2 + i * (h + 3) + j
    upper = flat[at] * (1 - column) + flat[at + 1] * column
    lower = flat[at + h + 3] * (1 - column) + flat[at + h + 4] * column
    return (upper + row * (lower - upper))[..., None]


def moved(images, side, rng, rows=2000):
    """Images at side x side places, each rotated, scaled and shifted by what is drawn."""
    n, h = images.shape[:2]
    moves = rng.uniform(-1, 1, (n, 4)) * [np.deg2rad(DEGREES), ZOOM, SHIFT * h, SHIFT * h] + [0, 1, 0, 0]
    return np.concatenate([sampled(images[k : k + rows], side, moves[k : k + rows]) for k in range(0, n, rows)])


def net(widths, shape, classes, seed):
    """Convolutions of 3 x 3 with BatchNorm, a pool after each while images are large, and a dense layer."""
    layers, side = [], shape[0]
    for filters in widths:
        layers += [mn.Conv2d(filters, 3, use_bias=False), mn.BatchNorm(), mn.ReLU()]
        side -= 2
        if side >= LEAST_POOLED:
            layers.append(mn.MaxPool2d(2))
            side //= 2
    return mn.Model(mn.Sequential(*layers, mn.Flatten(), mn.Dense(classes)), shape, rng=seed)


def trained(run, images, y, seed):
    """Yield (weights that are left, the compacted net) after each step of a run."""
    rng = np.random.default_rng(seed)
    model = net(run.widths, (run.side, run.side, 1), int(y.max()) + 1, seed)
    still = None if run.augmented else sampled(images, run.side)
    for left, lr, epochs in run.steps:
        if left is not None:
            mn.prune(model, keep=left)
        optimizer, state = mn.SGD(lr, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY), None
        for _ in range(epochs):
            X = moved(images, run.side, rng) if run.augmented else still
            state = next(mn.train(model, (X, y), optimizer=optimizer, epochs=epochs, batch_size=BATCH, rng=seed,
                                  lr_schedule="cosine", state=state)).state
        yield int(np.count_nonzero(model.mask[: model.n_weights])), mn.compact(model)


def exported(model, X, y, calibration):
    """{form: (bytes of .rodata, percent of X that the C misses)}."""
    found = {}
    for form, choices in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            mn.save_c(model, Path(folder) / "net.c", calibration=calibration, **choices)
            error = error_of(Path(folder), model, X, y, "arithmetic" in choices)[0]
            found[form] = sections(Path(folder), "cc", "size")["rodata"], error
    return found


def rows_of(data, side):
    """((images, labels) to train on, (images, labels) of the test part): numbers from 0 to 1, smoothed for `side`."""
    def images(X):
        X = np.asarray(X, np.float32).reshape(len(X), *data.shape[:2]) / data.X_train.max()
        return smoothed(X, X.shape[1] / side)
    train = np.concatenate([data.X_train, data.X_valid]), np.concatenate([data.y_train, data.y_valid])
    return (images(train[0]), train[1]), (sampled(images(data.X_test), side), data.y_test)


def measured(run, seed, data, rows=None):
    """[[weights that are left, {form: (bytes, error)}], ...] of a run, after each step."""
    (images, y), (X, y_test) = rows_of(data, run.side)
    calibration = sampled(images[:1000], run.side)
    return [[left, exported(model, X[:rows], y_test[:rows], calibration)]
            for left, model in trained(run, images, y, seed)]


def measure(quick=False, runs=None):
    """{name of a run: {seed: what `measured` gives}}."""
    if quick:
        run = RUNS["digits, 8 x 8"]._replace(widths=(8, 16), steps=((None, 0.1, 2), (300, 0.05, 1)))
        return {"digits, 8 x 8": {"0": measured(run, 0, mn.load_data("digits", rng=0), rows=100)}}
    found = {}
    for name, run in (runs or RUNS).items():
        for seed in run.seeds:
            path = RESULTS / f"error_by_kilobyte {name} {seed}.json"
            if not path.exists():
                result = measured(run, seed, mn.load_data(run.data, rng=0))
                write_whole(check_writable(RESULTS) / path.name, json.dumps(result).encode())
            found.setdefault(name, {})[str(seed)] = json.loads(path.read_bytes())
    return found


def table(found):
    """The results as a Markdown table: of each net and form the mean bytes and errors over seeds."""
    lines = [f"| images | weights | seeds | {' | '.join(FORMS)} |", "|---" * (3 + len(FORMS)) + "|"]
    for name, by_seed in found.items():
        cells = defaultdict(list)
        for steps in by_seed.values():
            for left, forms in steps:
                for form, pair in forms.items():
                    cells[left, form].append(pair)
        for left in dict.fromkeys(left for left, _ in cells):
            means = [map(statistics.mean, zip(*cells[left, form], strict=True)) for form in FORMS]
            texts = [f"{size:,.0f}: {error:.2f}" for size, error in means]
            lines.append(f"| {name} | {left:,} | {len(by_seed)} | {' | '.join(texts)} |")
    published = "; ".join(f"{name}: {size:,.0f}: {error:.2f}" for name, size, error in PUBLISHED)
    return "\n".join([*lines, "", f"Published, MNIST, 16 x 16, weights alone: {published}"])


def main(quick=False):
    """Measure and print."""
    print(table(measure(quick)))

"""A backdoored LeNet-5 repaired by pruning, over seeds: adversarial neuron pruning, and fine-pruning beside it.

    python -m bench backdoor                            # goes on where a run was stopped; prints a table
    python -m bench.backdoor --seeds 5 --out FILE --net lenet_5

5 % of MNIST's 55,000 training images get a white 3 x 3 patch in the corner and the label 0. The defender has 2,000
clean images, which the net never saw (of the 5,000 validation images), and of them takes 500 to validate. Clean
accuracy is that of the 10,000 official test images; success is the share of those of other classes that the patch makes
a 0. The net has a ReLU after each convolution; with `--net lenet_5` it is Caffe's, which has none there.
"""
import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

import minnet as mn
from minnet.files import write_whole
from minnet.study.backdoor import accuracy, attack_success, cut_units, fine_prune, neuron_masks, poisoned

SEEDS, TARGET, CLEAN, VALID = 5, 0, 2000, 500
FULL = {"net": "relu", "rows": None, "epochs": 3, "batches": 1000, "batch_size": 128, "tuning": 20, "data": "mnist"}
QUICK = FULL | {"rows": 3000, "epochs": 2, "batches": 50, "tuning": 1}
ANP_TOLERANCES, FINE_TOLERANCE = (0.005, 0.002, 0.01, 0.015), 0.04  # of clean validation accuracy; the first counts
RESULTS = Path(__file__).parent / "results"
COLUMNS = ("backdoored", "adversarial neuron pruning", "maps cut", "fine-pruning")


def lenet_5_relu(shape, n_classes, rng=None):
    """Make mn.models.lenet_5 with a ReLU after each convolution, where Caffe's has none."""
    maps = [layer for filters in (20, 50) for layer in (mn.Conv2d(filters, 5), mn.ReLU(), mn.MaxPool2d(2))]
    tree = mn.Sequential(*maps, mn.Flatten(), mn.Dense(500), mn.ReLU(), mn.Dense(n_classes))
    return mn.Model(tree, shape, rng=rng)


NETS = {"relu": lenet_5_relu, "lenet_5": mn.models.lenet_5}


def train(model, data, lr, epochs, seed, batch_size=100):
    """Train as bench/mnist_accuracy.py does."""
    optimizer = mn.SGD(lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for _ in mn.train(model, data, optimizer=optimizer, epochs=epochs, batch_size=batch_size, lr_schedule="cosine",
                      clip_norm=1.0, rng=seed):
        pass


def one_seed(seed, settings, parts, make=None):
    """Return what was measured with one seed: {column: (clean accuracy, success of the attack)}, and more."""
    (X, y), (X_clean, y_clean), test = parts
    X, y, _ = poisoned(X, y, share=0.05, target=TARGET, rng=seed)
    model = (make or NETS[settings["net"]])(X.shape[1:], int(y.max()) + 1, rng=seed)
    train(model, (X, y), 0.05, settings["epochs"], seed)
    rows = np.random.default_rng(seed).permutation(len(X_clean))[:CLEAN]
    cut = len(rows) * VALID // CLEAN
    valid, clean = ((X_clean[part], y_clean[part]) for part in (rows[:cut], rows[cut:]))

    def both(net):
        return [accuracy(net, test), attack_success(net, *test, target=TARGET)]

    start = time.perf_counter()
    masks = neuron_masks(model, clean, batches=settings["batches"], batch_size=settings["batch_size"], rng=seed)
    tried = {tolerance: cut_units(model, masks, valid, tolerance) for tolerance in ANP_TOLERANCES}
    seconds = time.perf_counter() - start
    repaired, threshold = tried[ANP_TOLERANCES[0]]
    fine = fine_prune(model, clean, valid, tolerance=FINE_TOLERANCE)
    found = {"maps cut": both(fine)}
    train(fine, clean, 0.01, settings["tuning"], seed)
    return {"seed": seed, "threshold": threshold, "seconds": seconds, "backdoored": both(model),
            "adversarial neuron pruning": both(repaired), "fine-pruning": both(fine),
            "tolerances": {str(tolerance): [cut, *both(net)] for tolerance, (net, cut) in tried.items()},
            "units cut": {name: int((own < threshold).sum()) for name, own in masks.items()}, **found}


def parts_of(settings):
    """Return training, clean and test images in [0, 1] with their labels."""
    data = mn.load_data(settings["data"], rng=0)
    top = float(data.X_train.max())
    pairs = [(X.astype(np.float32) / top, y.astype(np.int64)) for X, y in
             ((data.X_train, data.y_train), (data.X_valid, data.y_valid), (data.X_test, data.y_test))]
    pairs[0] = tuple(part[:settings["rows"]] for part in pairs[0])
    return pairs


def measure(path, seeds, settings, make=None):
    """Return the rows of all seeds; those that the file at `path` holds with these settings are not measured again."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rows = kept["rows"] if kept.get("settings") == settings else []
    parts = None
    for seed in range(seeds):
        if seed in [row["seed"] for row in rows]:
            continue
        parts = parts or parts_of(settings)
        rows.append(one_seed(seed, settings, parts, make))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"settings": settings, "rows": rows}, indent=1).encode() + b"\n")
        print(table(rows[-1:]), flush=True)
    return rows[:seeds]


def table(rows):
    """Return a Markdown table of clean accuracy and success, means over seeds and in brackets the extremes."""
    lines = ["| net | clean accuracy, % | success of the attack, % |", "|---|---|---|"]
    for name in COLUMNS:
        cells = []
        for values in zip(*(row[name] for row in rows), strict=True):
            low, high = 100 * min(values), 100 * max(values)
            cells.append(f"{100 * statistics.mean(values):.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    thresholds = ", ".join(f"{row['threshold']:g}" for row in rows)
    return "\n".join([*lines, "", f"seeds {', '.join(str(row['seed']) for row in rows)}; thresholds {thresholds}"])


def main(quick=False, argv=()):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1 if quick else SEEDS)
    parser.add_argument("--net", choices=NETS, default="relu")
    parser.add_argument("--out", type=Path, help="default: a file of its own for each net")
    options = parser.parse_args(argv)
    settings = (QUICK if quick else FULL) | {"net": options.net}
    path = options.out or RESULTS / f"backdoor_{options.net}{'_quick' if quick else ''}.json"
    print(table(measure(path, options.seeds, settings)))


if __name__ == "__main__":
    import sys

    main(argv=sys.argv[1:])

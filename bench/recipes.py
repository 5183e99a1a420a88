"""Every recipe beside a random mask that stays (`static`) at the same density, over seeds.

    python -m bench recipes                     # all of it; goes on where a run was stopped; prints the tables
    python -m bench.recipes mnist --sparsity 0.98 --seeds 1 --only grasp lc
    python -m bench.recipes --show              # the tables of what is there

A recipe that is sparse or prunes before its first step trains from the initial weights for twice the epochs, as
`static` does. All others begin at a dense net that was trained for the epochs, one for each seed that they share, and
have as many again: the steps of all are the same in number. The optimizer is that of `minnet prune` (SGD with Nesterov
momentum 0.9, learning rate 0.1 on a cosine, weight decay 5e-4, clipped gradient); a recipe's own arguments are its
defaults. A seed decides the split, the initial weights and the order of the rows. Slimming needs BatchNorm: it has a
net of its own with two of them, loses whole units, and stands beside a net that loses as many at random.
"""
import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np

import minnet as mn
from minnet.files import write_whole
from minnet.pruning.recipes import RECIPES, is_sparse_from_start
from minnet.study.settings import Settings
from minnet.study.significance import student
from minnet.study.training import PARTS, training_arguments

RESULTS = Path(__file__).parent / "results" / "recipes"
STUDIES = {"digits": {"sparsities": (0.9, 0.95), "seeds": 5, "epochs": 30},
           "mnist": {"sparsities": (0.98, 0.95), "seeds": 3, "epochs": 6}}
QUICK = {"digits": {"sparsities": (0.9,), "seeds": 2, "epochs": 1}}
BESIDE, UNITS, RANDOM_UNITS = "static", "slimming", "random units"
NAMES = (BESIDE, *(name for name in RECIPES if name not in (BESIDE, UNITS)), RANDOM_UNITS, UNITS)
FROM_INITIAL = ("lottery_ticket", "granet")  # beside those that are sparse from the start
UNIT_PRUNE = partial(mn.prune, structure="neuron", distribution="layerwise")  # by the whole net, a layer keeps 1 unit
WEIGHTS, TRAINING, PRUNING = range(3)        # streams of random numbers


def stream(seed, use):
    """A Generator for one use."""
    return np.random.default_rng([seed, use])


def begins_dense(name):
    """Whether a recipe goes on from a trained dense net."""
    return name == RANDOM_UNITS or not (name in FROM_INITIAL or is_sparse_from_start(RECIPES[name]))


def net(name, data, seed):
    """LeNet-300-100 with its initial weights; with two BatchNorms where units are cut by them."""
    if name not in (UNITS, RANDOM_UNITS):
        return mn.models.lenet_300_100(data.shape, data.n_classes, rng=stream(seed, WEIGHTS))
    inner = [part for width in (300, 100) for part in (mn.Dense(width), mn.BatchNorm(), mn.ReLU())]
    layers = mn.Sequential(mn.Flatten(), *inner, mn.Dense(data.n_classes))
    return mn.Model(layers, data.shape, rng=stream(seed, WEIGHTS))


def trainer(data):
    """`mn.train` as `minnet prune` calls it: a Step four times an epoch."""
    arguments = training_arguments(Settings(), len(data.y_train))
    return partial(mn.train, **arguments, every=-(-len(data.y_train) // (arguments["batch_size"] * PARTS)))


def dense_net(folder, name, data, seed, epochs):
    """The dense net of a seed, trained once and kept in the folder."""
    model = net(name, data, seed)
    path = folder / f"dense{'-units' if name in (UNITS, RANDOM_UNITS) else ''}-{seed}-{epochs}.npy"
    if path.is_file():
        model.values[:] = np.load(path)
        return model
    for _ in trainer(data)(model, data, epochs=epochs, rng=stream(seed, TRAINING)):
        pass
    write_whole(path, lambda file: np.save(file, model.values))
    return model


def steps_of(name, model, data, sparsity, epochs, rng):
    """The steps of a recipe."""
    if name == RANDOM_UNITS:
        prune = partial(UNIT_PRUNE, criterion="random")
        return RECIPES["one_shot"](model, data, sparsity, epochs=epochs, train=trainer(data), prune=prune, rng=rng)
    more = {"prune": UNIT_PRUNE} if name == UNITS else {}
    return RECIPES[name](model, data, sparsity, epochs=epochs, train=trainer(data), rng=rng, **more)


def cell(folder, name, data, sparsity, seed, epochs):
    """What is kept of one run: its test accuracy, what it masked, its last cut and its seconds."""
    dense = begins_dense(name)
    model = dense_net(folder, name, data, seed, epochs) if dense else net(name, data, seed)
    start, cut, epochs = time.perf_counter(), None, epochs if dense else 2 * epochs
    for step in steps_of(name, model, data, sparsity, epochs, stream(seed, PRUNING)):
        cut = cut if step.cut is None else step.cut
    return {"recipe": name, "sparsity": sparsity, "seed": seed, "epochs": epochs, "cut": cut,
            "test": mn.evaluate(model, data.X_test, data.y_test, intervals=False)["accuracy"],
            "valid": mn.evaluate(model, data.X_valid, data.y_valid, intervals=False)["accuracy"],
            "masked": 1 - float(np.mean(model.mask[: model.n_weights])), "seconds": time.perf_counter() - start}


def measure(data_name, study, folder=RESULTS, names=NAMES, say=print):
    """Run the cells that the folder does not have, all recipes with the first seed first; return the rows of all."""
    folder, rows = folder / data_name, []
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(study["seeds"]):
        data = None
        for sparsity in study["sparsities"]:
            for name in names:
                path = folder / f"{name.replace(' ', '_')}-{sparsity}-{seed}-{study['epochs']}.json"
                if not path.is_file():
                    data = data or mn.load_data(data_name, rng=seed)
                    found = cell(folder, name, data, sparsity, seed, study["epochs"])
                    write_whole(path, json.dumps(found).encode() + b"\n")
                    say(f"{data_name} {sparsity} seed {seed} {name}: {found['test']:.4f}, {found['seconds']:.1f} s")
                rows.append(json.loads(path.read_text(encoding="utf-8")))
    return rows


def kept(data_name, study, folder=RESULTS):
    """The rows that are in the folder."""
    rows = [json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((folder / data_name).glob(f"*-{study['epochs']}.json"))]
    return sorted(rows, key=lambda row: NAMES.index(row["recipe"]))


def summary(rows):
    """Of each sparsity and recipe: the scores, seconds, and the paired gain over what it stands beside."""
    groups = {}
    for row in rows:
        groups.setdefault((row["sparsity"], row["recipe"]), {})[row["seed"]] = row
    found = []
    for (sparsity, name), own in groups.items():
        peer = groups.get((sparsity, RANDOM_UNITS if name == UNITS else BESIDE), {})
        gains = [own[seed]["test"] - peer[seed]["test"] for seed in own if seed in peer and name != RANDOM_UNITS]
        effect, low, high = student(gains)[:3] if len(gains) > 1 else (gains[0] if gains else None, None, None)
        found.append({"sparsity": sparsity, "recipe": name, "scores": [row["test"] for row in own.values()],
                      "seconds": statistics.median(row["seconds"] for row in own.values()),
                      "effect": effect, "low": low, "high": high})
    return found


def table(rows):
    """One Markdown table for each sparsity."""
    lines = []
    for sparsity in sorted({row["sparsity"] for row in rows}):
        head = ("begins at", "test accuracy, %", f"points above `{BESIDE}` (95 %, paired)", "seeds", "seconds")
        lines += ["", f"| at {sparsity:.0%} | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        lines += [line(row) for row in summary([row for row in rows if row["sparsity"] == sparsity])]
    return "\n".join(lines[1:])


def line(row):
    """One line of a table."""
    scores = [100 * score for score in row["scores"]]
    spread = f" +- {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    cells = (f"`{row['recipe']}`", "a dense net" if begins_dense(row["recipe"]) else "initial weights",
             f"{statistics.mean(scores):.2f}{spread}", gain(row), f"{len(scores)}", f"{row['seconds']:.1f}")
    return f"| {' | '.join(cells)} |"


def gain(row):
    """The gain in points, and its interval."""
    if row["recipe"] in (BESIDE, RANDOM_UNITS) or row["effect"] is None:
        return ""
    interval = "" if row["low"] is None else f" ({100 * row['low']:+.2f} to {100 * row['high']:+.2f})"
    return f"{100 * row['effect']:+.2f}{interval}"


def main(quick=False, argv=()):
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=[], help=f"of {', '.join(STUDIES)}: both by default")
    parser.add_argument("--sparsity", type=float, nargs="+")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--out", type=Path, default=RESULTS.with_name("recipes_quick") if quick else RESULTS)
    parser.add_argument("--show", action="store_true", help="run nothing")
    options = parser.parse_args(argv)
    studies = QUICK if quick else STUDIES
    for name in options.data or studies:
        given = {"sparsities": options.sparsity, "seeds": options.seeds, "epochs": options.epochs}
        study = studies[name] | {key: value for key, value in given.items() if value is not None}
        rows = kept(name, study, options.out) if options.show else measure(name, study, options.out, options.only)
        print(f"\n{name}\n\n{table(rows)}", flush=True)


if __name__ == "__main__":
    import sys

    main(argv=sys.argv[1:])

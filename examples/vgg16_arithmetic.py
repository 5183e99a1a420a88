"""Pretrained VGG16 on small images: block5_conv3 pruned from 512 to 256 filters in equal steps, by four criteria.

    python examples/vgg16_arithmetic.py --weights vgg16_notop.h5 --data digits
    python examples/vgg16_arithmetic.py --weights vgg16_notop.h5 --data fashion-mnist --rows 5000 --cut all --head 256

The base up to block4_pool is frozen: it is evaluated once, and its outputs are cached. A classifier is trained on top,
then the last block is pruned in equal steps (512, 448, 384, 320, 256) and compacted, with two epochs of training before
and after each step, by each criterion; the result is joined to the base again. The same training without pruning is the
control.
"""
import argparse
import json
import math
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import minnet as mn

LAST = "block5_conv3"
BLOCK = ("block5_conv1", "block5_conv2", LAST)
ROUNDS = 4
EPOCHS = 2  # after each round


def size_and_use(model, data):
    """Return |w| + |w dL/dw|, each divided by its mean in the layer.

    Filters that no image activates have gradient 0: the magnitude distinguishes them.
    """
    total = 0
    for scores in (mn.criteria.magnitude(model, data), mn.criteria.taylor(model, data)):
        for parameter in model.weight_parameters:
            window = parameter.of(scores)
            window /= window.mean() or 1
        total = total + scores
    return total


RULES = {  # name: (criterion, penalty while training)
    "magnitude": ("magnitude", None),
    "gradient": ("gradient", None),
    "L1/L2": ("magnitude", "elastic_net"),
    "own rule": (size_and_use, None),
    "no cut": (None, None),
}


def subset(data, rows, seed):
    """Return `rows` random samples of the training part, and a fifth as many of the other parts."""
    rng = np.random.default_rng(seed)

    def part(name, n):
        chosen = np.sort(rng.permutation(len(getattr(data, f"y_{name}")))[:n])
        return {f"X_{name}": getattr(data, f"X_{name}")[chosen], f"y_{name}": getattr(data, f"y_{name}")[chosen]}

    return replace(data, **part("train", rows), **part("valid", max(rows // 5, 1)), **part("test", max(rows // 5, 1)))


def train(model, data, epochs, seed, lr=0.001, penalty=None):
    """Train by Adam with a small learning rate that falls to 0, to keep what was learned on ImageNet."""
    for _ in mn.train(model, data, optimizer=mn.Adam(lr), epochs=epochs, batch_size=64, lr_schedule="cosine",
                      penalty=penalty, rng=seed):
        pass


def progression(start, end, rounds=ROUNDS):
    """Return the filters left after each round: equal counts are removed in each, to within one."""
    return [start - round((start - end) * k / rounds) for k in range(1, rounds + 1)]


def latency(model, X, calls=7):
    """Return the median seconds of one prediction for one image."""
    fast, times = mn.freeze(model, batch_size=1), []
    for i in range(calls + 1):
        x = X[i % len(X)][None]
        start = time.perf_counter()
        fast.predict(x)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def measure(rule, number, tail, base, data, features):
    """Return one row of the table: the tail, joined to its base, on the test part."""
    scores = mn.evaluate(tail, features.X_test, features.y_test)
    whole = mn.join(base, tail)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        mn.save(whole, path)
        size = path.stat().st_size
    return {"rule": rule, "round": number, "filters": [tail.layers[name].filters for name in BLOCK],
            "accuracy": scores.accuracy, "recall": scores.recall_macro, "F1": scores.f1_macro,
            "parameters": whole.n_parameters, "MACs": whole.macs, "bytes": size, "latency": latency(whole, data.X_test)}


def cut(rule, start, layers, base, data, features, seed, to):
    """Run all rounds of one rule and return its rows."""
    criterion, penalty = RULES[rule]
    tail, rows = start.clone(), []
    penalty = mn.penalties.ElasticNet(1e-4) if penalty == "elastic_net" else penalty
    train(tail, features, EPOCHS, seed, lr=1e-4, penalty=penalty)
    widths = [progression(start.layers[name].filters, round(start.layers[name].filters * to)) for name in layers]
    for number, counts in enumerate(zip(*widths, strict=True), 1):
        if criterion is not None:
            tail = mn.prune(tail, units=dict(zip(layers, counts, strict=True)), criterion=criterion, structure="filter",
                            data=features, rng=seed).compact()
        train(tail, features, EPOCHS, seed + number, lr=1e-4, penalty=penalty)
        rows.append(measure(rule, number, tail, base, data, features))
        print(line(rows[-1]), flush=True)
    return rows


def prepare(options):
    """Return the frozen half, the half with a trained classifier, the images and the cached outputs."""
    data = mn.models.vgg16_input(subset(mn.load_data(options.data, rng=options.seed), options.rows, options.seed))
    model = mn.models.vgg16(data.shape, data.n_classes, weights=options.weights, head=options.head,
                            widths=options.widths, rng=options.seed)
    base, tail = mn.split(model, "block4_pool")
    features = mn.cached(base, data)
    block, head = mn.split(tail, "block5_pool")
    train(head, mn.cached(block, features), options.head_epochs, options.seed)
    return base, mn.join(block, head), data, features


def line(row):
    """Return a row as text."""
    filters = "/".join(str(n) for n in row["filters"])
    scores = " ".join(f"{row[name]:8.2%}" for name in ("accuracy", "recall", "F1"))
    sizes = f"{row['parameters']:>11,} {row['MACs']:>12,} {row['bytes']:>11,}"
    return f"{row['rule']:<10} {row['round']:>5}  {filters:>11}  {scores} {sizes} {row['latency'] * 1e3:7.2f} ms"


def verdict(rows, n):
    """Return a sentence that compares the rules after the last round; n is the number of test images."""
    last = {row["rule"]: row for row in rows}
    control = last.pop("no cut")
    best, *others = sorted(last.values(), key=lambda row: -row["accuracy"])
    error = math.sqrt(best["accuracy"] * (1 - best["accuracy"]) / n)  # of a share of n
    behind = {row["rule"]: best["accuracy"] - row["accuracy"] for row in others}
    leads = ", ".join(f"{100 * lead:.2f} ahead of {rule}" for rule, lead in behind.items())
    near = [rule for rule, lead in behind.items() if lead <= error]
    level = f"not distinguishable from {', '.join(near)}" if near else "no other rule is within it"
    return (f"{best['rule']} has the highest accuracy: {best['accuracy']:.2%}, in points {leads}; the same "
            f"training without pruning gave {control['accuracy']:.2%}. On {n:,} test images the standard error is "
            f"{100 * error:.2f} points: {level}. "
            f"The pruned model has {control['parameters'] / best['parameters']:.2f} times fewer parameters and "
            f"{control['MACs'] / best['MACs']:.2f} times fewer multiply-adds.")


def plot(rows, path):
    """Plot the accuracy after each round, one line per rule, over the filters left; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for rule in dict.fromkeys(row["rule"] for row in rows):
        mine = [row for row in rows if row["rule"] == rule]
        axes.plot([row["round"] for row in mine], [100 * row["accuracy"] for row in mine], marker="o", label=rule)
    left = [f"{row['round']}\n{row['filters'][-1]}" for row in rows[:ROUNDS]]
    axes.set(xlabel=f"round, and remaining filters of {LAST}", ylabel="test accuracy (%)")
    axes.set_xticks(range(1, ROUNDS + 1), left)
    axes.legend()
    figure.savefig(path, dpi=150)


def run(options):
    """Print the table and the verdict, and return the rows."""
    base, tail, data, features = prepare(options)
    layers = BLOCK if options.cut == "all" else (LAST,)
    print(f"{options.data}: {len(data.y_train)} images; {', '.join(layers)} to {options.to:.0%} of the filters, "
          f"{ROUNDS} rounds")
    print("rule       round      filters  accuracy   recall       F1  parameters         MACs       bytes    latency")
    print(line(measure("start", 0, tail, base, data, features)), flush=True)
    rows = [row for rule in RULES for row in cut(rule, tail, layers, base, data, features, options.seed, options.to)]
    print(verdict(rows, len(data.y_test)))
    return rows


def main(argv=None):
    """Parse the arguments, run, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="Keras's weights of the base, .h5 (default: random)")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--rows", type=int, default=5000, help="largest number of training images")
    parser.add_argument("--cut", choices=("last", "all"), default="last", help="block5_conv3 only, or the whole block")
    parser.add_argument("--to", type=float, default=0.5, help="fraction of the filters to keep")
    parser.add_argument("--head", type=int, help="units of a layer before the classifier (default: none)")
    parser.add_argument("--head-epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for rows.json and plot.png (default: not written)")
    options = parser.parse_args(argv)
    options.widths = mn.models.VGG_WIDTHS
    rows = run(options)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "rows.json").write_text(json.dumps(rows, indent=1))
        plot(rows, options.out / "plot.png")


if __name__ == "__main__":
    main()

"""Errors of exported C beside the float net's, over seeds: `python -m bench c_accuracy`.

    python -m bench c_accuracy            # LeNet-5 at 95 % on MNIST, three seeds; writes bench/results/c_accuracy.json
    python -m bench c_accuracy --quick    # a small net on digits: to see that it runs

The nets are those of `python -m bench c_size`: pruned in steps, each with epochs of training, and compacted. The float
net predicts the test part by `model.predict`; the C of each form is compiled, and predicts it row by row. What is kept
is the error in percent, and the change in points; a seed that the file of results has already is not trained again.
"""
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np

import minnet as mn
from bench.c_size import INTEGERS, RESULTS, STEPS, error_of, trained
from minnet.files import check_writable, write_whole

SEEDS = (0, 1, 2)
LIMIT = 0.1         # points that C of int8 may miss more than the float net
FORMS = {"float32": {}, "int8, a scale a unit": {"precision": "int8"},
         "int8, a scale a layer": {"precision": "int8", "scales": "layer"}, "integers, a scale a unit": INTEGERS,
         "integers, a scale a layer": {**INTEGERS, "scales": "layer"}}


def errors(model, data, rows=None):
    """{form: percent of the test part that is missed}, the float net's own first."""
    X, y = data.X_test[:rows], data.y_test[:rows]
    found = {"the float net": 100 * float(np.mean(model.predict(X) != y))}
    for form, choices in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            mn.save_c(model, Path(folder) / "net.c", calibration=data.X_train[:1000], **choices)
            found[form] = error_of(Path(folder), model, X, y, "arithmetic" in choices)[0]
    return found


def measure(quick=False):
    """{seed: errors}."""
    if quick:
        data = mn.load_data("digits", rng=0)
        return {"0": errors(trained("mlp", data, 0, ((0, 0.05, 5), (0.9, 0.05, 5))), data, rows=100)}
    data, path = mn.load_data("mnist", rng=0), RESULTS / "c_accuracy.json"
    found = json.loads(path.read_bytes()) if path.exists() else {}
    for seed in SEEDS:
        if str(seed) not in found:
            found[str(seed)] = errors(trained("lenet_5", data, seed, STEPS["lenet_5"]), data)
            write_whole(check_writable(RESULTS) / path.name, json.dumps(found, indent=1).encode())
    return found


def table(found):
    """The results as a Markdown table: of each form the errors, their mean, and the mean and worst change."""
    seeds = list(found)
    lines = [f"| form | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | mean change | largest change |",
             "|---" * (len(seeds) + 4) + "|"]
    for form in found[seeds[0]]:
        of = [found[seed][form] for seed in seeds]
        change = [found[seed][form] - found[seed]["the float net"] for seed in seeds]
        cells = [*(f"{error:.2f}" for error in of), f"{statistics.mean(of):.2f}",
                 *("" if form == "the float net" else f"{number:+.2f}" for number in (statistics.mean(change),
                                                                                      max(change)))]
        lines.append(f"| {form} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(quick=False):
    """Measure and print."""
    print(table(measure(quick)))

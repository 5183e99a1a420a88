"""Small tables from CSV over five seeds: `minnet prune FILE` beside scikit-learn's MLP of the same hidden widths.

    python -m bench tables                # prints a table, writes bench/results/tables.json
    python -m bench tables --quick        # one seed, few epochs: to see that it runs

A seed decides the split, the initial weights and the order of the rows. Each table is written to a CSV file and read
from there; scikit-learn's MLPClassifier or MLPRegressor, all else at its defaults behind a StandardScaler, is fitted on
the very training part, and both are scored on the test part, in which minnet's net has lost 90 % of its weights.
"""
import json
import statistics
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from minnet.engine.dense import Dense
from minnet.engine.metrics import evaluate
from minnet.files import check_writable, write_whole
from minnet.study.job import Job
from minnet.study.settings import Settings

SEEDS, LEAST = 5, 0.02  # LEAST: the most that the mean score may be below scikit-learn's
RESULTS = Path(__file__).parent / "results"
CASES = {"iris": "", "wine": "", "breast_cancer": "", "diabetes": "--task regression"}  # options of `minnet prune`


def write_table(name, path):
    """Write one of scikit-learn's tables as a CSV file with a header; classes by their names. Return its task."""
    from sklearn import datasets

    raw = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{name}")(**raw)
    names = getattr(bunch, "target_names", None)
    target = bunch.target if names is None else np.asarray(names)[bunch.target]
    rows = [",".join([*(f"{value:.10g}" for value in row), str(label)])
            for row, label in zip(bunch.data, target, strict=True)]
    header = ",".join([*(column.replace(",", "") for column in bunch.feature_names), "target"])
    Path(path).write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return "regression" if names is None else "classification"


def pair(settings):
    """(score of the pruned net, of scikit-learn's) on the test part: accuracy or R2."""
    job = Job(settings)
    for _ in job.run():
        pass
    ours = next(iter(evaluate(job.whole(job.model), job.data, intervals=False).values()))
    widths = [layer.units for layer in job.model.layers.values() if isinstance(layer, Dense)][:-1]
    return ours, peer_score(job.data, widths, settings)


def peer_score(data, widths, settings):
    """The score of scikit-learn's MLP with these hidden widths."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    make = MLPRegressor if settings.task == "regression" else MLPClassifier
    peer = make_pipeline(StandardScaler(), make(hidden_layer_sizes=widths, random_state=settings.seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that has not converged after its 200 epochs
        peer.fit(data.X_train, data.y_train)
    return peer.score(data.X_test, data.y_test)


def measure(seeds=SEEDS, **settings):
    """One dict a case: the scores of all seeds, and whether the mean is within LEAST of scikit-learn's."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, options in CASES.items():
            path = Path(folder) / f"{name}.csv"
            task = write_table(name, path)
            asked = Settings(data=str(path), task=task if task == "regression" else None, **settings)
            ours, peers = zip(*(pair(replace(asked, seed=seed)) for seed in range(seeds)), strict=True)
            command = " ".join(filter(None, ("minnet prune", path.name, options)))
            reached = statistics.mean(ours) >= statistics.mean(peers) - LEAST
            results.append({"table": name, "command": command, "score": "R2" if task == "regression" else "accuracy",
                            "seeds": seeds, "minnet": ours, "scikit-learn": peers, "reached": reached})
    return results


def table(results):
    """The results as a Markdown table: means and standard deviations over the seeds, in points."""
    lines = ["| command | score | minnet, 90 % pruned | scikit-learn's MLP | within 2 points |", "|---" * 5 + "|"]
    for r in results:
        figures = " | ".join(spread(r[name]) for name in ("minnet", "scikit-learn"))
        lines.append(f"| `{r['command']}` | {r['score']} | {figures} | {'yes' if r['reached'] else 'no'} |")
    return "\n".join(lines)


def spread(values):
    """Mean and standard deviation, in points."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} +- {100 * deviation:.2f}"


def main(quick=False):
    """Measure, print, and keep what was measured unless it is quick."""
    found = measure(1, epochs=2, model="mlp") if quick else measure()
    if not quick:
        write_whole(check_writable(RESULTS) / "tables.json", json.dumps(found, indent=1).encode())
    print(table(found))

"""Features selected by SparsitySelector, beside scikit-learn's selectors and LassoNet, for two other classifiers.

    python -m bench feature_selection                 # prints a table, writes bench/results/feature_selection.json
    python -m bench.feature_selection --rows 5000 --seeds 1 --only MNIST --selector LassoNet

50 of MNIST's 784 pixels and a few columns of two tables are selected on training rows; two judges of other kinds,
extremely randomised trees and scikit-learn's MLP, learn from them alone, and their accuracy on test rows is compared.
Those of MNIST are the official ones. Nothing sees the test rows before. LassoNet takes part where it is installed
(`pip install lassonet`), on MNIST with the batches of its authors' own selection of 50 features.
"""
import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest, mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import minnet as mn
from minnet.data import load_data
from minnet.files import check_writable, write_whole

SEEDS, ROWS, TREES = 3, 10_000, 200
EPOCHS = 200  # of SparsitySelector, at most
RESULTS = Path(__file__).parent / "results"
L1_STRENGTH = 0.1  # C of the logistic regression: small enough for zeros, large enough for 50 others
QUICK = {"rows": 300, "seeds": 1, "only": ["breast cancer"], "epochs": 20}
MANY_ROWS = 5000  # from here on LassoNet takes batches and a shorter path: its default takes hours
PATH = {"batch_size": 256, "n_iters": (100, 10), "lambda_start": 4.0, "path_multiplier": 1.05}
JUDGES = {
    "trees": lambda rows, seed: ExtraTreesClassifier(TREES, random_state=seed),
    "MLP": lambda rows, seed: MLPClassifier((100,), early_stopping=rows >= MANY_ROWS, random_state=seed),
}


def mnist(rows):
    """The first training images and all official test images, as rows in [0, 1]."""
    data = load_data("mnist", rng=0)
    parts = data.X_train[:rows], data.X_test, data.y_train[:rows], data.y_test
    return [part.reshape(len(part), -1).astype(np.float32) / 255 if part.ndim > 1 else part for part in parts]


def split(load):
    """A table as (X_train, X_test, y_train, y_test), standardised on the training part, by a seed."""
    def parts(seed):
        X, y = load(return_X_y=True)
        A, B, a, b = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        scaler = StandardScaler().fit(A)
        return scaler.transform(A), scaler.transform(B), a, b
    return parts


def selectors(k, seed, rows, epochs=EPOCHS):
    """{name: a selector of k features}."""
    made = {
        "SparsitySelector": mn.SparsitySelector(k, max_iter=epochs, random_state=seed),
        "SparsitySelector, 8 halves": mn.SparsitySelector(k, stability=8, max_iter=epochs, random_state=seed),
        "SelectFromModel, L1 logistic regression": SelectFromModel(
            LogisticRegression(l1_ratio=1, solver="saga", C=L1_STRENGTH, max_iter=100, random_state=seed),
            max_features=k, threshold=-np.inf),
        "SelectFromModel, random forest": SelectFromModel(RandomForestClassifier(TREES, random_state=seed),
                                                          max_features=k, threshold=-np.inf),
        "SelectKBest, mutual information": SelectKBest(Information(seed), k=k),
    }
    try:
        from lassonet import LassoNetClassifier
    except ImportError:
        return made
    net = LassoNetClassifier(hidden_dims=(64,), random_state=seed, torch_seed=seed, verbose=0,
                             **PATH if rows >= MANY_ROWS else {})
    return made | {"LassoNet": LassoNet(net, k)}


class Information:
    """Mutual information of each feature and the class, by a seed."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, X, y):
        return mutual_info_classif(X, y, random_state=self.seed)


class LassoNet:
    """The k features that its path of penalties removes last."""

    def __init__(self, net, k):
        self.net, self.k = net, k

    def fit(self, X, y):
        """Walk the path."""
        self.net.path(X.astype(np.float32), np.unique(y, return_inverse=True)[1])
        return self

    def get_support(self):
        """True for each of the k features."""
        order = np.argsort(-np.asarray(self.net.feature_importances_), kind="stable")
        return np.isin(np.arange(len(order)), order[: self.k])


def measure(rows, seeds, epochs, cases=None, only=None):
    """One dict for each table and selector: accuracies by each judge, and seconds, of all seeds."""
    known = {"MNIST": (lambda seed: mnist(rows), 50), "breast cancer": (split(load_breast_cancer), 8),
             "digits": (split(load_digits), 12)}
    found = []
    for case in cases or known:
        parts, k = known[case]
        runs = {}
        for seed in range(seeds):
            A, B, a, b = parts(seed)
            made = {"all features": None} | selectors(k, seed, len(A), epochs)
            for name in only or made:
                runs.setdefault(name, []).append(run(made[name], k, (A, B, a, b), seed))
                print(f"  {case}, seed {seed}, {name}: {runs[name][-1]}", flush=True)
        found += [{"data": case, "features": k, "of": A.shape[1], "selector": name, "rows": len(a),
                   "accuracy": {judge: [accuracies[judge] for accuracies, _ in pairs] for judge in JUDGES},
                   "seconds": [seconds for _, seconds in pairs]} for name, pairs in runs.items()]
    return found


def run(selector, k, parts, seed):
    """({judge: its accuracy on test rows}, seconds that the selection took)."""
    A, B, a, b = parts
    support, start = np.ones(A.shape[1], bool), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what has not converged selects, and judges, all the same
        if selector is not None:
            support = selector.fit(A, a).get_support()
            assert np.count_nonzero(support) == k
        seconds = time.perf_counter() - start
        judges = {name: judge(len(a), seed).fit(A[:, support], a) for name, judge in JUDGES.items()}
    return {name: judge.score(B[:, support], b) for name, judge in judges.items()}, seconds


def table(found):
    """The results as a Markdown table: means of the accuracies, and those of all seeds."""
    heads = " | ".join(f"accuracy of {name}, %" for name in JUDGES)
    lines = [f"| data | features | selector | {heads} | seconds |", "|---" * (4 + len(JUDGES)) + "|"]
    for r in found:
        accuracies = [[100 * value for value in r["accuracy"][name]] for name in JUDGES]
        figures = " | ".join(f"{statistics.mean(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})"
                             for values in accuracies)
        lines.append(f"| {r['data']} | {r['features']} of {r['of']} | {r['selector']} | {figures} | "
                     f"{statistics.median(r['seconds']):.1f} |")
    return "\n".join(lines)


def main(argv=(), quick=False):
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.feature_selection", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="of MNIST, to train")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of SparsitySelector, at most")
    parser.add_argument("--only", action="append", metavar="DATA", help="MNIST, breast cancer or digits")
    parser.add_argument("--selector", action="append", metavar="NAME", help="a name in the table")
    parser.add_argument("--json", type=Path, default=RESULTS / "feature_selection.json")
    parser.set_defaults(**QUICK if quick else {})
    args = parser.parse_args(argv)
    check_writable(args.json.parent)
    found = measure(args.rows, args.seeds, args.epochs, args.only, args.selector)
    print(table(found))
    if not quick:
        write_whole(args.json, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])

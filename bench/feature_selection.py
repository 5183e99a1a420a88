"""Features selected by SparsitySelector, beside scikit-learn's selectors and LassoNet, for one classifier.

    python -m bench.feature_selection                 # prints a table, writes bench/results/feature_selection.json
    python -m bench.feature_selection --rows 5000 --seeds 1

50 of MNIST's 784 pixels and a few columns of two tables are selected on training rows; a classifier of another kind
(extremely randomised trees) learns from them alone, and its accuracy on test rows is compared. Nothing sees the test
rows before. LassoNet takes part where it is installed: `pip install lassonet`.
"""
import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest, mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import minnet as mn
from minnet.data import load_data
from minnet.files import check_writable, write_whole

SEEDS, ROWS, TREES = 3, 10_000, 200
EPOCHS = 200  # of SparsitySelector, at most
RESULTS = Path(__file__).parent / "results"
L1_STRENGTH = 0.1  # C of the logistic regression: small enough for zeros, large enough for 50 others


def mnist(rows):
    """The first training and test images, as rows in [0, 1]."""
    data = load_data("mnist", rng=0)
    parts = data.X_train[:rows], data.X_test[:rows], data.y_train[:rows], data.y_test[:rows]
    return [part.reshape(len(part), -1).astype(np.float32) / 255 if part.ndim > 1 else part for part in parts]


def split(load):
    """A table as (X_train, X_test, y_train, y_test), standardised on the training part, by a seed."""
    def parts(seed):
        X, y = load(return_X_y=True)
        A, B, a, b = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        scaler = StandardScaler().fit(A)
        return scaler.transform(A), scaler.transform(B), a, b
    return parts


def selectors(k, seed):
    """{name: a selector of k features}."""
    made = {
        "SparsitySelector": mn.SparsitySelector(k, max_iter=EPOCHS, random_state=seed),
        "SparsitySelector, 8 halves": mn.SparsitySelector(k, stability=8, max_iter=EPOCHS, random_state=seed),
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
    return made | {"LassoNet": LassoNet(LassoNetClassifier(hidden_dims=(64,), random_state=seed), k)}


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


def measure(rows=ROWS, seeds=SEEDS, trees=TREES, only=None):
    """One dict for each table and selector: accuracies and seconds of all seeds."""
    cases = {"MNIST": (lambda seed: mnist(rows), 50), "breast cancer": (split(load_breast_cancer), 8),
             "digits": (split(load_digits), 12)}
    found = []
    for case, (parts, k) in cases.items():
        if only is not None and case not in only:
            continue
        runs = {}
        for seed in range(seeds):
            A, B, a, b = parts(seed)
            for name, selector in {"all features": None, **selectors(k, seed)}.items():
                runs.setdefault(name, []).append(run(selector, k, (A, B, a, b), seed, trees))
        found += [{"data": case, "features": k, "of": A.shape[1], "selector": name, "rows": len(a),
                   "accuracy": [accuracy for accuracy, _ in pairs], "seconds": [seconds for _, seconds in pairs]}
                  for name, pairs in runs.items()]
    return found


def run(selector, k, parts, seed, trees):
    """(accuracy of the classifier on test rows, seconds that the selection took)."""
    A, B, a, b = parts
    support, start = np.ones(A.shape[1], bool), time.perf_counter()
    if selector is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what has not converged selects all the same
            support = selector.fit(A, a).get_support()
        assert np.count_nonzero(support) == k
    seconds = time.perf_counter() - start
    classifier = ExtraTreesClassifier(trees, random_state=seed).fit(A[:, support], a)
    return classifier.score(B[:, support], b), seconds


def table(found):
    """The results as a Markdown table."""
    lines = ["| data | features | selector | accuracy, %: mean (all seeds) | seconds |", "|---|---|---|---|---|"]
    for r in found:
        accuracy = [100 * value for value in r["accuracy"]]
        figures = f"{statistics.mean(accuracy):.2f} ({', '.join(f'{value:.2f}' for value in accuracy)})"
        lines.append(f"| {r['data']} | {r['features']} of {r['of']} | {r['selector']} | {figures} | "
                     f"{statistics.median(r['seconds']):.1f} |")
    return "\n".join(lines)


def main(argv=None):
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.feature_selection", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="of MNIST, to train and to test")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", action="append", metavar="DATA", help="MNIST, breast cancer or digits")
    parser.add_argument("--json", type=Path, default=RESULTS / "feature_selection.json")
    args = parser.parse_args(argv)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    check_writable(args.json.parent)
    found = measure(args.rows, args.seeds, only=args.only)
    print(table(found))
    write_whole(args.json, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()

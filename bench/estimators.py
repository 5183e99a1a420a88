"""PrunedClassifier beside scikit-learn's MLPClassifier: a whole fit on MNIST, each at the defaults of MLPClassifier.

Both get the 60,000 training images as rows of float32 in [0, 1], which both train on in float32, and as many threads as
they like. Defaults are 100 hidden units, Adam with lr 0.001, batches of 200, and at most 200 epochs, until the loss has
not fallen by 1e-4 in 10 epochs. Fits take turns, one of each for a seed; a seed is a round. Accuracy is that on the
10,000 test images, a mean over seeds: the targets hold at equal accuracy, within 0.2 points.
"""
import statistics
import time
import warnings
from functools import partial

import numpy as np

from bench.measure import Result, compare

SEEDS = (0, 1, 2)
EQUAL = 0.002  # accuracy may be lower by so much
DENSE, DEFAULT, SPARSE = 0.0, None, 0.95  # sparsities; None leaves it as it is
TARGETS = {DEFAULT: 2.0, DENSE: None, SPARSE: 4.0}
QUICK_ROWS, QUICK_EPOCHS = 2000, 6


def rows_of(name):
    """Training rows and labels, then those of the test part, of "mnist" or the like; random ones where it is absent."""
    import minnet as mn
    from minnet.errors import MinnetError

    try:
        data = mn.load_data(name)
    except MinnetError:
        rng = np.random.default_rng(0)
        y = rng.integers(0, 10, 4000)
        X = (rng.random((4000, 784)) + np.eye(10)[y].repeat(79, axis=1)[:, :784]).astype(np.float32) / 2
        return X[:3000], y[:3000], X[3000:], y[3000:]
    train = data.scaled(np.concatenate([data.X_train, data.X_valid]))
    test = data.scaled(data.X_test)
    return (train.reshape(len(train), -1), np.concatenate([data.y_train, data.y_valid]),
            test.reshape(len(test), -1), data.y_test)


def contestants(epochs):
    """By name, a function of a seed that makes an estimator."""
    from sklearn.neural_network import MLPClassifier

    import minnet as mn

    more = {} if epochs is None else {"max_iter": epochs}
    made = {"scikit-learn": lambda seed: MLPClassifier(random_state=seed, **more)}
    for sparsity in TARGETS:
        own = more if sparsity is None else more | {"sparsity": sparsity}
        made[sparsity] = partial(_pruned, mn.PrunedClassifier, own)
    return made


def _pruned(make, parameters, seed):
    return make(random_state=seed, **parameters)


def fits(made, data, seeds):
    """Seconds, accuracies and epochs of each contestant, one of each for a seed; they take turns."""
    X, y, X_test, y_test = data
    found = {name: ([], [], []) for name in made}
    for seed in seeds:
        for name, make in made.items():
            estimator = make(seed)
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # ConvergenceWarning
                estimator.fit(X, y)
            seconds, accuracies, epochs = found[name]
            seconds.append(time.perf_counter() - start)
            accuracies.append(float(np.mean(estimator.predict(X_test) == y_test)))
            epochs.append(estimator.n_iter_)
    return found


def measure(quick=False) -> list[Result]:
    """A line for each sparsity."""
    data = rows_of("mnist")
    if quick:
        data = (*(part[:QUICK_ROWS] for part in data[:2]), *(part[:QUICK_ROWS] for part in data[2:]))
    made = contestants(QUICK_EPOCHS if quick else None)
    for make in made.values():  # compiles, and starts threads
        fits({"": lambda seed, make=make: make(seed).set_params(max_iter=2)}, [part[:1000] for part in data], [0])
    found = fits(made, data, SEEDS[:1] if quick else SEEDS)
    theirs, their_accuracy, their_epochs = found["scikit-learn"]
    results = []
    for sparsity, target in TARGETS.items():
        ours, accuracy, epochs = found[sparsity]
        shown = made[sparsity](0).sparsity
        a, b = statistics.mean(accuracy), statistics.mean(their_accuracy)
        n, m = statistics.mean(epochs), statistics.mean(their_epochs)
        told = f"accuracy {a:.2%} and {b:.2%}, epochs {n:.0f} and {m:.0f}"
        fair = a >= b - EQUAL
        results.append(compare(f"PrunedClassifier.fit, {shown:.0%} sparse", "MLPClassifier", ours, theirs,
                               target if fair else None, told, "" if fair else "not at equal accuracy"))
    return results

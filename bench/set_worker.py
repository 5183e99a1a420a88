"""Run by an older Python environment: trains a net with the code of SET's authors, an epoch or a change at a time.

    python set_worker.py FOLDER rows.npz EPSILON BATCH LR     # then "epoch" or "change" on each line of standard input

FOLDER is Tutorial-ECMLPKDD-2019-Scalable-Deep-Learning of the repository
https://github.com/dcmocanu/sparse-evolutionary-artificial-neural-networks: their fastest code, whose loop is compiled
here by Cython. rows.npz has X (n, m), y (n,) and widths. Answers with the seconds of an epoch, or of a change with the
step after it. What their `fit` does is done here in its order, but for the test.
"""
import importlib
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

MOMENTUM, WEIGHT_DECAY, ZETA = 0.9, 0.0002, 0.3


def compiled(folder, room):
    """Their module, with its loop compiled in `room`."""
    for name in ("set_mlp.py", "sparseoperations.pyx"):
        with open(os.path.join(folder, name), encoding="utf-8") as source, open(
                os.path.join(room, name), "w", encoding="utf-8") as copy:
            copy.write(source.read())
    flags = f"-O3 -march=native -I{np.get_include()}"
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "-i", "sparseoperations.pyx"]
    subprocess.run(command, cwd=room, check=True, capture_output=True, env=os.environ | {"CFLAGS": flags})
    sys.path.insert(0, room)
    return importlib.import_module("set_mlp")


def started(code, widths, epsilon, lr, room):
    """Their net, as `fit` leaves it before the first batch."""
    np.random.seed(0)  # noqa: NPY002 their code draws from it
    net = code.SET_MLP(tuple(widths), (code.Relu,) * (len(widths) - 2) + (code.Sigmoid,), epsilon=epsilon)
    net.loss = code.MSE(net.activations[net.n_layers])
    net.learning_rate, net.momentum, net.weight_decay, net.zeta = lr, MOMENTUM, WEIGHT_DECAY, ZETA
    net.save_filename, net.inputLayerConnections = os.path.join(room, "net"), []
    return net


def step(net, X, Y):
    """One batch."""
    z, a = net._feed_forward(X, True)
    net._back_prop(z, a, Y)


def epoch(net, X, Y, batch, rng):
    """All rows once, shuffled, without a last batch that is not full."""
    order = rng.permutation(len(X))
    X, Y = X[order], Y[order]
    for k in range(0, len(X) - batch + 1, batch):
        step(net, X[k : k + batch], Y[k : k + batch])


def main(folder, rows, epsilon, batch, lr):
    """Build, say hello, answer lines until there are none."""
    answers, sys.stdout, batch = sys.stdout, sys.stderr, int(batch)  # their code prints
    with tempfile.TemporaryDirectory() as room:
        data, code, rng = np.load(rows), compiled(folder, room), np.random.default_rng(0)
        net = started(code, data["widths"].tolist(), int(epsilon), float(lr), room)
        X, Y = data["X"].astype(np.float64), np.eye(data["widths"][-1])[data["y"]]
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            start = time.perf_counter()
            if line.strip() == "epoch":
                epoch(net, X, Y, batch, rng)
            else:
                net.weightsEvolution_II()
                step(net, X[:batch], Y[:batch])
            print(time.perf_counter() - start, file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Ding et al., 2019: "Global sparse momentum SGD for pruning very deep neural networks".

A dense LeNet-300-100 is trained. In each step after that only the Q weights of all with the largest |g w| get the
gradient of the loss, Q = 4,437, and all others decay; then the Q largest weights are kept. In the paper weight decay
of 5e-4 alone shrinks them, carried by a momentum of 0.99 over 280 epochs; here momentum is 0.9, and a weight that
never gets a gradient is e^-8 of itself after four fifths of 60 epochs, where the cut is made. Batches of 256.
Published: 1.82 % error at 60 x, of a dense net with 1.81, one run of 480 epochs in all.
"""
import minnet as mn
from bench.papers.lab import DENSE, PRUNING, TINY_DENSE, last, sgd
from bench.papers.row import Row

WEIGHTS = 266_200


def run(lab, base, kept, epochs, lr, decay, batch, shrink):
    """Sparse momentum on the dense net, one cut."""
    data = lab.data()
    model = lab.dense(data, **base)
    last(mn.recipes.gsm(model, data, 1 - kept / WEIGHTS, epochs=epochs, shrink=shrink,
                        train=sgd(lr, decay=decay, batch=batch), rng=lab.rng(PRUNING)))
    return lab.outcome(model, data, base["epochs"] + epochs)


ROWS = (
    Row("gsm", "Ding et al. 2019, table 1", "1.82 at 4,437 weights (60x)", 1.82, run,
        {"base": DENSE, "kept": 4437, "epochs": 60, "lr": 0.1, "decay": 1e-4, "batch": 256, "shrink": 8.0},
        {"base": TINY_DENSE, "epochs": 2}),
)

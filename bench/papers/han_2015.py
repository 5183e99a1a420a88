"""Han, Pool, Tran and Dally, 2015: "Learning both weights and connections for efficient neural networks".

A dense LeNet-300-100 is trained with L2 regularisation. Then the weights of smallest size are removed and the others
trained on at a tenth of the learning rate, round by round: after round k of 3 a layer has d^(k / 3) of its weights,
d being 8, 9 and 26 % for the three layers, as published, 8.2 % in all. Dropout, and its ratio after pruning, are left
out. Published: 1.59 % error at 12 x, of a dense net with 1.64, one run.
"""
import minnet as mn
from bench.papers.lab import DENSE, PRUNING, TINY_DENSE, last, sgd
from bench.papers.row import Row

SHARES = {"0": 0.08, "1": 0.09, "2": 0.26}  # kept of each dense layer, in order


def run(lab, base, rounds, epochs, lr, decay):
    """Prune the dense net in rounds, each layer to its share."""
    data = lab.data()
    model = lab.dense(data, **base)
    layers = [p.layer for p in model.weight_parameters]
    rng = lab.rng(PRUNING)
    for k in range(1, rounds + 1):
        shares = {name: 1 - kept ** (k / rounds) for name, kept in zip(layers, SHARES.values(), strict=True)}
        mn.prune(model, distribution=shares)
        last(sgd(lr, decay=decay)(model, data, epochs=epochs, rng=rng))
    return lab.outcome(model, data, base["epochs"] + rounds * epochs)


ROWS = (
    Row("han", "Han et al. 2015", "1.59 at 8.3 % (12x)", 1.59, run,
        {"base": DENSE, "rounds": 3, "epochs": 10, "lr": 0.01, "decay": 5e-4}, {"base": TINY_DENSE, "epochs": 1}),
)

"""Dettmers and Zettlemoyer, 2019: "Sparse networks from scratch: faster training without losing performance".

LeNet-300-100 begins with random weights, the same share of each layer. After each epoch every layer loses the share z
of its smallest weights, z falling from 0.5 to 0.005 along a cosine; as many grow in all, in layers by the mean
momentum of their live weights and there where the momentum of the dense gradient is largest. SGD with Nesterov
momentum 0.9, learning rate 0.1, which falls by 10 every 25,000 steps, decay 5e-4, batches of 100, 100 epochs, on
55,000 images (theirs: 54,000) less their mean and over their deviation, one of each. In the paper the momentum is the
optimizer's; the library takes it of batches drawn anew. Published: 1.53 +- 0.020, 1.99 +- 0.019 and 2.36 +- 0.044 %
error at 5, 2 and 1 % (the authors' file of results; mean and standard error, last epoch).
"""
import minnet as mn
from bench.papers.lab import PRUNING, WEIGHTS, last, sgd
from bench.papers.row import Row

SETTINGS = {"epochs": 100, "lr": 0.1, "decay": 5e-4, "drops": [0.4545, 0.9091]}


def run(lab, kept, epochs, lr, decay, drops):
    """Train sparse from the first step on."""
    data = lab.data(valid=None, scaling="whole")
    model = mn.models.lenet_300_100(data.shape, data.n_classes, rng=lab.rng(WEIGHTS))
    last(mn.recipes.snfs(model, data, 1 - kept, epochs=epochs, zeta=0.5, least=0.005, momentum=0.9,
                         train=sgd(lr, decay=decay, drops=drops), rng=lab.rng(PRUNING)))
    return lab.outcome(model, data, epochs)


ROWS = tuple(
    Row(f"sparse_momentum_{percent}", "Dettmers and Zettlemoyer 2019, results file", f"{figure} at {percent} %",
        figure, run, {**SETTINGS, "kept": percent / 100}, {"epochs": 2})
    for percent, figure in ((5, 1.53), (2, 1.99), (1, 2.36)))

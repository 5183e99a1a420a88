"""Lee, Ajanthan and Torr, 2019: "SNIP: single-shot network pruning based on connection sensitivity".

LeNet-300-100 is pruned once, before any training: of all weights those with the largest |w dL/dw| stay, the gradient
being that of a single batch of 100 images at the initial weights. Then it is trained by SGD with momentum 0.9, learning
rate 0.1, which falls by 10 every 25,000 steps, decay 5e-4, batches of 100, on 55,000 images (theirs: 54,000), for
100 epochs of 550 steps. The authors' code scores biases together with weights, and as they are 0 removes them all; here
they stay, and the count is of weights. Published: 1.6 % at 5 % and 2.4 % at 2 % (table 1, mean of 20 seeds, to 0.1).
"""
import minnet as mn
from bench.papers.lab import PRUNING, WEIGHTS, last, sgd
from bench.papers.row import Row

SETTINGS = {"epochs": 100, "lr": 0.1, "decay": 5e-4, "samples": 100, "drops": [0.4545, 0.9091]}


def run(lab, kept, samples, epochs, lr, decay, drops):
    """Prune at initialisation, train."""
    data = lab.data(valid=None)
    model = mn.models.lenet_300_100(data.shape, data.n_classes, rng=lab.rng(WEIGHTS))
    train = sgd(lr, decay=decay, nesterov=False, drops=drops)
    last(mn.recipes.snip(model, data, 1 - kept, samples=samples, epochs=epochs, rng=lab.rng(PRUNING),
                         train=train))
    return lab.outcome(model, data, epochs)


ROWS = (
    Row("snip_5", "Lee et al. 2019, table 1", "1.6 at 5 %", 1.65, run, {**SETTINGS, "kept": 0.05}, {"epochs": 1}),
    Row("snip_2", "Lee et al. 2019, table 1", "2.4 at 2 %", 2.45, run, {**SETTINGS, "kept": 0.02}, {"epochs": 1}),
)

"""Lee, Ajanthan and Torr, 2019: "SNIP: single-shot network pruning based on connection sensitivity".

LeNet-300-100 is pruned once, before any training: of all weights those with the largest |w dL/dw| stay, the gradient
being that of a single batch of 100 images. Then it is trained by SGD with momentum 0.9, learning rate 0.1, which falls
by 10 every 25,000 steps, decay 5e-4, batches of 100, 100 epochs of 55,000 images (theirs: 54,000) less their mean and
over their deviation, one of each. As in the authors' code weights are normal of variance 1 / inputs, and those that are
trained are others than those that were judged. Their code scores biases too, and as they are 0 removes them all; here
they stay, and the count is of weights. Published: 1.6 % at 5 % and 2.4 % at 2 % (table 1, mean of 20 seeds, to 0.1).
"""
import minnet as mn
from bench.papers.lab import PRUNING, WEIGHTS, last, sgd
from bench.papers.row import Row

SETTINGS = {"epochs": 100, "lr": 0.1, "decay": 5e-4, "samples": 100, "control": "reinitialised",
             "drops": [0.4545, 0.9091]}


def run(lab, kept, samples, control, epochs, lr, decay, drops):
    """Prune at initialisation, train."""
    data = lab.data(valid=None, scaling="whole")
    inner = [part for width in (300, 100) for part in (mn.Dense(width, initialiser="lecun"), mn.ReLU())]
    layers = mn.Sequential(mn.Flatten(), *inner, mn.Dense(data.n_classes, initialiser="lecun"))
    model = mn.Model(layers, data.shape, rng=lab.rng(WEIGHTS))
    train = sgd(lr, decay=decay, nesterov=False, drops=drops)
    last(mn.recipes.snip(model, data, 1 - kept, samples=samples, control=control, epochs=epochs, rng=lab.rng(PRUNING),
                         train=train))
    return lab.outcome(model, data, epochs)


ROWS = (
    Row("snip_5", "Lee et al. 2019, table 1", "1.6 at 5 %", 1.65, run, {**SETTINGS, "kept": 0.05}, {"epochs": 1}),
    Row("snip_2", "Lee et al. 2019, table 1", "2.4 at 2 %", 2.45, run, {**SETTINGS, "kept": 0.02}, {"epochs": 1}),
)

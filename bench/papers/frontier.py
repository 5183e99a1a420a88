"""The frontier: how little a single recipe of ours misses, for each count of weights.

LeNet-300-100 from its initial weights, 60,000 images divided by 255, no augmentation, no teacher. SGD with Nesterov
momentum 0.9, learning rate 0.1 on a cosine to 0, decay 2e-4, batches of 100, 100 epochs; labels smoothed by 0.1. Every
100 steps the smallest weights of all layers together are removed, from the start to 40 % of the training along a cubic
schedule. Chosen on 5,000 validation images at 2 %, 60 epochs, one seed, errors in %: decay 5e-4 with a cosine 1.92,
with steps 1.90, 1e-4 1.98, removal until 70 % 2.04, the recipe `granet` 2.08, smoothed labels 1.74.

The figures beside ours are the best that are published for as many weights, from runs of their last epoch unless said;
the targets are this project's own.
"""
from functools import partial

import minnet as mn
from bench.papers.lab import PRUNING, last, sgd
from bench.papers.row import Row
from minnet.engine.losses import cross_entropy

SETTINGS = {"epochs": 100, "lr": 0.1, "decay": 2e-4, "smoothing": 0.1, "end": 0.4, "valid": 0}
PUBLISHED = {  # percent kept: what, target
    5: ("1.53, sparse momentum; wanted 1.30", 1.30), 2: ("1.99, sparse momentum; 1.48 at 2.4 %; wanted 1.40", 1.40),
    1.5: ("1.82 at 1.66 %, GSM; 1.92 at 1.47 %, sparse VD; wanted 1.60", 1.60),
    1: ("2.36, sparse momentum; 1.69 at 1.15 %, RigL+; wanted 1.65", 1.65), 0.5: ("none known; wanted 2.50", 2.50)}


def run(lab, kept, epochs, lr, decay, smoothing, end, valid):
    """Train and prune gradually."""
    data = lab.data(valid)
    model = lab.net("lenet_300_100", data)
    train = partial(sgd(lr, decay=decay, every=100), loss=partial(cross_entropy, label_smoothing=smoothing))
    last(mn.recipes.gradual(model, data, 1 - kept, epochs=epochs, begin=0.0, end=end, train=train,
                            rng=lab.rng(PRUNING)))
    return lab.outcome(model, data, epochs)


ROWS = tuple(Row(f"frontier_{percent:g}", "best published", f"at {percent:g} %: {published}", target, run,
                 {**SETTINGS, "kept": percent / 100}, {"epochs": 2, "kept": 0.05}, frontier=True)
             for percent, (published, target) in PUBLISHED.items())

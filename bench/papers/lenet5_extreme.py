"""LeNet-5 at 0.92 % (Guo et al., 2016) and 0.33 % (Ding et al., 2019) of its 430,500 weights.

What is published there came from dynamic surgery and from global sparse momentum; these rows ask whether gradual
magnitude pruning gets as far. A dense LeNet-5 (`dense.py`) is trained on with SGD, Nesterov momentum 0.9, learning
rate 0.03 on a cosine, decay 5e-4, batches of 100, while the smallest weights of all layers together are removed every
100 steps, from the start to two thirds of the epochs along a cubic schedule; the rest is at full sparsity. Published:
0.91 % error with 3,977 weights (the released net, counted) and 0.94 % at 300 x; one run each.
"""
import minnet as mn
from bench.papers.dense import LENET_5
from bench.papers.lab import PRUNING, last, sgd
from bench.papers.row import Row

SETTINGS = {"base": LENET_5, "epochs": 14, "lr": 0.03, "decay": 5e-4, "end": 0.65}
TINY = {"base": {**LENET_5, "net": "mlp_small", "epochs": 1}, "epochs": 1}


def run(lab, base, kept, epochs, lr, decay, end):
    """Prune the dense net while it is trained on."""
    data = lab.data()
    model = lab.dense(data, **base)
    last(mn.recipes.gradual(model, data, 1 - kept / 430_500, epochs=epochs, begin=0.0, end=end,
                            train=sgd(lr, decay=decay, every=100), rng=lab.rng(PRUNING)))
    return lab.outcome(model, data, base["epochs"] + epochs)


ROWS = (
    Row("lenet_5_092", "Guo et al. 2016, the released net", "0.91 at 3,977 weights", 0.91, run,
        {**SETTINGS, "kept": 3977}, TINY),
    Row("lenet_5_033", "Ding et al. 2019, table 1", "0.94 at 1,435 weights (300x)", 0.94, run,
        {**SETTINGS, "kept": 1435}, TINY),
)

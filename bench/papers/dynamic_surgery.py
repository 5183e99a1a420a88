"""Guo, Yao and Chen, 2016: "Dynamic network surgery for efficient DNNs".

From a trained dense LeNet-300-100 on, the net computes with w m; the gradient with respect to w m moves every w,
masked ones too. A weight is masked where |w| falls to 0.9 T of its layer and comes back above 1.1 T, T being mean + c
deviation of |w|, with one c for all layers such that 1.86 % of the weights are above it at the start; after step t the
mask is looked at with probability 1 / (1 + 1e-4 t). Half of the epochs on the mask is fixed, after an exact cut, and
the rest trained on. Their biases are masked too, ours are not. Published: 1.99 % error, of a dense net with 2.28; the
released net has 4,952 weights, 1.86 % of all, counted there, though 56 x is printed.
"""
import minnet as mn
from bench.papers.lab import DENSE, PRUNING, TINY_DENSE, sgd
from bench.papers.row import Row

WEIGHTS = 266_200


def run(lab, base, kept, epochs, lr, decay, end):
    """Surgery on the dense net."""
    data = lab.data()
    model = lab.dense(data, **base)
    steps = mn.recipes.dynamic_surgery(model, data, 1 - kept / WEIGHTS, epochs=epochs, begin=0.0, end=end,
                                       train=sgd(lr, decay=decay), rng=lab.rng(PRUNING))
    cuts = [step.cut for step in steps if step.cut is not None]
    return lab.outcome(model, data, base["epochs"] + epochs, cut=cuts[0])


ROWS = (
    Row("dynamic_surgery", "Guo et al. 2016, and the released net", "1.99 at 1.86 %", 1.99, run,
        {"base": DENSE, "kept": 4952, "epochs": 40, "lr": 0.05, "decay": 1e-4, "end": 0.5},
        {"base": TINY_DENSE, "epochs": 2}),
)

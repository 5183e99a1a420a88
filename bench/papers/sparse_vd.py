"""Molchanov, Ashukha and Vetrov, 2017: "Variational dropout sparsifies deep neural networks".

Each weight of LeNet-300-100 bears noise, whose size is learned beside it; where the noise is more than e^3 times the
square of the weight the weight is removed. To the loss comes the divergence from a log-uniform prior. The net is
trained from its initial weights with Adam, batches of 100. In the paper the learning rate is 0.001 for the first half
of 200 epochs, then falls to 0 on a line, and the factor of the divergence rises from 0 at epoch 5 to 1 at epoch 20.
Here noise is drawn for each weight and batch, where theirs is drawn for each output and row, and epochs are fewer;
four fifths on, or once as many are noise, all but 1.47 % are cut, and the rest trained on. Published: 1.92 % error at
1.47 % (68 x), one run.
"""
import minnet as mn
from bench.papers.lab import PRUNING, adam
from bench.papers.row import Row


def run(lab, kept, epochs, lr, rate, strength, rise):
    """Train with noise, cut."""
    data = lab.data()
    model = lab.net("lenet_300_100", data)
    steps = mn.recipes.variational_dropout(model, data, 1 - kept, epochs=epochs, strength=strength, rate=rate,
                                           rise=rise, begin=0.05, train=adam(lr, flat=0.5), rng=lab.rng(PRUNING))
    cuts = [step.cut for step in steps if step.cut is not None]
    return lab.outcome(model, data, epochs, cut=cuts[0])


ROWS = (
    Row("sparse_vd", "Molchanov et al. 2017", "1.92 at 1.47 %", 1.92, run,
        {"kept": 0.0147, "epochs": 60, "lr": 0.001, "rate": 0.003, "strength": 1.0, "rise": 0.2}, {"epochs": 2}),
)

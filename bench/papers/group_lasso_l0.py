"""Whole units: L0 gates (Louizos, Welling and Kingma, 2018) and group lasso (Wen et al., 2016, "SSL").

Row `l0_units`: each input and each unit of LeNet-300-100 that the next layer reads has a hard concrete gate, learned
by Adam beside the weights; the penalty counts the weights behind gates that are expected to be open. Four fifths on
the gates are cut, units at the lowest gates first, until 26,642 weights are left, those of the widths 266-88-33, and
the rest trained on. Published: 1.6 % error at these widths, as the table of Evci et al. (2020) cites them.

Row `group_lasso`: 784-500-300-10 is trained under a penalty on the norm of all weights of each input and of each unit.
Then inputs and units of smallest norm are removed until 434-174-78 are left, 89,868 weights, and the rest is trained
on without the penalty. Published: 1.53 % error with these widths (Liu et al., 2017, table 3), of a dense net with
1.43.
"""
from functools import partial

import numpy as np

import minnet as mn
from bench.papers.lab import PRUNING, WEIGHTS, last, sgd
from bench.papers.row import Row

FULL = 266_200


def l0(lab, kept, epochs, lr, decay, strength):
    """Train with gates, cut."""
    data = lab.data()
    model = lab.net("lenet_300_100", data)
    last(mn.recipes.l0(model, data, 1 - kept / FULL, epochs=epochs, units=True, strength=strength,
                       train=sgd(lr, decay=decay), rng=lab.rng(PRUNING)))
    return lab.outcome(model, data, epochs, widths=widths(model))


def group_lasso(lab, keep, epochs, tuning, lr, decay, strength):
    """Train under the penalty, remove, train on."""
    data = lab.data()
    model = mn.models.mlp(data.shape, data.n_classes, (500, 300), rng=lab.rng(WEIGHTS))
    penalties = [mn.penalties.GroupLasso(strength, structure=name, outgoing=False) for name in ("input", "neuron")]
    last(partial(sgd(lr, decay=decay), penalty=penalties)(model, data, epochs=epochs, rng=lab.rng(PRUNING)))
    first, second, _ = (p.layer for p in model.weight_parameters)
    mn.prune(model, structure="input", keep=min(keep[0], int(np.prod(data.shape))), layers=first)
    mn.prune(model, units={first: keep[1], second: keep[2]})
    last(sgd(lr / 2, decay=decay)(model, data, epochs=tuning, rng=lab.rng(PRUNING)))
    return lab.outcome(model, data, epochs + tuning, widths=widths(model))


def widths(model):
    """How many inputs and units of each hidden layer have a live weight."""
    masks = [p.mask for p in model.weight_parameters]
    return [int(mask.any(1).sum()) for mask in masks]


ROWS = (
    Row("l0_units", "Louizos et al. 2018, cited by Evci et al. 2020", "1.6 at 26,642 weights", 1.65, l0,
        {"kept": 26_642, "epochs": 40, "lr": 0.1, "decay": 1e-4, "strength": 1.0}, {"epochs": 2}),
    Row("group_lasso", "SSL (Wen et al. 2016) in Liu et al. 2017, table 3", "1.53 at 89,868 weights", 1.53,
        group_lasso, {"keep": [434, 174, 78], "epochs": 20, "tuning": 20, "lr": 0.1, "decay": 1e-4, "strength": 1e-5},
        {"keep": [40, 17, 8], "epochs": 1, "tuning": 1}),
)

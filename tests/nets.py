"""Small nets, data and optimizers on which the tests of training agree, and what it is to have the same bits."""
import dataclasses

import numpy as np

import minnet as mn

N_CLASSES = 3
NETS = {  # the first two are trained by one compiled call a batch, the others layer by layer
    "chain": ((7,), mn.Sequential(mn.Dense(6), mn.ReLU(), mn.Dense(N_CLASSES))),
    "flat chain": ((2, 3, 1), mn.Sequential(mn.Flatten(), mn.Sequential(mn.Dense(5, use_bias=False), mn.ReLU()),
                                            mn.Dense(4), mn.ReLU(), mn.Dense(N_CLASSES))),
    "noisy": ((7,), mn.Sequential(mn.Dense(6), mn.BatchNorm(), mn.Tanh(), mn.Dropout(0.3), mn.Dense(N_CLASSES))),
    "images": ((6, 5, 2), mn.Sequential(mn.Conv2d(4, 3, padding="same"), mn.ReLU(), mn.MaxPool2d(2), mn.Dropout(0.2),
                                        mn.Flatten(), mn.Dense(N_CLASSES))),
}
SETTINGS = {  # what an optimizer of the registry is tried with, beside its defaults with weight decay
    "momentum": ("sgd", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "decoupled": True}),
    "nesterov": ("sgd", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
}


def with_decay(make):
    """An optimizer of the registry with weight decay, where it has any, and steps that are seen after a few of them."""
    decays = {"weight_decay"} & {field.name for field in dataclasses.fields(make)}
    return make(lr=max(0.01, make().lr), **dict.fromkeys(decays, 0.1))


OPTIMIZERS = {name: with_decay(make) for name, make in mn.optimizers.OPTIMIZERS.items()}
OPTIMIZERS |= {name: mn.optimizers.OPTIMIZERS[kind](**settings) for name, (kind, settings) in SETTINGS.items()}


def problem(net, n=14, dtype=np.float32, seed=0):
    """(model, (X, y)) with numbers that depend on the seed."""
    shape, tree = NETS[net]
    rng = np.random.default_rng([seed, 1])
    model = mn.Model(tree, shape, rng=seed, dtype=dtype)
    return model, (rng.normal(size=(n, *shape)).astype(dtype), rng.integers(N_CLASSES, size=n))


def finish(steps):
    """Run a training to its end; returns the steps."""
    return list(steps)


def bits(*arrays):
    """The bytes of arrays: -0.0 differs from 0.0."""
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def is_plus_zero(array):
    return not any(bits(array))


def random_mask(model, density, seed):
    """So many weights of each layer but the last are live."""
    rng, mask = np.random.default_rng(seed), np.ones(len(model.mask), bool)
    for p in model.weight_parameters[:-1]:
        mask[p.slice] = rng.random(p.size) < density
    return mask


def keep_first(model, layer, count):
    """Give a model the mask that leaves so many weights of a layer, its first ones, and all else."""
    mask = np.ones(len(model.mask), bool)
    mask[layer.weight.slice] = np.arange(layer.weight.size) < count
    model.set_mask(mask)


def live_form(model, before=None):
    """The LiveModel that training by live weights alone makes of a masked model, or None where it makes none."""
    from minnet.engine.loop import Job
    from minnet.fast.choose import sparse_layers
    from minnet.fast.live_weights import live_model

    X, y = np.zeros((1, *model.input_shape)), np.zeros(1, int)
    job = Job(mn.State(model, mn.Adam()), X, y, mn.losses.cross_entropy, 1, 1, float)
    return live_model(job, before, None, sparse_layers(model))

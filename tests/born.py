"""A net of which two layers are born sparse, the masked dense net that it equals, and data for both."""
from functools import partial

import numpy as np

import minnet as mn


def net(seed=0, dtype=np.float64):
    """20-30-7-4, of which two layers are born sparse."""
    tree = mn.Sequential(mn.SparseDense(30, 100), mn.ReLU(), mn.SparseDense(7, 40, use_bias=False), mn.Tanh(),
                         mn.Dense(4))
    return mn.Model(tree, (20,), rng=seed, dtype=dtype)


def dense_twin(model):
    """The same function as a masked dense model."""
    tree = mn.Sequential(mn.Dense(30), mn.ReLU(), mn.Dense(7, use_bias=False), mn.Tanh(), mn.Dense(4))
    twin = mn.Model.blank(tree, model.input_shape, model.dtype)
    twin.set_mask(spread(model, twin, model.mask, True))
    twin.values[:] = spread(model, twin, model.values, 0)
    return twin


def spread(model, twin, vector, missing):
    """A vector of the born-sparse model's index space in that of its dense twin."""
    dense = np.zeros(len(twin.mask), vector.dtype)
    for name, p in model.parameters.items():
        flat = dense[twin.parameters[name].slice]
        flat[slice(None) if p.index is None else p.index] = p.of(vector).reshape(-1)
    return dense


def data(rows=50, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 20)), rng.integers(4, size=rows)


MODELS = {"masked": lambda: dense_twin(net()), "born sparse": net}
training = partial(mn.train, optimizer=mn.Adam(0.02), batch_size=7)


def steps_of(name, model, *, sparsity=None, epochs=5, every="epoch", rng=0, **more):
    """Return (what was so before each update, what is so after it) of all steps of a recipe."""
    before = []

    def watched(*arguments, **named):
        for step in training(*arguments, every=every, **named):
            before.append(snapshot(step))
            yield step

    steps = mn.recipes.RECIPES[name](model, data(), sparsity, epochs=epochs, train=watched, rng=rng, **more)
    return [(before[-1], snapshot(step)) for step in steps]


def snapshot(step):
    """What is live, and all vectors, as dense arrays by parameter; with the step and a copy of the model."""
    model, seen = step.model.clone(), {}
    for p in model.weight_parameters:
        places = np.flatnonzero(p.mask) if p.index is None else p.index
        live = np.zeros(p.size, bool)
        live[places] = True
        vectors = []
        for vector in (model.values, *step.state.vectors):
            dense = np.zeros(p.size)
            dense[places] = p.of(vector)[p.mask] if p.index is None else p.of(vector)
            vectors.append(dense)
        seen[p.name] = live, vectors
    return step, model, seen

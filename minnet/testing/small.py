"""Small nets on which laws are checked, and the numbers in them.

model = make("dense")                  # float64, random values; no two alike
sample = sample_for(model)             # rows and labels for it
"""
import numpy as np

from minnet.engine.activations import ReLU, Sigmoid, Tanh
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.engine.sample import draw_sample
from minnet.model import Model

ROWS = 7
SPREAD = 4.0  # the numbers of a spaced input lie in +-SPREAD / 2
STATISTICS = ("mean", "variance")  # no mask may cut these
MASKS = (  # what a mask may cut
    "weights",  # single ones
    "biases",   # single ones, and gains and shifts
    "units",    # all that makes a unit: weights into it, bias, gain, shift
    "columns",  # weights into a unit; its bias stays
    "rows",     # weights out of a unit
    "bare",     # all weights of a layer
)


def residual(filters):
    """Return a block whose branch ends as wide as it begins."""
    return Residual(Sequential(Conv2d(3, 3, padding="same"), BatchNorm(), ReLU(), Conv2d(filters, 1)))


NETS = {
    "dense": lambda: (Sequential(Dense(5), ReLU(), Dense(4, use_bias=False), Tanh(), Dense(3)), (6,)),
    "normed": lambda: (Sequential(Dense(6, use_bias=False), BatchNorm(), ReLU(), Dense(4), Sigmoid(), Dense(3)), (4,)),
    "conv": lambda: (Sequential(Conv2d(4, 3, padding="same"), ReLU(), MaxPool2d(2), Conv2d(3, 2), ReLU(), Flatten(),
                                Dense(5), ReLU(), Dense(3)), (5, 6, 2)),
    "residual": lambda: (Sequential(Conv2d(4, 2), BatchNorm(), ReLU(), residual(4), ReLU(), GlobalAvgPool2d(),
                                    Dense(3)), (5, 4, 2)),
    "depthwise": lambda: (Sequential(Conv2d(3, 1), ReLU(), DepthwiseConv2d(2, multiplier=2), ReLU(), Conv2d(4, 2),
                                     GlobalAvgPool2d(), Dense(3)), (4, 5, 2)),
    "concat": lambda: (Sequential(Dense(4), ReLU(), Concat(Dense(3), Sequential(Dense(2), ReLU()), Sequential()),
                                  Dense(4), ReLU(), Dense(3)), (5,)),
}


def make(net, seed=0, dtype=np.float64):
    """Return the model of that name in NETS, its values drawn by `seed`."""
    tree, shape = NETS[net]()
    return randomise(Model.blank(tree, shape, dtype), np.random.default_rng(seed))


def sample_for(model, rows=ROWS, seed=1):
    """Return a Sample of normal inputs and random labels."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, *model.input_shape)).astype(model.dtype)
    y = rng.integers(model.output_shape[-1], size=rows)
    return draw_sample(model, (X, y), samples=None, rng=seed)


def spaced(shape, rng, zeros=0.0):
    """Return numbers that differ from each other and from 0 by SPREAD / size / 2 at least; some are set to 0."""
    size = np.prod(shape)
    x = rng.permutation((np.arange(size) + 0.5 - size // 2) * SPREAD / size).reshape(shape)
    x[rng.random(shape) < zeros] = 0
    return x


def randomise(model, rng):
    """Return random numbers everywhere, statistics included, of a size that leaves outputs of about 1."""
    for p in model.parameters.values():
        numbers = rng.normal(size=p.value.shape)
        if p.kind == "weight":
            numbers /= np.sqrt(p.value[..., 0].size)
        elif p.kind == "variance":
            numbers = rng.uniform(0.5, 2.0, p.value.shape)
        elif p.kind != "gain":
            numbers *= 0.5
        p.value[...] = numbers
    return model


def random_mask(model, kinds, density, rng):
    """Return a mask of the whole length, True with probability `density` where `kinds` lets entries go."""
    mask = np.ones(len(model.values), bool)
    mask_units(model, mask, kinds, density, rng)
    for p in model.parameters.values():
        window, weight = p.of(mask), p.kind == "weight"
        if ("weights" if weight else "biases") in kinds and p.kind not in STATISTICS:
            window &= rng.random(window.shape) < density
        if weight and "bare" in kinds and rng.random() >= density:
            window[...] = False
    return mask


def mask_units(model, mask, kinds, density, rng):
    """Return the part of `random_mask` that goes by units."""
    coupling = model.couple()
    chosen = rng.random(coupling.n_units) >= density
    for use in coupling.uses:
        window = np.moveaxis(use.parameter.of(mask), use.axis, 0)
        if use.parameter.kind not in STATISTICS and ("rows" if use.reads else "units") in kinds:
            window[chosen[coupling.roots(use.units)]] = False
        if use.parameter.kind == "weight" and not use.reads and "columns" in kinds:
            window[rng.random(len(window)) >= density] = False


def random_input(model, rows=5, rng=0):
    """Return rows or images of normal numbers for `model`, in its dtype."""
    return np.random.default_rng(rng).normal(size=(rows, *model.input_shape)).astype(model.dtype)



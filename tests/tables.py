"""The tests' tables of small nets and of what judges them. A new criterion, structure or distribution joins every law
by its row in minnet's own table; a new net by its row in NETS.

    @pytest.mark.parametrize("net", NETS)
    def test_a_law(net):
        model = make(net)                  # float64, random values; no two alike
        sample = sample_for(model)         # rows and labels for it
"""
import numpy as np
from trees import randomise

from minnet.engine.activations import ReLU, Sigmoid, Tanh
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.engine.sample import draw_sample
from minnet.model import Model
from minnet.pruning.structures import STRUCTURES

ROWS = 7


def residual(filters):
    """A block whose branch ends as wide as it begins."""
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
SELF_COUNTING = {"n_m", "2:4", "1:3", "pattern"}                   # structures that refuse a sparsity
COUNTED = [name for name in (*STRUCTURES, "2x3", "3x1") if name not in SELF_COUNTING]
UNITS = ("neuron", "filter", "channel", "input")                   # these keep one unit an axis, and go whole
IMAGES = ("filter", "kernel", "pattern")                           # these want a convolution
IMAGE_NETS = ("conv", "residual", "depthwise")


def make(net, seed=0, dtype=np.float64):
    """The model of that name in NETS, its values drawn by `seed`."""
    tree, shape = NETS[net]()
    return randomise(Model.blank(tree, shape, dtype), np.random.default_rng(seed))


def sample_for(model, rows=ROWS, seed=1):
    """A Sample of normal inputs and random labels."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, *model.input_shape)).astype(model.dtype)
    y = rng.integers(model.output_shape[-1], size=rows)
    return draw_sample(model, (X, y), samples=None, rng=seed)


def fits(structure, net):
    """Whether the net has pieces of that structure."""
    if structure in IMAGES:
        return net in IMAGE_NETS
    return not (structure == "neuron" and net in ("residual", "depthwise"))  # their only Dense layer makes the logits


PAIRS = [(structure, net) for structure in COUNTED for net in NETS if fits(structure, net)]

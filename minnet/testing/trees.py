"""Random models for Hypothesis: trees of every layer that minnet has, with random values and masks of every kind.

    @given(models())                    # a Model in float64, random values, no mask
    @given(masked_models())             # the same with a mask
    @given(models(trees(rows=True)))    # dense layers only

What is drawn is small (images up to 6 x 6 x 3, a few units a layer), so that a failure shrinks to something readable.
"""
import numpy as np
from hypothesis import strategies as st

from minnet.engine.activations import Activation
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layers import LAYERS
from minnet.engine.more_activations import Softmax
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.prelu import PReLU
from minnet.engine.product import Product
from minnet.errors import InvalidValue
from minnet.model import Model
from minnet.runtime.graph import compiles
from minnet.testing.small import MASKS, random_mask, randomise

ACTIVATIONS = [layer for layer in LAYERS.values() if issubclass(layer, Activation)] + [Softmax]
few = st.integers(1, 4)
NESTED = 5  # beside so many layers in a branch stands one Residual or Concat


def shape_after(layer, shape):
    """Draw what comes out of a layer that is in no model yet."""
    return layer.build(shape)[0]


# --- layers ----------------------------------------------------------------------------------------------------------


@st.composite
def paddings(draw, kernel):
    """Draw any padding that a window of `kernel` takes."""
    sides = st.integers(0, kernel - 1)
    return draw(st.one_of(st.sampled_from(["valid", "same"]), sides, st.tuples(*[st.tuples(sides, sides)] * 2)))


@st.composite
def windows(draw, shape, same=False):
    """Draw (kernel, stride, padding) that fit an image of `shape`; with `same` the image keeps its size."""
    kernel = draw(st.integers(1, 3))
    if same:
        return kernel, 1, "same"
    stride, padding = draw(st.integers(1, 3)), draw(paddings(kernel))
    try:
        shape_after(AvgPool2d(kernel, stride, padding), shape)
    except InvalidValue:  # the window is larger than the image
        padding = "same"
    return kernel, stride, padding


@st.composite
def image_layers(draw, shape, same=False):
    """Draw one layer, or a few, on images of `shape`; with `same` height and width stay."""
    kind = draw(st.sampled_from(["conv", "conv", "depthwise", "norm", "activation", "max", "average", "dropout"]))
    if kind == "conv":
        groups = draw(st.sampled_from([1, 1, *[g for g in (2, 3) if shape[2] % g == 0]]))
        window, dilation = draw(windows(shape, same)), draw(st.sampled_from([1, 1, 2]))
        if dilation > 1:  # the window may now be larger than the image; on a small one it sees nothing but padding
            window, dilation = (*window[:2], "same"), dilation if min(shape[:2]) > dilation else 1
        return Conv2d(groups * draw(few), *window, dilation=dilation, groups=groups, use_bias=draw(st.booleans()))
    if kind == "depthwise":
        multiplier = draw(st.integers(1, 2))
        return DepthwiseConv2d(*draw(windows(shape, same)), multiplier, use_bias=draw(st.booleans()))
    if kind == "average":
        return AvgPool2d(*draw(windows(shape, same)), draw(st.booleans()))
    if kind == "max":
        return MaxPool2d(*draw(windows(shape, same)))
    return draw(plain_layers())


@st.composite
def plain_layers(draw):
    """Draw a layer that leaves the shape as it is, on rows and images alike."""
    if draw(st.booleans()):
        kind = draw(st.sampled_from([*ACTIVATIONS, PReLU]))
        return kind(per_channel=draw(st.booleans())) if kind is PReLU else kind()
    return draw(st.sampled_from([BatchNorm, BatchNorm, Dropout]))()


@st.composite
def row_layers(draw):
    """Draw one layer on rows."""
    if draw(st.booleans()):
        return Dense(draw(few), use_bias=draw(st.booleans()))
    return draw(plain_layers())


# --- trees -----------------------------------------------------------------------------------------------------------


@st.composite
def chains(draw, shape, same=False, longest=3, depth=0):
    """Draw some layers, one after the other, as a list; a Residual or Concat among them where `depth` is not 0."""
    layers = []
    for _ in range(draw(st.integers(0, longest))):
        if depth and draw(st.integers(0, NESTED)) == NESTED:
            layers.append(draw(draw(st.sampled_from([residuals, concats, products]))(shape, same, depth - 1)))
        else:
            layers.append(draw(image_layers(shape, same) if len(shape) == 3 else row_layers()))
        shape = shape_after(layers[-1], shape)
    return layers


def maker(units, shape, kernel=1, stride=1):
    """Draw the layer that makes `units` units of images (by a window) or of rows."""
    return Conv2d(units, kernel, stride, "same") if len(shape) == 3 else Dense(units)


@st.composite
def residuals(draw, shape, same=False, depth=1):
    """Draw a branch and a shortcut that come out alike: the identity, or a projection that may shrink the image."""
    inner = draw(chains(shape, same=True, longest=2, depth=depth))
    middle = shape_after(Sequential(*inner), shape)
    if draw(st.booleans()):
        last = maker(shape[-1], middle, kernel=draw(st.integers(1, 3)))
        return Residual(Sequential(*inner, last, draw(plain_layers())))
    units, stride = draw(few), {"stride": 1 if same else draw(st.integers(1, 2))} if len(shape) == 3 else {}
    return Residual(Sequential(*inner, maker(units, middle, **stride), draw(plain_layers())),
                    maker(units, shape, **stride))


@st.composite
def products(draw, shape, same=False, depth=1):
    """Draw a branch times another one, or times a gate of a number for each channel."""
    inner = draw(chains(shape, same=True, longest=2, depth=depth))
    if len(shape) == 1 or draw(st.booleans()):
        return Product(Sequential(*inner, maker(shape[-1], shape_after(Sequential(*inner), shape))))
    pool = draw(st.sampled_from([GlobalAvgPool2d, GlobalMaxPool2d]))()
    gate = Sequential(pool, Dense(draw(few)), draw(plain_layers()), Dense(shape_after(Sequential(*inner), shape)[-1]))
    return Product(gate, Sequential(*inner) if inner else None)


@st.composite
def concats(draw, shape, same=True, depth=1):
    """Draw some branches side by side; one may be the identity."""
    branches = [draw(chains(shape, same=True, longest=2, depth=depth)) for _ in range(draw(st.integers(1, 3)))]
    return Concat(*[Sequential(*branch) for branch in branches])


@st.composite
def blocks(draw, shape):
    """Draw a chain, a Residual, a Product or a Concat."""
    kind = draw(st.sampled_from(["chain", "chain", "residual", "product", "concat"]))
    if kind == "chain":
        return Sequential(*draw(chains(shape)))
    return draw({"residual": residuals, "product": products, "concat": concats}[kind](shape))


@st.composite
def trees(draw, rows=False, outputs=None):
    """Draw (tree, input shape): one to three blocks on images, a head that ends them, a few layers on rows, logits."""
    side = st.integers(1, 6)
    shape = start = (draw(few),) if rows else (draw(side), draw(side), draw(st.integers(1, 3)))
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        layers.append(draw(blocks(shape)))
        shape = shape_after(layers[-1], shape)
    if not rows:
        layers.append(draw(st.sampled_from([Flatten, GlobalAvgPool2d, GlobalMaxPool2d]))())
        shape = shape_after(layers[-1], shape)
    layers.append(draw(blocks(shape)) if draw(st.booleans()) else draw(plain_layers()))
    return Sequential(*layers, Dense(draw(few) if outputs is None else outputs)), start


# --- values and masks ------------------------------------------------------------------------------------------------


@st.composite
def models(draw, tree=None, dtype=np.float64):
    """Draw a Model with random values."""
    tree, shape = draw(trees() if tree is None else tree)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return randomise(Model.blank(tree, shape, dtype), rng)


@st.composite
def masked_models(draw, tree=None, kinds=MASKS, dtype=np.float64):
    """Draw a Model with random values and a random mask."""
    model = draw(models(tree, dtype))
    chosen = draw(st.sets(st.sampled_from(kinds), min_size=1))
    density = draw(st.sampled_from([0.1, 0.4, 0.7, 0.9]))
    model.set_mask(random_mask(model, chosen, density, np.random.default_rng(draw(st.integers(0, 2**32 - 1)))))
    return model


def compiled_models(dtype):
    """Draw models with a mask, of layers that all have kernels in frozen nets: others run by their forward."""
    return masked_models(dtype=dtype).filter(lambda model: compiles(model.tree))

"""The tests' table of layers. A new layer joins every test of layers by one row in ROWS.

    @pytest.mark.parametrize("name", ROWS)
    def test_a_law(name):
        model, x = ROWS[name].draw()          # float64, random values; no number of x near another or near 0

A twin says in PyTorch what the layer computes: (torch, layer, p, x, training) -> y, where `p.weight`, `p.bias`, ... are
tensors in minnet's layout and images are channels first, as PyTorch has them.
"""
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from trees import randomise

from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.adaptive import AdaptiveAvgPool2d
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import Layer
from minnet.engine.layer_norm import GroupNorm, InstanceNorm, LayerNorm
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU, Softmax
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.prelu import PReLU
from minnet.engine.product import Product
from minnet.engine.rare_activations import SELU, HardSigmoid, Hardtanh, Mish, Softplus
from minnet.engine.sparse import SparseDense
from minnet.model import Model
from minnet.testing.small import spaced

UNEVEN = ((0, 2), (1, 0))


@dataclass(frozen=True)
class Row:
    """A layer (or a tree), the shape of its input without the batch, and what is special about it.

    `zeros` is the share of the input that is 0, `scale` multiplies it; `cannot` says which law does not hold for it,
    and why. `twin` is the layer in PyTorch; one row of each kind of layer has it.
    """

    layer: Layer
    shape: tuple
    batch: int = 3
    zeros: float = 0.0
    scale: float = 1.0
    cannot: dict = field(default_factory=dict)
    twin: Callable | None = None

    def draw(self, seed=0):
        """(model, x): the input's numbers are evenly spaced, in random order, so that no maximum is a close call."""
        rng = np.random.default_rng(seed)
        model = randomise(Model(Sequential(self.layer), self.shape, rng=seed, dtype=np.float64), rng)
        for p in model.parameters.values():
            if p.index is not None:  # of the model, not of its values
                p.index[:] = np.sort(np.random.default_rng(0).choice(p.size, len(p.index), replace=False))
        return model, self.scale * spaced((self.batch, *self.shape), rng, self.zeros)


# --- what PyTorch says -----------------------------------------------------------------------------------------------


def pad(torch, layer, x, value=0.0):
    """The image with the layer's padding around it."""
    at = layer.window
    return torch.nn.functional.pad(x, (at.left, at.right, at.top, at.bottom), value=value)


def dense(torch, layer, p, x, training):
    return torch.nn.functional.linear(x, p.weight.T, p.bias)


def sparse_dense(torch, layer, p, x, training):
    index = torch.as_tensor(layer.weight.index)
    flat = torch.zeros(layer.weight.size, dtype=x.dtype).index_put((index,), p.weight)
    return torch.nn.functional.linear(x, flat.reshape(layer.weight.shape).T, p.bias)


def relu(torch, layer, p, x, training):
    return torch.relu(x)


def leaky_relu(torch, layer, p, x, training):
    return torch.nn.functional.leaky_relu(x, layer.slope)


def tanh(torch, layer, p, x, training):
    return torch.tanh(x)


def sigmoid(torch, layer, p, x, training):
    return torch.sigmoid(x)


def relu6(torch, layer, p, x, training):
    return torch.nn.functional.relu6(x)


def elu(torch, layer, p, x, training):
    return torch.nn.functional.elu(x, layer.alpha)


def silu(torch, layer, p, x, training):
    return torch.nn.functional.silu(x)


def hardswish(torch, layer, p, x, training):
    return torch.nn.functional.hardswish(x)


def gelu(torch, layer, p, x, training):
    return torch.nn.functional.gelu(x, approximate=layer.approximate)


def selu(torch, layer, p, x, training):
    return torch.nn.functional.selu(x)


def softplus(torch, layer, p, x, training):
    return torch.nn.functional.softplus(x, layer.beta)


def mish(torch, layer, p, x, training):
    return torch.nn.functional.mish(x)


def hardtanh(torch, layer, p, x, training):
    return torch.nn.functional.hardtanh(x, layer.low, layer.high)


def hard_sigmoid(torch, layer, p, x, training):
    return torch.clamp(layer.alpha * x + layer.beta, 0, 1)


def prelu(torch, layer, p, x, training):
    return torch.nn.functional.prelu(x, p.slopes)


def softmax(torch, layer, p, x, training):
    return torch.softmax(x, dim=1)


def flatten(torch, layer, p, x, training):
    """Channels last, as minnet has it."""
    return x.permute(0, 2, 3, 1).flatten(1)


def identity(torch, layer, p, x, training):
    return x


def mean(torch, layer, p, x, training):
    return x.mean(dim=(2, 3))


def largest(torch, layer, p, x, training):
    return x.amax(dim=(2, 3))


def conv(torch, layer, p, x, training):
    kernels = p.weight.permute(3, 2, 0, 1)
    at = layer.window
    return torch.nn.functional.conv2d(pad(torch, layer, x), kernels, p.bias, at.stride, 0, at.dilation, layer.groups)


def depthwise(torch, layer, p, x, training):
    kernels = p.weight.permute(3, 2, 0, 1)
    return torch.nn.functional.conv2d(pad(torch, layer, x), kernels, p.bias, layer.window.stride, groups=x.shape[1])


def batch_norm(torch, layer, p, x, training):
    """Also moves p.mean and p.variance, in training."""
    normalise = torch.nn.functional.batch_norm
    return normalise(x, p.mean, p.variance, p.gain, p.shift, training, layer.momentum, layer.epsilon)


def moments(torch, layer, p, x, training):
    """LayerNorm, GroupNorm and InstanceNorm, with the zeros that were removed put back."""
    functions, (_, groups, channels) = torch.nn.functional, layer.split

    def whole(v):
        return functions.pad(v.unflatten(-1, (groups, channels)), (0, layer.zeros)).flatten(-2)

    x = whole(x.movedim(1, -1))
    if isinstance(layer, LayerNorm):
        y = functions.layer_norm(x, x.shape[-1:], whole(p.gain), whole(p.shift), layer.epsilon)
    else:
        y = functions.group_norm(x.movedim(-1, 1), groups, whole(p.gain), whole(p.shift), layer.epsilon).movedim(1, -1)
    return y.unflatten(-1, (groups, -1))[..., :channels].flatten(-2).movedim(-1, 1)


def max_pool(torch, layer, p, x, training):
    padded = pad(torch, layer, x, -np.inf)
    return torch.nn.functional.max_pool2d(padded, layer.window.kernel, layer.window.stride)


def average_pool(torch, layer, p, x, training):
    def sums(image):
        at = layer.window
        return torch.nn.functional.avg_pool2d(pad(torch, layer, image), at.kernel, at.stride, divisor_override=1)

    return sums(x) / (np.prod(layer.window.kernel) if layer.count_padding else sums(torch.ones_like(x)))


def adaptive(torch, layer, p, x, training):
    return torch.nn.functional.adaptive_avg_pool2d(x, layer.output_shape[:2])


def sequential(torch, layer, p, x, training):
    for child in layer.layers:
        x = twin(torch, child, p, x, training)
    return x


def residual(torch, layer, p, x, training):
    other = x if layer.shortcut is None else twin(torch, layer.shortcut, p, x, training)
    return twin(torch, layer.branch, p, x, training) + other


def product(torch, layer, p, x, training):
    a, b = twin(torch, layer.branch, p, x, training), x
    if layer.other is not None:
        b = twin(torch, layer.other, p, x, training)
    a, b = (y[:, :, None, None] if y.ndim < len(layer.output_shape) + 1 else y for y in (a, b))
    return a * b


def concat(torch, layer, p, x, training):
    return torch.cat([twin(torch, branch, p, x, training) for branch in layer.branches], dim=1)


def twin(torch, layer, tensors, x, training):
    """What PyTorch computes for `layer`; `tensors` maps each parameter's name to its tensor."""
    kinds = ("weight", "bias", "gain", "shift", "slopes", "mean", "variance")
    own = SimpleNamespace(**{kind: tensors.get(f"{layer.name}.{kind}") for kind in kinds})
    return TWINS[type(layer)](torch, layer, tensors if layer.children() else own, x, training)


# --- the table -------------------------------------------------------------------------------------------------------

NOISE = "PyTorch draws other noise"
ROWS = {
    "Dense": Row(Dense(4), (3,), twin=dense),
    "Dense without bias": Row(Dense(2, use_bias=False), (5,), batch=1),
    "Dense on dark rows": Row(Dense(3), (17,), batch=4, zeros=0.8),
    "SparseDense": Row(SparseDense(4, 9), (5,), twin=sparse_dense),
    "SparseDense on a wide batch": Row(SparseDense(3, 4, use_bias=False), (6,), batch=19),
    "ReLU": Row(ReLU(), (5,), twin=relu),
    "ReLU on images": Row(ReLU(), (2, 3, 4)),
    "LeakyReLU": Row(LeakyReLU(0.2), (5,), twin=leaky_relu),
    "Tanh": Row(Tanh(), (2, 3, 4), twin=tanh),
    "Sigmoid": Row(Sigmoid(), (5,), twin=sigmoid),
    "ReLU6": Row(ReLU6(), (5,), scale=4, twin=relu6),
    "ELU": Row(ELU(0.7), (2, 3, 4), twin=elu),
    "SiLU": Row(SiLU(), (5,), twin=silu),
    "Hardswish": Row(Hardswish(), (5,), scale=2.3, twin=hardswish),
    "GELU": Row(GELU(), (2, 3, 4), twin=gelu),
    "GELU by tanh": Row(GELU("tanh"), (5,)),
    "SELU": Row(SELU(), (5,), twin=selu),
    "Softplus": Row(Softplus(1.7), (2, 3, 4), twin=softplus),
    "Mish": Row(Mish(), (5,), twin=mish),
    "Hardtanh": Row(Hardtanh(-0.9, 1.3), (5,), twin=hardtanh),
    "HardSigmoid": Row(HardSigmoid(), (5,), scale=2.3, twin=hard_sigmoid),
    "PReLU": Row(PReLU(), (5,), twin=prelu),
    "PReLU by channel": Row(PReLU(per_channel=True), (2, 3, 4)),
    "Softmax": Row(Softmax(), (5,), twin=softmax),
    "Softmax on images": Row(Softmax(), (2, 3, 4)),
    "Flatten": Row(Flatten(), (2, 3, 4), twin=flatten),
    "Dropout": Row(Dropout(0.4), (7,), cannot={"torch": NOISE}, twin=identity),
    "Dropout of nothing": Row(Dropout(0.0), (2, 3, 2)),
    "BatchNorm": Row(BatchNorm(), (3,), batch=5, twin=batch_norm),
    "BatchNorm on images": Row(BatchNorm(momentum=0.3, epsilon=1e-3), (2, 3, 4)),
    "LayerNorm": Row(LayerNorm(), (5,), twin=moments),
    "LayerNorm on images": Row(LayerNorm(epsilon=1e-2, zeros=2), (2, 2, 3)),
    "GroupNorm": Row(GroupNorm(2), (2, 3, 4), batch=2, twin=moments),
    "GroupNorm with zeros": Row(GroupNorm(2, epsilon=1e-2, zeros=1), (2, 2, 4), batch=2),
    "GroupNorm on rows": Row(GroupNorm(2), (6,)),
    "InstanceNorm": Row(InstanceNorm(), (2, 3, 2), twin=moments),
    "Conv2d": Row(Conv2d(4, 3), (5, 4, 2), twin=conv),
    "Conv2d 1 x 1": Row(Conv2d(3, 1), (2, 3, 4)),
    "Conv2d 1 x 1 with a stride": Row(Conv2d(3, 1, 2), (5, 4, 2)),
    "Conv2d same": Row(Conv2d(3, (2, 3), padding="same"), (4, 5, 2)),
    "Conv2d same with strides": Row(Conv2d(2, (3, 4), (2, 3), "same"), (6, 5, 3), batch=2),
    "Conv2d padded": Row(Conv2d(2, 3, 2, 1, use_bias=False), (6, 4, 2)),
    "Conv2d padded unevenly": Row(Conv2d(2, (3, 2), (2, 1), UNEVEN), (5, 6, 1)),
    "Conv2d dilated": Row(Conv2d(2, (2, 3), (1, 2), "same", dilation=(2, 1)), (4, 5, 2), batch=2),
    "Conv2d in groups": Row(Conv2d(4, 2, 1, 1, dilation=2, groups=2), (3, 4, 4), batch=2),
    "DepthwiseConv2d": Row(DepthwiseConv2d(3), (4, 5, 2), twin=depthwise),
    "DepthwiseConv2d doubling": Row(DepthwiseConv2d((2, 3), (1, 2), "same", 2), (3, 5, 3), batch=2),
    "DepthwiseConv2d padded unevenly": Row(DepthwiseConv2d((3, 2), 2, UNEVEN, use_bias=False), (5, 4, 2)),
    "MaxPool2d": Row(MaxPool2d(2), (5, 4, 3), twin=max_pool),
    "MaxPool2d overlapping": Row(MaxPool2d((3, 2), (1, 2)), (5, 6, 2)),
    "MaxPool2d same": Row(MaxPool2d(3, 2, "same"), (6, 5, 2)),
    "MaxPool2d padded unevenly": Row(MaxPool2d((3, 2), 2, UNEVEN), (5, 4, 2)),
    "AvgPool2d": Row(AvgPool2d(2), (5, 4, 3), twin=average_pool),
    "AvgPool2d same": Row(AvgPool2d((3, 2), (2, 3), "same"), (6, 5, 2)),
    "AvgPool2d padded unevenly": Row(AvgPool2d((3, 2), 1, UNEVEN), (4, 5, 2)),
    "AvgPool2d counting padding": Row(AvgPool2d((3, 2), 1, UNEVEN, True), (4, 5, 2)),
    "AdaptiveAvgPool2d": Row(AdaptiveAvgPool2d((3, 5)), (5, 7, 2), twin=adaptive),
    "AdaptiveAvgPool2d enlarging": Row(AdaptiveAvgPool2d((3, 2)), (2, 3, 2), batch=2),
    "GlobalMaxPool2d": Row(GlobalMaxPool2d(), (3, 4, 2), twin=largest),
    "GlobalAvgPool2d": Row(GlobalAvgPool2d(), (3, 4, 2), twin=mean),
    "Sequential": Row(Sequential(Dense(4), Tanh(), Dense(2)), (3,), twin=sequential),
    "Sequential on images": Row(
        Sequential(Conv2d(3, 2), BatchNorm(), Tanh(), MaxPool2d(2), Flatten(), Dense(2)), (5, 4, 2)),
    "Residual": Row(Residual(Sequential(Dense(4), Tanh(), Dense(3))), (3,), twin=residual),
    "Residual with a shortcut": Row(
        Residual(Sequential(Conv2d(3, 3, 2, "same"), BatchNorm()), Conv2d(3, 1, 2)), (5, 4, 2)),
    "Product": Row(Product(Dense(3), Sequential(Dense(3), Sigmoid())), (4,), twin=product),
    "Product with the input": Row(Product(Tanh()), (3,)),
    "Product with a gate": Row(
        Sequential(Conv2d(3, 2), Product(Sequential(GlobalAvgPool2d(), Dense(2), Tanh(), Dense(3), Sigmoid()))),
        (4, 3, 2)),
    "Concat": Row(Concat(Dense(2), Sequential(Dense(3), Sigmoid()), Tanh()), (4,), twin=concat),
    "Concat of images": Row(Concat(Conv2d(2, 1), MaxPool2d(3, 1, 1)), (4, 3, 2)),
}
TWINS = {type(row.layer): row.twin for row in ROWS.values() if row.twin}

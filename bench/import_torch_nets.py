"""PyTorch nets for `python -m bench imports`, as ONNX by both exporters, with rows and what is made of them.

    python bench/import_torch_nets.py FOLDER [NAME ...]     # NAME.old.onnx, NAME.new.onnx, NAME.npz, torch.json
    python bench/import_torch_nets.py FOLDER --quick        # a handful, by the older exporter alone
"""
import contextlib
import functools
import io
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

ROWS, SEED, LONGEST = 6, 0, 160
ROW, GREY, COLOUR, SEQUENCE = (9,), (1, 12, 12), (3, 12, 12), (3, 24)


class Net(nn.Module):
    """Parts, and a function of (parts, x)."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


# --- of rows ---------------------------------------------------------------------------------------------------------


def mlp(act, *end):
    return nn.Sequential(nn.Linear(9, 12), act, nn.Linear(12, 10), act, nn.Linear(10, 4), *end)


def around(*middle):
    """A hidden layer with something between it and the last."""
    return nn.Sequential(nn.Linear(9, 12), *middle, nn.Linear(12, 4))


def masked():
    net = mlp(nn.ReLU())
    for part in net:
        if isinstance(part, nn.Linear):
            prune.l1_unstructured(part, "weight", 0.5)
    return net


def skipping():
    return Net(lambda net, x: net.c(F.relu(net.a(x) + net.b(F.relu(net.a(x))))), a=nn.Linear(9, 8), b=nn.Linear(8, 8),
               c=nn.Linear(8, 4))


def wide_and_deep():
    return Net(lambda net, x: net.out(torch.cat([net.wide(x), net.deep(x)], 1)), wide=nn.Linear(9, 5),
               deep=nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 6)), out=nn.Linear(11, 4))


def glu():
    return Net(lambda net, x: net.out(net.value(x) * torch.sigmoid(net.gate(x))), value=nn.Linear(9, 8),
               gate=nn.Linear(9, 8), out=nn.Linear(8, 4))


def swiglu():
    return Net(lambda net, x: net.out(net.norm(net.value(x) * F.silu(net.gate(x)))), value=nn.Linear(9, 8),
               gate=nn.Linear(9, 8), norm=nn.LayerNorm(8), out=nn.Linear(8, 4))


def two_outputs():
    def run(net, x):
        z = net.a(x)
        return z, z.softmax(-1)
    return Net(run, a=mlp(nn.ReLU()))


ACTIVATIONS = {
    "relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.2), "relu6": nn.ReLU6(), "hardtanh": nn.Hardtanh(),
    "hardtanh_bounds": nn.Hardtanh(-0.5, 2.0), "elu": nn.ELU(), "elu_half": nn.ELU(0.5), "selu": nn.SELU(),
    "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "hardsigmoid": nn.Hardsigmoid(), "softplus": nn.Softplus(),
    "silu": nn.SiLU(), "hardswish": nn.Hardswish(), "mish": nn.Mish(), "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"), "prelu": nn.PReLU(),
}
ROWWISE = {f"mlp_{name}": (functools.partial(mlp, act), ROW) for name, act in ACTIVATIONS.items()} | {
    "linear": (lambda: nn.Linear(9, 4), ROW),
    "no_bias": (lambda: nn.Sequential(nn.Linear(9, 12, bias=False), nn.ReLU(), nn.Linear(12, 4, bias=False)), ROW),
    "five_layers": (lambda: nn.Sequential(*[layer for n in range(5) for layer in (nn.Linear(9, 9), nn.ReLU())],
                                          nn.Linear(9, 4)), ROW),
    "float64": (lambda: mlp(nn.Tanh()).double(), ROW),
    "prelu_per_unit": (lambda: around(nn.PReLU(12)), ROW),
    "batchnorm": (lambda: around(nn.BatchNorm1d(12), nn.ReLU()), ROW),
    "batchnorm_after": (lambda: around(nn.ReLU(), nn.BatchNorm1d(12), nn.Dropout(0.1)), ROW),
    "batchnorm_first": (lambda: nn.Sequential(nn.BatchNorm1d(9), *around(nn.ReLU())), ROW),
    "batchnorm_plain": (lambda: around(nn.BatchNorm1d(12, affine=False), nn.GELU()), ROW),
    "layernorm": (lambda: around(nn.LayerNorm(12), nn.ReLU()), ROW),
    "layernorm_plain": (lambda: around(nn.LayerNorm(12, elementwise_affine=False), nn.SiLU()), ROW),
    "masked": (masked, ROW),
    "flatten_first": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 10), nn.ReLU(), nn.Linear(10, 4)), GREY),
    "scaled_first": (lambda: Net(lambda net, x: net.a(((x - 0.3) / 0.4).flatten(1)),
                                 a=nn.Sequential(nn.Linear(144, 10), nn.ReLU(), nn.Linear(10, 4))), GREY),
    "softmax": (lambda: mlp(nn.ReLU(), nn.Softmax(1)), ROW, "softmax"),
    "log_softmax": (lambda: mlp(nn.ReLU(), nn.LogSoftmax(1)), ROW, "log_softmax"),
    "one_sigmoid": (lambda: nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 1), nn.Sigmoid()), ROW, "sigmoid"),
    "four_sigmoids": (lambda: mlp(nn.ReLU(), nn.Sigmoid()), ROW, "sigmoid"),
    "argmax": (lambda: Net(lambda net, x: net.a(x).argmax(1), a=mlp(nn.ReLU())), ROW, "argmax"),
    "two_outputs": (two_outputs, ROW),
    "residual_rows": (skipping, ROW), "wide_and_deep": (wide_and_deep, ROW), "glu": (glu, ROW), "swiglu": (swiglu, ROW),
}

# --- of images -------------------------------------------------------------------------------------------------------


def conv(i, o, k=3, *more, **options):
    """A convolution that keeps the size, BatchNorm, and what follows."""
    options = {"padding": k // 2, **options}
    return nn.Sequential(nn.Conv2d(i, o, k, bias=False, **options), nn.BatchNorm2d(o), *more)


def images(*layers, c=8, to=4):
    """Layers, then the mean of each channel and a dense layer."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, to))


def first(*layers, i=1, c=8):
    """A first convolution, a ReLU, then layers."""
    return images(nn.Conv2d(i, 8, 3, padding=1), nn.ReLU(), *layers, c=c)


def pooled(pool, n):
    """A convolution, a ReLU and a pool that leaves n places."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4 * n, 4))


def lenet(act, pool, flatten):
    def run(net, x):
        x = net.pool(net.act(net.two(net.pool(net.act(net.one(x))))))
        return net.four(net.act(net.three(flatten(x))))
    return Net(run, one=nn.Conv2d(1, 4, 5, padding=2), two=nn.Conv2d(4, 8, 3), three=nn.Linear(32, 12),
               four=nn.Linear(12, 4), act=act, pool=pool)


class Residual(nn.Module):
    """x plus its branch, through an activation."""

    def __init__(self, branch, short=None, act=None):
        super().__init__()
        self.branch, self.short, self.act = branch, short or nn.Identity(), act or nn.Identity()

    def forward(self, x):
        return self.act(self.branch(x) + self.short(x))


class Branches(nn.Module):
    """The channels of several branches, one behind another."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class Squeeze(nn.Module):
    """Squeeze and excite: each channel times a gate that all channels' means decide."""

    def __init__(self, c, gate):
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, 4, 1), nn.ReLU(), nn.Conv2d(4, c, 1), gate)

    def forward(self, x):
        return x * self.gate(x)


class SqueezeRows(nn.Module):
    """The same with dense layers."""

    def __init__(self, c):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(c, 4), nn.ReLU(), nn.Linear(4, c), nn.Sigmoid())

    def forward(self, x):
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


def inverted(act, *squeeze):
    """An inverted residual: 1x1 to more channels, depthwise, 1x1 back."""
    return Residual(nn.Sequential(conv(8, 16, 1, act), conv(16, 16, 3, act, groups=16), *squeeze, conv(16, 8, 1)))


def separable(act):
    return images(conv(3, 8, 3, act, stride=2), conv(8, 8, 3, act, groups=8), conv(8, 12, 1, act), c=12)


def bottleneck(groups=1):
    return Residual(nn.Sequential(conv(8, 4, 1, nn.ReLU()), conv(4, 4, 3, nn.ReLU(), groups=groups), conv(4, 8, 1)),
                    act=nn.ReLU())


def wider():
    return Residual(nn.Sequential(conv(8, 12, 3, nn.ReLU(), stride=2), conv(12, 12)),
                    conv(8, 12, 1, stride=2, padding=0), nn.ReLU())


def plain_block(act):
    return Residual(nn.Sequential(conv(8, 8, 3, act), conv(8, 8)), act=act)


def before_block():
    return Residual(nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8),
                                  nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)))


def dense_block():
    def grow(c):
        return Branches(nn.Identity(), nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 4, 3, padding=1)))
    return nn.Sequential(grow(8), grow(12))


def fire():
    return nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(), Branches(
        nn.Sequential(nn.Conv2d(4, 6, 1), nn.ReLU()), nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())))


def inception():
    return Branches(conv(8, 4, 1, nn.ReLU()), nn.Sequential(conv(8, 4, 1, nn.ReLU()), conv(4, 4, 3, nn.ReLU())),
                    nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(8, 4, 1, nn.ReLU())))


def mean_of_images(last):
    return Net(lambda net, x: net.two(last(F.relu(net.one(x)))), one=nn.Conv2d(1, 8, 3), two=nn.Linear(8, 4))


def scaled_images():
    net = Net(lambda net, x: net.rest((x - net.mean) / net.deviation), rest=first(i=3))
    net.register_buffer("mean", torch.tensor([0.4, 0.5, 0.3]).view(1, 3, 1, 1))
    net.register_buffer("deviation", torch.tensor([0.2, 0.3, 0.25]).view(1, 3, 1, 1))
    return net


IMAGES = {
    "lenet": (lambda: lenet(nn.ReLU(), nn.MaxPool2d(2), lambda x: x.view(x.size(0), -1)), GREY),
    "lenet_reshape": (lambda: lenet(nn.ReLU(), nn.MaxPool2d(2), lambda x: x.reshape(-1, 32)), GREY),
    "lenet_tanh": (lambda: lenet(nn.Tanh(), nn.AvgPool2d(2), lambda x: torch.flatten(x, 1)), GREY),
    "vgg": (lambda: images(conv(3, 6, 3, nn.ReLU()), conv(6, 6, 3, nn.ReLU()), nn.MaxPool2d(2),
                           conv(6, 8, 3, nn.ReLU()), nn.MaxPool2d(2), nn.Dropout2d(0.1)), COLOUR),
    "strided": (lambda: images(nn.Conv2d(1, 8, (3, 5), (1, 2), (1, 0)), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU()),
                GREY),
    "zero_pad": (lambda: images(nn.ZeroPad2d((0, 1, 1, 0)), nn.Conv2d(1, 8, 3, 2), nn.ReLU()), GREY),
    "same": (lambda: images(nn.Conv2d(1, 8, 4, padding="same"), nn.ReLU()), GREY),
    "dilated": (lambda: first(nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.ReLU()), GREY),
    "grouped": (lambda: first(nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.ReLU()), GREY),
    "grouped_4": (lambda: first(conv(8, 12, 3, nn.ReLU(), groups=4), c=12), GREY),
    "depthwise": (lambda: first(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU()), GREY),
    "multiplier": (lambda: images(nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), c=6), COLOUR),
    "transposed": (lambda: images(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.ConvTranspose2d(8, 6, 3), nn.ReLU(), c=6), GREY),
    "separable": (lambda: separable(nn.ReLU()), COLOUR), "separable_relu6": (lambda: separable(nn.ReLU6()), COLOUR),
    "separable_hardswish": (lambda: separable(nn.Hardswish()), COLOUR),
    "inverted_residual": (lambda: first(inverted(nn.ReLU6()), i=3), COLOUR),
    "inverted_squeeze": (lambda: first(inverted(nn.Hardswish(), Squeeze(16, nn.Hardsigmoid())), i=3), COLOUR),
    "inverted_silu": (lambda: first(inverted(nn.SiLU(), Squeeze(16, nn.Sigmoid())), i=3), COLOUR),
    "squeeze": (lambda: first(Squeeze(8, nn.Sigmoid()), i=3), COLOUR),
    "squeeze_rows": (lambda: first(SqueezeRows(8), i=3), COLOUR),
    "resnet": (lambda: first(plain_block(nn.ReLU()), wider(), i=3, c=12), COLOUR),
    "resnet_mish": (lambda: first(plain_block(nn.Mish()), i=3), COLOUR),
    "bottleneck": (lambda: first(bottleneck(), i=3), COLOUR), "resnext": (lambda: first(bottleneck(2), i=3), COLOUR),
    "preactivated": (lambda: first(before_block(), i=3), COLOUR),
    "densenet": (lambda: first(dense_block(), i=3, c=16), COLOUR), "fire": (lambda: first(fire(), c=12), GREY),
    "inception": (lambda: first(inception(), i=3, c=12), COLOUR),
    "mean": (lambda: mean_of_images(lambda x: x.mean((2, 3))), GREY),
    "mean_twice": (lambda: mean_of_images(lambda x: x.mean(-1).mean(-1)), GREY),
    "amax": (lambda: mean_of_images(lambda x: x.amax((2, 3))), GREY),
    "adaptive_max": (lambda: pooled(nn.AdaptiveMaxPool2d(1), 1), GREY),
    "adaptive_avg_3": (lambda: pooled(nn.AdaptiveAvgPool2d(3), 9), GREY),
    "adaptive_avg_overlap": (lambda: pooled(nn.AdaptiveAvgPool2d(11), 121), GREY),
    "adaptive_avg_uneven": (lambda: pooled(nn.AdaptiveAvgPool2d((5, 7)), 35), GREY),
    "max_ceil": (lambda: pooled(nn.MaxPool2d(3, 2, ceil_mode=True), 36), GREY),
    "max_pad": (lambda: pooled(nn.MaxPool2d(3, 2, 1), 36), GREY),
    "max_overlap": (lambda: pooled(nn.MaxPool2d(3, 2), 25), GREY),
    "avg_pad": (lambda: pooled(nn.AvgPool2d(3, 2, 1), 36), GREY),
    "avg_pad_left_out": (lambda: pooled(nn.AvgPool2d(3, 2, 1, count_include_pad=False), 36), GREY),
    "groupnorm": (lambda: first(nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 8, 3)), GREY),
    "instancenorm": (lambda: first(nn.Conv2d(8, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.ReLU()), GREY),
    "instancenorm_plain": (lambda: first(nn.Conv2d(8, 8, 3), nn.InstanceNorm2d(8), nn.Tanh()), GREY),
    "prelu_images": (lambda: images(nn.Conv2d(1, 8, 3), nn.PReLU(8), nn.Conv2d(8, 8, 3), nn.PReLU()), GREY),
    "all_convolutions": (lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 10), nn.Flatten()), GREY),
    "convolution_last": (lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1),
                                               nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(-1)), GREY, "softmax"),
    "scaled_images": (scaled_images, COLOUR),
}

# --- of sequences ----------------------------------------------------------------------------------------------------

SEQUENCES = {
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 6, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(60, 4)),
               SEQUENCE),
    "conv1d_norm": (lambda: nn.Sequential(nn.Conv1d(3, 6, 3, 2, 1), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 8, 3),
                                          nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 4)), SEQUENCE),
    "conv1d_dilated": (lambda: nn.Sequential(nn.Conv1d(3, 6, 3, dilation=2), nn.SiLU(), nn.AvgPool1d(2), nn.Flatten(),
                                             nn.Linear(60, 4)), SEQUENCE),
    "conv1d_separable": (lambda: nn.Sequential(nn.Conv1d(3, 3, 3, padding=1, groups=3), nn.Conv1d(3, 8, 1), nn.ReLU(),
                                               nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 4)), SEQUENCE),
    "conv1d_adaptive": (lambda: nn.Sequential(nn.Conv1d(3, 6, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(7), nn.Flatten(),
                                              nn.Linear(42, 4)), SEQUENCE),
    "conv1d_residual": (lambda: Net(lambda net, x: net.last((x + F.relu(net.one(x))).mean(-1)),
                                    one=nn.Conv1d(3, 3, 3, padding=1), last=nn.Linear(3, 4)), SEQUENCE),
}

# --- what minnet has no layers for -----------------------------------------------------------------------------------


def recurrent(kind):
    return Net(lambda net, x: net.out(net.cells(x)[0][:, -1]), cells=kind(24, 6, batch_first=True), out=nn.Linear(6, 4))


OTHERS = {
    "lstm": (lambda: recurrent(nn.LSTM), SEQUENCE), "gru": (lambda: recurrent(nn.GRU), SEQUENCE),
    "attention": (lambda: Net(lambda net, x: net.out(net.over(x, x, x)[0].mean(1)),
                              over=nn.MultiheadAttention(24, 2, batch_first=True), out=nn.Linear(24, 4)), SEQUENCE),
    "response_norm": (lambda: first(nn.LocalResponseNorm(3)), GREY),
    "reflect": (lambda: images(nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU()), GREY),
    "softsign": (lambda: mlp(nn.Softsign()), ROW), "upsample": (lambda: first(nn.Upsample(scale_factor=2)), GREY),
}
NETS = ROWWISE | IMAGES | SEQUENCES | OTHERS
QUICK = ("mlp_gelu", "one_sigmoid", "masked", "glu", "resnext", "inverted_squeeze", "densenet",
         "conv1d_norm", "softsign")

# --- to files --------------------------------------------------------------------------------------------------------


def made(name):
    """The module, in use, with statistics and gains as if it had been trained; its rows and outputs."""
    torch.manual_seed(SEED)
    make, shape, *_ = NETS[name]
    module = make()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
        if hasattr(part, "running_mean") or isinstance(part, (nn.LayerNorm, nn.GroupNorm)):
            for values in part.parameters():
                values.data += torch.randn_like(values) / 4
    module.eval()
    x = torch.randn(ROWS, *shape, dtype=next(module.parameters()).dtype)
    with torch.no_grad():
        y = module(x)
    return module, x, y[0] if isinstance(y, tuple) else y


def export(module, x, path, newer):
    """Write a module as ONNX; what its exporter says, if it refuses."""
    silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    try:
        with silent[0], silent[1], warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters' own, about themselves
            torch.onnx.export(module, (x[:1],), str(path), dynamo=newer)
    except Exception as error:  # whatever an exporter raises
        return f"{type(error).__name__}: {' '.join(str(error).split())[:LONGEST]}"
    return ""


def write(folder, names=(), newer=True):
    """Write the nets of these names, or all, that a run before has not; {file: end, or what the exporter said}."""
    logging.disable(logging.CRITICAL)
    listed = folder / "torch.json"
    found = json.loads(listed.read_text()) if listed.is_file() else {}
    for name in names or NETS:
        if any(file.startswith(f"{name}.") for file in found):
            continue
        module, x, y = made(name)
        np.savez(folder / f"{name}.npz", x=x.numpy(), y=y.numpy())
        for kind in ("old", "new") if newer else ("old",):
            file = f"{name}.{kind}.onnx"
            found[file] = {"end": "".join(NETS[name][2:]), "refused": export(module, x, folder / file, kind == "new")}
        listed.write_text(json.dumps(found))
    return found


if __name__ == "__main__":
    write(Path(sys.argv[1]), *((QUICK, False) if sys.argv[2:] == ["--quick"] else (sys.argv[2:],)))

"""The architecture of a PyTorch state dict of convolutions, BatchNorm and Linear layers in a chain, where one fits.

    model = image_chain(modules, "net.safetensors", (28, 28, 1))    # {name of a module: arrays} -> Model, all 0

A state dict tells no strides, padding, pools or activations. Strides are assumed to be 1, padding of all convolutions
or of none, max pools of 2 x 2 behind any of them, and ReLU; numbers missing between the names of one nn.Sequential say
where nothing is. The first Linear layer takes as many numbers as an image then has: only where one choice is left is it
taken, and a UserWarning says it.
"""
import itertools
import math
import re
import warnings
from typing import NamedTuple

from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import Flatten, MaxPool2d
from minnet.errors import InvalidValue, MinnetError, file_error, quoted
from minnet.formats.assign import natural, numbers_in
from minnet.formats.torch_chain import FIX, STATISTICS, dtype_of, layer_name, linear_layers
from minnet.model import Model

CONV_AXES, IMAGE_AXES, POOL = 4, 3, 2
MOST_CONVS = 12


class Block(NamedTuple):
    """A convolution, the BatchNorm behind it or None, and numbers that are missing: between both, behind (or None)."""

    name: str
    weight: tuple       # its shape: (out, in, kh, kw)
    norm: str | None
    between: int
    behind: int | None


def is_conv(arrays):
    """Return whether a module is a convolution of images, not grouped as far as can be told."""
    return "weight" in arrays and arrays["weight"].ndim == CONV_AXES and set(arrays) <= {"weight", "bias"}


def image_chain(modules: dict, path, shape) -> Model:
    """Return a Model of all modules for inputs of `shape`, (height, width, channels).

    Raises FileError where no choice fits, or more than one, InvalidValue where the shape is none of an image.
    """
    convs = sorted((name for name, arrays in modules.items() if is_conv(arrays)), key=natural)
    if shape is not None and (len(shape) != IMAGE_AXES or not all(isinstance(n, int) and n > 0 for n in shape)):
        raise InvalidValue(f"shape={quoted(repr(shape))}; wanted (height, width, channels)")
    if shape is None:
        raise file_error(path, f"is a state dict of convolutions, {quoted(', '.join(convs[:3]))}, which do not say the "
                         "shape of their input", "give it with --shape H,W,C, in Python load_torch(path, shape=(h, w, "
                         f"c)); or {FIX}")
    if len({_pattern(name) for name in convs}) > 1 or len(convs) > MOST_CONVS:
        raise file_error(path, f"has convolutions whose names do not say which comes first: {quoted(', '.join(convs))}",
                         FIX)
    norms = _norms(modules, convs)
    rest = {name: arrays for name, arrays in modules.items() if name not in convs and name not in norms.values()}
    dense, width = linear_layers(rest, path)
    first = min((name for name, arrays in rest.items() if "running_mean" not in arrays), key=natural)
    blocks = [_block(modules, name, norms.get(name), after)
              for name, after in zip(convs, [*convs[1:], first], strict=True)]
    padded, pools = _reading(blocks, shape, width, path)
    layers = [layer for block, pool in zip(blocks, pools, strict=True)
              for layer in _layers(modules, block, padded, pool)] + [Flatten(), *dense]
    warnings.warn("the state dict does not say what is between its layers; of strides of 1, padding of all "
                  "convolutions or of none, and max pools of 2 x 2 one choice fits its shapes: "
                  f"{', '.join(map(_word, layers))}; if that is not so, give the architecture, or export the net as "
                  "ONNX", UserWarning, stacklevel=4)
    try:
        return Model.blank(Sequential(*layers), tuple(shape), dtype_of(modules))
    except MinnetError as error:
        raise file_error(path, quoted(str(error)), FIX) from error


def _pattern(name):
    return re.sub(r"\d+", "#", name)


def _norms(modules, convs):
    """Return {convolution: the BatchNorm behind it}: by its place in one nn.Sequential, else by the same numbers."""
    found = {}
    others = [name for name, arrays in modules.items() if "running_mean" not in arrays]
    for name, arrays in modules.items():
        if not set(arrays) >= STATISTICS:
            continue
        before = [one for one in others if _pattern(one) == _pattern(name) and natural(one) < natural(name)]
        fit = [one for one in others if numbers_in(one) == numbers_in(name) and _fits(arrays, modules[one])]
        at = max(before, key=natural) if before else fit[0] if len(fit) == 1 else None
        if at in convs and at not in found and _fits(arrays, modules[at]):
            found[at] = name
    return found


def _fits(norm, layer):
    """Return whether a BatchNorm has as many channels as a layer gives."""
    return "weight" in layer and layer["weight"].shape[:1] == norm["running_mean"].shape


def _block(modules, name, norm, after):
    """Return the Block of a convolution; `after` is the next convolution or Linear layer."""
    between = _missing(name, norm) or 0 if norm else 0
    return Block(name, modules[name]["weight"].shape, norm, between, _missing(norm or name, after))


def _missing(name, after):
    """Return how many modules of one nn.Sequential are between two, None where the names do not say."""
    a, b = numbers_in(name), numbers_in(after)
    one = _pattern(name) == _pattern(after) and a[:-1] == b[:-1] and name.rpartition(".")[2].isdecimal()
    return b[-1] - a[-1] - 1 if one else None


def _reading(blocks, shape, width, path):
    """Return (whether convolutions are padded, where pools are) of the one choice that gives `width` numbers."""
    *size, channels = shape
    for block in blocks:
        if block.weight[1] != channels:
            raise file_error(path, f"has {quoted(block.name)}, which takes {block.weight[1]} channels, behind "
                             f"{channels}", FIX)
        channels = block.weight[0]
    sides = {side for block in blocks for side in block.weight[2:]}
    paddings = [False] + [True] * (all(side % 2 for side in sides) and sides != {1})
    choices = [_pools(block, i + 1 == len(blocks)) for i, block in enumerate(blocks)]
    fits = [(padded, pools) for padded in paddings for pools in itertools.product(*choices)
            if _area(blocks, size, padded, pools) * channels == width]
    if len(fits) != 1:
        raise file_error(path, "is a state dict of convolutions, which tells neither padding nor pools: of strides of "
                         f"1, padding of all or of none, and max pools of 2 x 2, {len(fits) or 'no'} choices give the "
                         f"{width} numbers that its first Linear layer takes, for an input of {tuple(shape)}", FIX)
    return fits[0]


def _pools(block, last):
    """Return whether there may be a pool behind a block: ReLU is missing there, a Flatten at the end, and a pool."""
    if block.behind is None:
        return (False, True)
    return (False, True) if block.behind - last - (not block.between) > 0 else (False,)


def _area(blocks, size, padded, pools):
    """Return how many pixels are left of an image of this size, 0 where it is too small."""
    for block, pool in zip(blocks, pools, strict=True):
        size = [(n if padded else n - side + 1) // (POOL if pool else 1)
                for n, side in zip(size, block.weight[2:], strict=True)]
        if min(size) < 1:
            return 0
    return math.prod(size)


def _layers(modules, block, padded, pool):
    """Return the layers of a block."""
    filters, _, *sides = block.weight
    padding = tuple((side // 2, side // 2) for side in sides) if padded else "valid"
    layers = [Conv2d(filters, tuple(sides), padding=padding, use_bias="bias" in modules[block.name],
                     name=layer_name(block.name))]
    layers += [ReLU()] if block.between else []
    layers += [BatchNorm(name=layer_name(block.norm))] if block.norm else []
    layers += [ReLU()] if not block.between and block.behind != 0 else []
    return layers + [MaxPool2d(POOL)] * pool


def _word(layer):
    """Return a layer in a word: its class, and how many outputs it has."""
    size = getattr(layer, "filters", getattr(layer, "units", ""))
    padding = " padded" if isinstance(layer, Conv2d) and layer.padding != "valid" else ""
    return f"{type(layer).__name__}{f' of {size}' if size else ''}{padding}"

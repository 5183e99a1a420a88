"""Nets of PyTorch and Keras, read, pruned, trained, compacted, frozen and written: `python -m bench.imports`.

Each row says how far minnet's outputs are from those of the library that made the net, how many weights are left when
half of the units are pruned, and how far the compacted net, the frozen one, and its ONNX file in ONNX Runtime are from
the pruned one; relative to the largest output. Keras is skipped where it is not installed.
"""
import importlib.util
import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

import minnet as mn

ROWS = 24
TINY = 1e-4     # learning rate of the one epoch
LIMIT = 1e-5
UNITS = ("channel", "filter", "neuron")


# --- PyTorch ---------------------------------------------------------------------------------------------------------


class Fork(nn.Module):
    """Two branches of one input, joined by a function."""

    def __init__(self, join, *branches):
        super().__init__()
        self.join, self.branches = join, nn.ModuleList(branches)

    def forward(self, x):
        """Return what `join` makes of the branches' outputs."""
        return self.join(*(branch(x) for branch in self.branches))


def table(*between, norm=None, units=3):
    """An MLP on 20 features with these layers between its dense ones."""
    after = [] if norm is None else [norm()]
    return nn.Sequential(nn.Linear(20, 16), *after, *between, nn.Linear(16, 8), *between, nn.Linear(8, units))


def image(*layers, channels=3, head=None):
    """A convolution, layers on its 8 channels of 10 x 10 pixels, and a head."""
    return nn.Sequential(nn.Conv2d(channels, 8, 3), *layers,
                         *(head or (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))))


def line(*layers):
    """The same of sequences."""
    return nn.Sequential(nn.Conv1d(3, 8, 3), nn.ReLU(), *layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 4))


def residual(*layers, shortcut=None):
    """The sum of layers and what they read, or a shortcut."""
    return Fork(torch.add, nn.Sequential(*layers), shortcut or nn.Identity())


def torch_nets():
    """Yield (name, module, shape of one row)."""
    kinds = ("ReLU LeakyReLU ReLU6 ELU SELU GELU SiLU Mish Softplus Hardtanh Hardswish Hardsigmoid Tanh Sigmoid PReLU"
             .split())
    for kind in kinds:
        yield f"MLP, {kind}", table(getattr(nn, kind)()), (20,)
    yield "MLP, GELU by tanh", table(nn.GELU(approximate="tanh")), (20,)
    yield "MLP, BatchNorm", table(nn.ReLU(), norm=lambda: nn.BatchNorm1d(16)), (20,)
    yield "MLP, LayerNorm", table(nn.ReLU(), norm=lambda: nn.LayerNorm(16)), (20,)
    yield "MLP, dropout", table(nn.ReLU(), nn.Dropout()), (20,)
    for end in (nn.Softmax(1), nn.LogSoftmax(1)):
        yield f"MLP, {type(end).__name__} at the end", nn.Sequential(*table(nn.ReLU()), end), (20,)
    yield "MLP, one sigmoid", nn.Sequential(*table(nn.ReLU(), units=1), nn.Sigmoid()), (20,)
    yield "linear", nn.Linear(20, 3), (20,)
    yield "MLP, residual", nn.Sequential(nn.Linear(20, 8), residual(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 3)), (20,)
    gated = Fork(torch.mul, nn.Linear(20, 8), nn.Sequential(nn.Linear(20, 8), nn.Sigmoid()))
    yield "gated linear unit", nn.Sequential(gated, nn.Linear(8, 3)), (20,)
    yield from image_nets()
    yield "sequence", line(), (3, 16)
    yield "sequence, BatchNorm", line(nn.BatchNorm1d(8)), (3, 16)
    yield "sequence, pool", line(nn.MaxPool1d(2)), (3, 16)
    yield "sequence, dilated", line(nn.Conv1d(8, 8, 3, dilation=2)), (3, 16)
    yield "sequence, grouped", line(nn.Conv1d(8, 8, 3, groups=4)), (3, 16)
    yield "sequence, residual", line(residual(nn.Conv1d(8, 8, 3, padding=1), nn.ReLU())), (3, 16)


def side_by_side(*branches):
    """Return the channels of all branches."""
    return torch.cat(branches, 1)


def image_nets():
    """Yield those on images."""
    shape, flat = (3, 12, 12), (nn.Flatten(), nn.Linear(800, 5))
    layers = {
        "ReLU": [nn.ReLU()], "BatchNorm": [nn.BatchNorm2d(8), nn.ReLU()], "dropout": [nn.Dropout2d(), nn.ReLU()],
        "GroupNorm": [nn.GroupNorm(2, 8), nn.ReLU()], "InstanceNorm": [nn.InstanceNorm2d(8, affine=True), nn.ReLU()],
        "max pool": [nn.ReLU(), nn.MaxPool2d(2)], "max pool, padded": [nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)],
        "max pool, ceiled": [nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)], "mean pool": [nn.ReLU(), nn.AvgPool2d(2)],
        "mean pool, padded": [nn.ReLU(), nn.AvgPool2d(3, 2, padding=1)],
        "mean pool, padding not counted": [nn.ReLU(), nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)],
        "adaptive pool": [nn.ReLU(), nn.AdaptiveAvgPool2d(5)], "PReLU of channels": [nn.PReLU(8)],
        "grouped": [nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2)], "depthwise": [nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8)],
        "depthwise, two of each": [nn.ReLU(), nn.Conv2d(8, 16, 3, groups=8), nn.ReLU(), nn.Conv2d(16, 8, 1)],
        "dilated": [nn.ReLU(), nn.Conv2d(8, 8, 3, dilation=2)], "strides": [nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2)],
        "window of two sizes": [nn.ReLU(), nn.Conv2d(8, 8, (3, 5), stride=(1, 2), padding=(1, 0))],
        "padding on one side": [nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, stride=2)],
        "residual": [nn.ReLU(), residual(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)), nn.ReLU()],
        "residual, shortcut": [nn.ReLU(), residual(nn.Conv2d(8, 8, 3, padding=1), shortcut=nn.Conv2d(8, 8, 1))],
        "concatenation": [Fork(side_by_side, nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, padding=1)), nn.ReLU()],
        "squeeze and excitation": [Fork(torch.mul, nn.ReLU(), nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Sigmoid()))],
        "inverted bottleneck": [residual(nn.Conv2d(8, 24, 1), nn.BatchNorm2d(24), nn.ReLU6(),
                                         nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.BatchNorm2d(24), nn.Hardswish(),
                                         nn.Conv2d(24, 8, 1))],
    }
    for name, made in layers.items():
        yield f"CNN, {name}", image(*made), shape
    yield "CNN, flattened", image(nn.ReLU(), head=flat), shape
    yield "CNN, grey", image(nn.ReLU(), channels=1), (1, 12, 12)
    heads = {"maximum of images": (nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
             "no dense layer": (nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())}
    for name, head in heads.items():
        yield f"CNN, {name}", image(nn.ReLU(), head=head), shape
    yield "flattened first", nn.Sequential(nn.Flatten(), nn.Linear(432, 16), nn.ReLU(), nn.Linear(16, 5)), shape


def of_torch():
    """Yield (name, what reads it, rows in minnet's layout, outputs)."""
    for name, module, shape in torch_nets():
        x = torch.randn(ROWS, *shape)
        module.train()(x)  # so that statistics are some
        with torch.no_grad():
            y = module.eval()(x).numpy()
        rows = np.moveaxis(x.numpy(), 1, -1)
        yield name, lambda module=module, x=x: mn.from_torch(module, x[:2]), rows, y


# --- Keras -----------------------------------------------------------------------------------------------------------


def keras_nets(keras):
    """Yield (name, model)."""
    L = keras.layers
    row, picture, sequence = (20,), (12, 12, 3), (16, 3)

    def chain(shape, *layers):
        return keras.Sequential([keras.Input(shape), *layers])

    def cnn(*layers):
        return chain(picture, L.Conv2D(8, 3), *layers, L.GlobalAveragePooling2D(), L.Dense(5))

    for kind in ("relu leaky_relu relu6 elu selu gelu silu mish softplus hard_tanh hard_silu hard_sigmoid tanh sigmoid"
                 .split()):
        yield f"MLP, {kind}", chain(row, L.Dense(16, activation=kind), L.Dense(3, activation="softmax"))
    yield "MLP, BatchNorm", chain(row, L.Dense(16), L.BatchNormalization(scale=False), L.ReLU(), L.Dense(3))
    yield "MLP, LayerNorm", chain(row, L.Dense(16), L.LayerNormalization(), L.PReLU(), L.Dense(3))
    yield "MLP, one sigmoid", chain(row, L.Dense(16, "relu"), L.Dense(1, activation="sigmoid"))
    yield "MLP, Normalization", chain(row, L.Normalization(mean=1.0, variance=4.0), L.Dense(16, "relu"), L.Dense(3))
    yield "models inside models", chain(row, keras.Sequential([L.Dense(8, "relu")]), keras.Sequential([L.Dense(3)]))
    yield "CNN, Rescaling", chain(picture, L.Rescaling(2.0, offset=-1), L.Conv2D(8, 3, activation="relu"), L.Flatten(),
                                  L.Dense(5))
    yield "CNN, separable", cnn(L.SeparableConv2D(8, 3, padding="same"), L.BatchNormalization(), L.ReLU(6.0))
    yield "CNN, depthwise", cnn(L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"), L.MaxPooling2D(2))
    yield "CNN, grouped and dilated", cnn(L.Conv2D(8, 3, groups=2, activation="relu"), L.Conv2D(8, 3, dilation_rate=2))
    yield "CNN, GroupNorm", cnn(L.GroupNormalization(4), L.ReLU(), L.AveragePooling2D(2, padding="same"))
    yield "CNN, padding on one side", cnn(L.ReLU(), L.ZeroPadding2D(((0, 1), (0, 1))), L.Conv2D(8, 3, strides=2))
    yield "sequence", chain(sequence, L.Conv1D(8, 3, padding="causal", activation="relu"), L.MaxPooling1D(2),
                            L.GlobalAveragePooling1D(), L.Dense(4))
    x = y = keras.Input(picture)
    for _ in range(2):
        y = L.Conv2D(3, 3, padding="same", activation="relu")(y)
    gate = L.Dense(3, activation="sigmoid")(L.GlobalAveragePooling2D()(y))
    y = L.Add()([x, L.Multiply()([y, L.Reshape((1, 1, 3))(gate)])])
    both = L.Concatenate()([y, L.Conv2D(4, 3, padding="same", activation="relu")(y)])
    yield "graph of sum, gate and concatenation", keras.Model(x, L.Dense(5)(L.GlobalMaxPooling2D()(both)))
    yield "MobileNetV3", keras.applications.MobileNetV3Small((32, 32, 3), weights=None, classes=10)


def of_keras(folder):
    """Yield (name, what reads it, rows, outputs), by .keras files."""
    if importlib.util.find_spec("keras") is None:
        return
    import keras

    for i, (name, model) in enumerate(keras_nets(keras)):
        path = Path(folder) / f"{i}.keras"
        model.save(path)
        rows = np.random.default_rng(i).normal(size=(ROWS, *model.input_shape[1:])).astype(np.float32)
        yield name, lambda path=path: mn.load_keras(path), rows, np.array(model.predict(rows, verbose=0))


# --- what is done with each ------------------------------------------------------------------------------------------


def apart(found, wanted):
    """Return the largest difference, relative to the largest number."""
    return float(np.abs(found.reshape(wanted.shape) - wanted).max() / max(1, np.abs(wanted).max()))


def as_the_file_has(outputs, wanted):
    """Return logits as probabilities or logarithms of these where the net itself ends so."""
    z = outputs.astype(np.float64)
    if z.size != wanted.size:  # one probability became the logits of two classes
        return 1 / (1 + np.exp(z[:, :1] - z[:, 1:]))
    soft = np.exp(z - z.max(-1, keepdims=True))
    soft /= soft.sum(-1, keepdims=True)
    return min((z, soft, np.log(soft), 1 / (1 + np.exp(-z))), key=lambda found: apart(found, wanted))


def written(model, rows):
    """Return the outputs of the model's ONNX file in ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        mn.save_onnx(model, path)
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    rows = rows.reshape(len(rows), *model.input_shape)
    return session.run(None, {wanted.name: np.ascontiguousarray(
        rows if rows.ndim < 4 or wanted.shape[1:] == [*rows.shape[1:]] else rows.transpose(0, 3, 1, 2))})[0]


def row(read, rows, wanted):
    """Return the cells of one net: how far it is, and each later step from the one before."""
    model = read()
    cells = [apart(as_the_file_has(model(rows), wanted), wanted)]
    share = "-"
    for structure in UNITS:
        try:
            mn.prune(model, 0.5, structure=structure)
        except mn.MinnetError:
            continue  # all its units are outputs
        share = f"{model.density:.0%}"
        break
    labels = np.arange(len(rows)) % model.output_shape[-1]
    targets = {"multilabel": np.eye(model.output_shape[-1], dtype=int)[labels]}
    task = model.signature and model.signature.task
    for _ in mn.train(model, (rows, targets.get(task, labels)), epochs=1, optimizer=mn.SGD(lr=TINY), rng=0,
                      loss="binary_cross_entropy" if task == "multilabel" else "cross_entropy"):
        pass
    pruned, small = model(rows), mn.compact(model)
    cells += [apart(small(rows), pruned), apart(mn.freeze(small).decision_function(rows), pruned)
              if pruned.shape[1] > 2 else 0.0, apart(written(small, rows), pruned)]
    return share, cells


def main():
    """Print a table of all nets, and how many of them are equal at every step."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    out = io.StringIO()
    print("| net | read | weights left | compacted | frozen | ONNX |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for library, nets in (("PyTorch", of_torch()), ("Keras", of_keras(folder))):
            out.write(rows_of(library, nets))
    print(f"\n{out.getvalue()}")


def rows_of(library, nets):
    """Print a row for each net; return how many of them are equal at every step, as a line."""
    good = total = 0
    for name, *given in nets:
        total += 1
        try:
            share, cells = row(*given)
        except mn.MinnetError as error:
            print(f"| {library}: {name} | {error} | | | | |")
            continue
        good += max(cells) < LIMIT
        steps = " | ".join(f"{cell:.0e}" for cell in cells[1:])
        print(f"| {library}: {name} | {cells[0]:.0e} | {share} | {steps} |", flush=True)
    return f"{library}: {good} of {total} nets are equal to {LIMIT:g} at every step\n"


if __name__ == "__main__":
    main()

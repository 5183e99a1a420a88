"""Keras nets for `python -m bench imports`: each as .keras, .h5 and ONNX, with rows and what Keras makes of them.

    KERAS_BACKEND=torch python bench/import_keras_nets.py FOLDER [NAME ...]

It writes NAME.keras, NAME.h5, NAME.onnx, NAME.npz and keras.json.
"""
import contextlib
import io
import json
import logging
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import layers as L

ROWS, LONGEST = 6, 160
ROW, GREY, COLOUR, SEQUENCE = (9,), (12, 12, 1), (12, 12, 3), (24, 3)


def chain(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def tree(shape, run):
    x = keras.Input(shape)
    return keras.Model(x, run(x))


def images(shape, *layers):
    """Layers, then the mean of each channel and a dense layer."""
    return chain(shape, *layers, L.GlobalAveragePooling2D(), L.Dense(4))


def head(x):
    return L.Dense(4)(L.GlobalAveragePooling2D()(x))


def block(x, filters, stride=1):
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)))
    y = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same", use_bias=False)(y))
    if stride != 1:
        x = L.BatchNormalization()(L.Conv2D(filters, 1, stride, use_bias=False)(x))
    return L.ReLU()(L.Add()([x, y]))


def residual(x):
    return head(block(block(L.Conv2D(6, 3, padding="same", activation="relu")(x), 6), 8, 2))


def concatenated(x):
    x = L.Conv2D(6, 3, padding="same", activation="relu")(x)
    y = L.Conv2D(4, 1, activation="relu")(x)
    return head(L.Conv2D(6, 3, activation="relu")(L.Concatenate()([x, y])))


def squeezed(x):
    x = L.Conv2D(8, 3, padding="same", activation="silu")(x)
    gate = L.Reshape((1, 1, 8))(L.GlobalAveragePooling2D()(x))
    gate = L.Conv2D(8, 1, activation="sigmoid")(L.Conv2D(4, 1, activation="relu")(gate))
    return head(L.Multiply()([x, gate]))


def inverted(x):
    x = L.Conv2D(6, 3, 2, padding="same")(x)
    y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(12, 1, use_bias=False)(x)))
    y = L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)))
    return head(L.Add()([x, L.BatchNormalization()(L.Conv2D(6, 1, use_bias=False)(y))]))


def all_joins(x):
    """A sum, a product with a gate, and a concatenation."""
    y = L.Conv2D(3, 3, padding="same", activation="relu")(L.Conv2D(3, 3, padding="same", activation="relu")(x))
    gate = L.Dense(3, activation="sigmoid")(L.GlobalAveragePooling2D()(y))
    y = L.Add()([x, L.Multiply()([y, L.Reshape((1, 1, 3))(gate)])])
    y = L.Concatenate()([y, L.Conv2D(4, 3, padding="same", activation="relu")(y)])
    return L.Dense(4)(L.GlobalMaxPooling2D()(y))


def wide_and_deep(x):
    deep = L.Dense(6, activation="relu")(L.Dense(12, activation="relu")(x))
    return L.Dense(4)(L.Concatenate()([x, deep]))


def nested():
    return chain(ROW, chain(ROW, L.Dense(12, activation="relu"), L.Dense(8, activation="tanh")), L.Dense(4))


def normalised():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(1).normal(2, 3, (50, *ROW)).astype(np.float32))
    return chain(ROW, layer, L.Dense(12, activation="relu"), L.Dense(4))


def mlp(activation, end=None):
    return chain(ROW, L.Dense(12, activation=activation), L.Dense(10, activation=activation),
                 L.Dense(4, activation=end))


ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "selu", "tanh", "sigmoid", "hard_sigmoid", "softplus", "silu",
               "hard_swish", "mish", "gelu")
NETS = {f"mlp_{name}": (lambda name=name: mlp(name),) for name in ACTIVATIONS} | {
    "no_bias": (lambda: chain(ROW, L.Dense(12, activation="relu", use_bias=False), L.Dense(4, use_bias=False)),),
    "softmax": (lambda: mlp("relu", "softmax"), "softmax"),
    "one_sigmoid": (lambda: chain(ROW, L.Dense(12, activation="relu"), L.Dense(1, activation="sigmoid")), "sigmoid"),
    "four_sigmoids": (lambda: mlp("relu", "sigmoid"), "sigmoid"),
    "batchnorm": (lambda: chain(ROW, L.Dense(12), L.BatchNormalization(), L.ReLU(), L.Dropout(0.2), L.Dense(4)),),
    "batchnorm_no_scale": (lambda: chain(ROW, L.Dense(12), L.BatchNormalization(scale=False), L.ReLU(), L.Dense(4)),),
    "batchnorm_no_centre": (lambda: chain(ROW, L.Dense(12), L.BatchNormalization(center=False), L.ReLU(), L.Dense(4)),),
    "layernorm": (lambda: chain(ROW, L.Dense(12), L.LayerNormalization(), L.Activation("gelu"), L.Dense(4)),),
    "prelu": (lambda: chain(ROW, L.Dense(12), L.PReLU(), L.Dense(4)),),
    "normalised": (normalised,), "nested": (nested,), "wide_and_deep": (lambda: tree(ROW, wide_and_deep),),
    "flatten_first": (lambda: chain((12, 12), L.Flatten(), L.Dense(12, activation="relu"), L.Dense(4)),),
    "flatten_image": (lambda: chain(GREY, L.Flatten(), L.Dense(12, activation="relu"), L.Dense(4)),),
    "rescaled": (lambda: images(COLOUR, L.Rescaling(1 / 127.5, -1), L.Conv2D(8, 3, activation="relu")),),
    "lenet": (lambda: chain(GREY, L.Conv2D(4, 5, padding="same", activation="relu"), L.MaxPooling2D(2),
                            L.Conv2D(8, 3, activation="relu"), L.AveragePooling2D(2), L.Flatten(),
                            L.Dense(12, activation="relu"), L.Dense(4)),),
    "strided": (lambda: images(COLOUR, L.Conv2D(8, 3, 2, padding="same"), L.LeakyReLU(), L.Conv2D(8, (1, 3))),),
    "dilated": (lambda: images(GREY, L.Conv2D(6, 3, dilation_rate=2, activation="relu"), L.Conv2D(8, 3)),),
    "grouped": (lambda: images(COLOUR, L.Conv2D(8, 3, activation="relu"), L.Conv2D(8, 3, groups=2), L.ReLU()),),
    "depthwise": (lambda: images(COLOUR, L.Conv2D(6, 3, activation="relu"), L.DepthwiseConv2D(3), L.ReLU(),
                                 L.Conv2D(8, 1)),),
    "multiplier": (lambda: images(COLOUR, L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu")),),
    "separable": (lambda: images(COLOUR, L.SeparableConv2D(8, 3, padding="same", activation="relu")),),
    "zero_padding": (lambda: images(COLOUR, L.ZeroPadding2D(((0, 1), (0, 1))), L.Conv2D(8, 3, 2), L.ReLU()),),
    "groupnorm": (lambda: images(GREY, L.Conv2D(8, 3), L.GroupNormalization(4), L.ReLU(), L.Conv2D(8, 3)),),
    "global_max": (lambda: chain(GREY, L.Conv2D(8, 3, activation="relu"), L.GlobalMaxPooling2D(), L.Dense(4)),),
    "residual": (lambda: tree(COLOUR, residual),), "concatenated": (lambda: tree(COLOUR, concatenated),),
    "squeezed": (lambda: tree(COLOUR, squeezed),), "inverted": (lambda: tree(COLOUR, inverted),),
    "conv1d": (lambda: chain(SEQUENCE, L.Conv1D(6, 5, activation="relu"), L.MaxPooling1D(2), L.Flatten(), L.Dense(4)),),
    "conv1d_norm": (lambda: chain(SEQUENCE, L.Conv1D(6, 3, 2, padding="same"), L.BatchNormalization(), L.ReLU(),
                                  L.Conv1D(8, 3, activation="relu"), L.GlobalAveragePooling1D(), L.Dense(4)),),
    "conv1d_causal": (lambda: chain(SEQUENCE, L.Conv1D(8, 3, padding="causal", activation="relu"), L.MaxPooling1D(2),
                                    L.GlobalAveragePooling1D(), L.Dense(4)),),
    "mean_same": (lambda: images(GREY, L.Conv2D(8, 3), L.ReLU(), L.AveragePooling2D(2, padding="same")),),
    "adaptive": (lambda: chain(GREY, L.Conv2D(6, 3, activation="relu"), L.AdaptiveAveragePooling2D((4, 7)), L.Flatten(),
                               L.Dense(4)),),
    "adaptive_max": (lambda: chain(GREY, L.Conv2D(6, 3, activation="relu"), L.AdaptiveMaxPooling2D(5), L.Flatten(),
                                   L.Dense(4)),),
    "conv1d_adaptive": (lambda: chain(SEQUENCE, L.Conv1D(6, 5, activation="relu"), L.AdaptiveAveragePooling1D(7),
                                      L.Flatten(), L.Dense(4)),),
    "told_moments": (lambda: chain(ROW, L.Normalization(mean=1.0, variance=4.0), L.Dense(12, "relu"), L.Dense(4)),),
    "chains": (lambda: chain(ROW, keras.Sequential([L.Dense(8, "relu")]), keras.Sequential([L.Dense(4)])),),
    "all_joins": (lambda: tree(COLOUR, all_joins),),
    "mobilenet_v3": (lambda: keras.applications.MobileNetV3Small((32, 32, 3), weights=None, classes=4), "softmax"),
    # what minnet has no layers for
    "lstm": (lambda: chain(SEQUENCE, L.LSTM(6), L.Dense(4)),),
    "unit_norm": (lambda: chain(ROW, L.Dense(12), L.UnitNormalization(), L.Dense(4)),),
    "transposed": (lambda: images(GREY, L.Conv2D(8, 3, 2), L.Conv2DTranspose(6, 3), L.ReLU()),),
}


def made(name):
    """The model with numbers as if it had been trained, its rows and outputs."""
    rng = np.random.default_rng(0)
    model = NETS[name][0]()
    for weight in model.weights:
        if weight.dtype == "float32" and "normalization/" not in weight.path.removeprefix("batch_"):
            positive = "variance" in weight.path or "gamma" in weight.path
            fan = max(1, int(np.prod(weight.shape[:-1])))
            weight.assign(rng.uniform(0.5, 1.5, weight.shape) if positive else
                          rng.normal(0, fan ** -0.5 if len(weight.shape) > 1 else 0.2, weight.shape))
    x = rng.normal(size=(ROWS, *model.input_shape[1:])).astype(np.float32)
    return model, x, np.asarray(model.predict(x, verbose=0))


def attempt(run):
    """Return what Keras says, if it refuses to write."""
    silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    try:
        with silent[0], silent[1]:
            run()
    except Exception as error:  # whatever an exporter raises
        return f"{type(error).__name__}: {' '.join(str(error).split())[:LONGEST]}"
    return ""


def write(folder, names=()):
    """Write the nets of these names, or all, that a run before has not; {file: end, or what the exporter said}."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    listed = folder / "keras.json"
    found = json.loads(listed.read_text()) if listed.is_file() else {}
    for name in names or NETS:
        if any(file.startswith(f"{name}.") for file in found):
            continue
        model, x, y = made(name)
        np.savez(folder / f"{name}.npz", x=x, y=y)
        writers = {"keras": model.save, "h5": model.save,
                   "onnx": lambda path, model=model: model.export(path, format="onnx", verbose=False)}
        for ending, save in writers.items():
            file = f"{name}.{ending}"
            found[file] = {"end": "".join(NETS[name][1:]),
                           "refused": attempt(lambda save=save, file=file: save(str(folder / file)))}
        listed.write_text(json.dumps(found))
    return found


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:])

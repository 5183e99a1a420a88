"""What the tests of compaction share: small nets with random numbers, and ways to mask parts of them."""
import numpy as np
from trees import ACTIVATIONS, random_input

import minnet as mn


def close(a, b, share):
    """Equal to `share` of the largest number in b."""
    return np.max(np.abs(a - b), initial=0) <= share * max(np.max(np.abs(b), initial=0), np.finfo(float).tiny)


def silence(model, **units):
    """Mask units whole: silence(model, conv1=[0, 2], batchnorm1=[0, 2]) masks weights, biases, gains and shifts."""
    mask = model.mask.copy()
    for name, gone in units.items():
        for p in model.layers[name].parameters:
            if p.kind not in ("mean", "variance"):
                p.of(mask)[..., gone] = False
    model.set_mask(mask)
    return model


def mask_weights(model, name, where):
    """Mask part of one parameter: mask_weights(model, "dense1.weight", np.s_[:, 3])."""
    mask = model.mask.copy()
    model.parameters[name].of(mask)[where] = False
    model.set_mask(mask)
    return model


def build(*layers, shape=(5, 6, 2), dtype=np.float64):
    """A model with random numbers in all parameters."""
    model = mn.Model(mn.Sequential(*layers), shape, dtype=dtype, rng=0)
    rng = np.random.default_rng(1)
    for p in model.parameters.values():
        p.value[...] = rng.uniform(0.2, 1.0, p.value.shape)
        if p.kind != "variance":
            p.value[...] *= rng.choice([-1, 1], p.value.shape)
    return model


def widths(model):
    """{layer: how many units it makes}."""
    return {name: getattr(layer, layer.units_argument) for name, layer in model.layers.items() if layer.units_argument}


def same_outputs(model, small):
    x = random_input(model)
    return close(small(x), model(x), 1e-10)


def with_tanh(config):
    """The same tree, every activation a Tanh."""
    if isinstance(config, dict):
        if config["type"] in [layer.__name__ for layer in ACTIVATIONS]:
            return {"type": "Tanh", "name": config["name"]}
        return {key: with_tanh(value) for key, value in config.items()}
    return [with_tanh(item) for item in config] if isinstance(config, list) else config

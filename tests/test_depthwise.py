"""DepthwiseConv2d against its equation, central differences, PyTorch, and the full convolution that it is a part of."""
import itertools

import numpy as np
import pytest

import minnet as mn
from minnet.engine.layer import layer_from_config
from minnet.engine.layers import LAYERS

SHAPE = (5, 7, 3)  # height, width, channels: all different
CASES = {
    "plain": {"kernel": 3},
    "two outputs a channel": {"kernel": (2, 3), "multiplier": 2},
    "strides": {"kernel": 3, "stride": (2, 1), "padding": "same"},
    "even and same": {"kernel": (4, 2), "stride": 2, "padding": "same", "multiplier": 3},
    "uneven padding": {"kernel": (3, 2), "padding": ((0, 2), (1, 0))},
    "no bias": {"kernel": 1, "use_bias": False, "multiplier": 2},
}


def build(case, dtype=np.float64):
    model = mn.Model(mn.Sequential(mn.DepthwiseConv2d(**CASES[case], name="layer")), SHAPE, rng=0, dtype=dtype)
    model.values[:] = np.random.default_rng(1).normal(size=len(model.values))
    return model


def by_equation(model, x):
    """The docstring's equation, one number at a time."""
    layer, weight = model.layers["layer"], model.parameters["layer.weight"].value
    bias = model.parameters["layer.bias"].value if layer.bias is not None else np.zeros(weight.shape[-1])
    at, m, (_, h, w, _) = layer.window, layer.multiplier, x.shape
    y = np.zeros((len(x), *model.output_shape))
    for n, i, j, o in itertools.product(*map(range, y.shape)):
        y[n, i, j, o] = bias[o]
        for u, v in itertools.product(range(at.kernel[0]), range(at.kernel[1])):
            row, column = i * at.stride[0] - at.top + u, j * at.stride[1] - at.left + v
            if 0 <= row < h and 0 <= column < w:
                y[n, i, j, o] += x[n, row, column, o // m] * weight[u, v, 0, o]
    return y


def gradients(model, x, dy):
    """dL/dvalues and dL/dx of L = sum(y * dy)."""
    tape = mn.Tape(model, input_gradient=True)
    model.forward(x, tape)
    return tape.grads, model.backward(dy, tape).copy()


def random_pass(model, n=2):
    rng = np.random.default_rng(2)
    return rng.normal(size=(n, *SHAPE)), rng.normal(size=(n, *model.output_shape))


@pytest.mark.parametrize("case", CASES)
def test_forward_is_the_equation(case):
    model = build(case)
    x, _ = random_pass(model)
    np.testing.assert_allclose(model(x), by_equation(model, x), rtol=1e-12, atol=1e-12)
    narrow = model.clone(np.float32)
    np.testing.assert_allclose(narrow(x), by_equation(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_central_differences(case):
    """The layer is linear in x and in the weights, so central differences are exact but for rounding."""
    model = build(case)
    x, dy = random_pass(model)
    dvalues, dx = gradients(model, x, dy)
    for vector, gradient in ((model.values, dvalues), (x.reshape(-1), dx.reshape(-1))):
        for k in range(0, len(vector), max(1, len(vector) // 40)):
            old, outputs = vector[k], []
            for vector[k] in (old + 0.5, old - 0.5):
                outputs.append(np.sum(model(x) * dy))
            vector[k] = old
            assert outputs[0] - outputs[1] == pytest.approx(gradient[k], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_torch_agrees(case):
    torch = pytest.importorskip("torch")
    model = build(case)
    x, dy = random_pass(model)
    layer, weight = model.layers["layer"], model.parameters["layer.weight"].value
    at = layer.window
    image = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    kernels = torch.tensor(weight.transpose(3, 2, 0, 1).copy(), requires_grad=True)
    bias = None if layer.bias is None else torch.tensor(layer.bias.value, requires_grad=True)
    padded = torch.nn.functional.pad(image, (at.left, at.right, at.top, at.bottom))
    y = torch.nn.functional.conv2d(padded, kernels, bias, at.stride, groups=SHAPE[2])
    y.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    dvalues, dx = gradients(model, x, dy)
    np.testing.assert_allclose(model(x), y.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dx, image.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-9, atol=1e-12)
    dweight = kernels.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(layer.weight.of(dvalues), dweight, rtol=1e-9, atol=1e-12)


def test_many_images_are_taken_in_blocks(monkeypatch):
    """What one kernel call takes is a matter of memory and patience: it changes nothing but the order of a sum."""
    model = build("strides")
    x, dy = random_pass(model, 7)
    whole = gradients(model, x, dy)
    monkeypatch.setattr("minnet.engine.depthwise.BLOCK_MACS", 2 * model.macs)
    assert len(model.layers["layer"].blocks(7)) == 4
    for one, other in zip(whole, gradients(model, x, dy), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_counts_and_config():
    model = build("even and same")
    layer = model.layers["layer"]
    assert model.parameters["layer.weight"].shape == (4, 2, 1, 9)
    assert model.output_shape == (3, 4, 9)
    assert model.macs == 3 * 4 * (4 * 2 * 9)
    again = layer_from_config(layer.config(), LAYERS)
    assert again.config() == layer.config()
    assert repr(again) == repr(layer)


@pytest.mark.parametrize("arguments", [{"kernel": 3, "multiplier": 0}, {"kernel": 6}, {"kernel": 3, "padding": "full"}])
def test_bad_arguments_get_one_line(arguments):
    with pytest.raises(mn.MinnetError) as caught:
        mn.Model(mn.Sequential(mn.DepthwiseConv2d(**arguments)), SHAPE)
    assert "\n" not in str(caught.value)

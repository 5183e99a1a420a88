"""Exported C: strict compilers take it, sanitizers are content, and it computes what the model does."""
import ctypes
import math
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from trees import masked_models, random_input

import minnet as mn
from minnet.errors import InvalidType, InvalidValue, NotFinite, Unsupported
from minnet.formats import c_writer
from minnet.formats.c_source import c_source, save_c

COMPILER = shutil.which("cc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler here")
HARNESS = r"""
#include <stdio.h>
int main(void)
{
    static float input[MINNET_INPUTS], output[MINNET_OUTPUTS], work[MINNET_WORK];
    while (fread(input, sizeof(float), MINNET_INPUTS, stdin) == MINNET_INPUTS) {
        minnet_predict(input, output, work);
        fwrite(output, sizeof(float), MINNET_OUTPUTS, stdout);
    }
    return 0;
}
"""


def compile_c(text, folder, *options, name="model"):
    (folder / "model.c").write_text(text)
    done = subprocess.run([COMPILER, *STRICT, *options, "model.c", "-o", name, "-lm"], cwd=folder, capture_output=True,
                          text=True, check=False)
    assert not done.returncode, done.stderr
    return folder / name


def outputs(model, X, folder):
    """What the compiled library gives for each row of X; its work room is full of NaN before each call."""
    text = c_source(model)
    library = ctypes.CDLL(str(compile_c(text, folder, "-shared", "-fPIC")))
    work = int(text.partition("#define MINNET_WORK ")[2].partition("\n")[0])
    floats = ctypes.POINTER(ctypes.c_float)
    library.minnet_predict.argtypes = [floats] * 3
    out = np.full((len(X), *model.output_shape), np.nan, np.float32)
    for row, y in zip(X.astype(np.float32), out, strict=True):
        room = np.full(work, np.nan, np.float32)
        library.minnet_predict(*[array.ctypes.data_as(floats) for array in (np.ascontiguousarray(row), y, room)])
    return out


def close(ours, theirs):
    scale = max(1.0, float(np.abs(theirs).max(initial=0)))
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=1e-4)


@needs_compiler
@settings(max_examples=12)
@given(masked_models(dtype=np.float32))
def test_computes_what_the_model_does(tmp_path_factory, model):
    """Any tree of layers, dense or sparse."""
    X = random_input(model, 3)
    close(outputs(model, X, tmp_path_factory.mktemp("c")), model(X))


STANDARD = {
    "mlp": lambda: mn.models.mlp((7,), 3, (6, 5), rng=0),
    "lenet_5": lambda: mn.models.lenet_5((16, 16, 1), 10, rng=0),
    "resnet_8": lambda: mn.models.resnet_8((8, 8, 3), 4, 4, rng=0),
    "separable_conv": lambda: mn.models.separable_conv((8, 8, 3), 4, rng=0),
    "branches that change what they share": lambda: mn.Model(mn.Sequential(
        mn.Concat(mn.ReLU(), mn.Sequential(), mn.Sequential(mn.BatchNorm(), mn.Tanh())), mn.Residual(mn.LeakyReLU()),
        mn.Residual(mn.Sequential(), mn.Sigmoid()), mn.Dense(2)), (3,), rng=0),
    "born sparse": lambda: mn.models.sparse_mlp([30, 20, 20, 4], epsilon=2, rng=0),
    "nothing to do": lambda: mn.Model(mn.Sequential(), (3,), rng=0),
    "names that C does not have": lambda: mn.Model(mn.Sequential(mn.Dense(3, name="int-1"), mn.Dense(2, name="int_1")),
                                                   (3,), rng=0),
}


@needs_compiler
@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("name", STANDARD)
def test_standard_models(name, sparsity, tmp_path):
    """Also with hardly any weights left, and with none."""
    model = STANDARD[name]()
    mask = model.mask.copy()
    mask[: round(sparsity * model.n_weights)] = False
    model.set_mask(mask)
    X = random_input(model, 3)
    close(outputs(model, X, tmp_path), model(X))


@needs_compiler
def test_sanitizers_are_content(tmp_path):
    """No index outside an array, no undefined behaviour."""
    model = STANDARD["resnet_8"]()
    mn.prune(model, 0.8)
    options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    probe = subprocess.run([COMPILER, *options, "-x", "c", "-", "-o", tmp_path / "probe"], text=True,
                           input="int main(void){return 0;}", capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("this compiler has no sanitizers")
    program, X = compile_c(c_source(model) + HARNESS, tmp_path, *options), random_input(model, 3)
    done = subprocess.run([program], input=X.tobytes(), capture_output=True, check=False)
    assert not done.returncode, done.stderr.decode()
    close(np.frombuffer(done.stdout, np.float32).reshape(3, -1), model(X))


def test_numbers_are_written_to_the_bit():
    """Denormals, whole numbers and the largest; with a point in every language."""
    numbers = np.float32([1, -2.5, 1e-45, 3.4028235e38, 0.1, 1 / 3, 16777216])
    texts = [c_writer.literal(number) for number in numbers]
    assert all(text.endswith("f") and ("." in text or "e" in text) for text in texts)
    np.testing.assert_array_equal(np.float32([text[:-1] for text in texts]), numbers)


def test_pruned_weights_take_no_room():
    model = mn.models.lenet_300_100((784,), 10, rng=0)
    dense = len(c_source(model))
    mn.prune(model, 0.95)
    assert len(c_source(model)) < 0.2 * dense
    assert c_source(model) == c_source(model.clone())


def test_room_is_used_again():
    """A long chain needs room for two layers, not for all."""
    model = mn.Model(mn.Sequential(*[mn.Dense(10) for _ in range(20)]), (10,), rng=0)
    assert "#define MINNET_WORK 20\n" in c_source(model)


class Odd(mn.Activation):
    """A layer that no exporter knows."""

    def value(self, x):
        return np.sin(x)


@pytest.mark.parametrize("make, error, words", [
    (lambda model: "no model", InvalidType, "no Model"),
    (lambda model: model.values.fill(math.inf) or model, NotFinite, "dense1.*infinity"),
    (lambda model: setattr(model.tree, "layers", (Odd(name="odd"),)) or model, Unsupported, "Odd"),
])
def test_what_cannot_be_written(make, error, words, tmp_path):
    with pytest.raises(error, match=words):
        save_c(make(mn.models.mlp((3,), 2, rng=0)), tmp_path / "model.c")
    assert not (tmp_path / "model.c").exists()


def test_a_compiler_has_limits(monkeypatch):
    monkeypatch.setattr(c_writer, "MOST_NUMBERS", 100)
    with pytest.raises(InvalidValue, match="more than 100 numbers, up to dense1"):
        c_source(mn.models.mlp((30,), 5, rng=0))

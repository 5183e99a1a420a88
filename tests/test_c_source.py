"""Exported C: strict compilers take it, sanitizers are content, and it computes what the model does."""
import ctypes
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import masked_models, random_input, randomise

import minnet as mn
from minnet.errors import InvalidType, InvalidValue, NotFinite, UnknownName, Unsupported
from minnet.formats import c_writer
from minnet.formats.c_integers import IntegerNet
from minnet.formats.c_source import c_source, save_c
from minnet.formats.c_weights import Live
from minnet.formats.c_writer import Choices

COMPILER = shutil.which("cc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic"]
COMPILERS = {"cc": [], "gcc": [], "clang": [], "tcc": ["-std=c99", "-Wall", "-Werror"],
             "arm-none-eabi-gcc": ["-mcpu=cortex-m0", "-mthumb", "-O2"],
             "avr-gcc": ["-mmcu=atmega1284p", "-Os", "-std=gnu99", "-Wall", "-Werror"]}
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


def outputs(model, X, folder, **choices):
    """What the compiled library gives for each row of X; its work room is full of NaN before each call."""
    text = c_source(model, Choices(**choices))
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
@settings(max_examples=8)
@given(masked_models(dtype=np.float32), st.sampled_from(["auto", 4, 8, 16, 32]))
def test_int8_weights_are_those_of_a_frozen_net(tmp_path_factory, model, places):
    """The same whole numbers and scales, with BatchNorm folded, however the places are stored."""
    X = random_input(model, 3)
    c = outputs(model, X, tmp_path_factory.mktemp("c"), precision="int8", places=places)
    close(c, mn.freeze(model, weights="int8")(X))


@needs_compiler
def test_int8_classes_of_a_thousand_images(tmp_path):
    """Every one is that of the frozen net."""
    data = mn.load_data("digits", rng=0)
    model = mn.models.lenet_300_100(data.shape, data.n_classes, rng=0)
    mn.prune(model, 0.9)
    X = data.X_raw if hasattr(data, "X_raw") else data.X_train
    wanted = mn.freeze(model, weights="int8")(X[:1000]).argmax(-1)
    np.testing.assert_array_equal(outputs(model, X[:1000], tmp_path, precision="int8").argmax(-1), wanted)


def run_vectors(model, folder, X, *options, **choices):
    """Compile the program that compares, run it, and return how many test vectors are missed."""
    save_c(model, folder / "net.c", calibration=X, vectors=len(X), **choices)
    done = subprocess.run([COMPILER, *STRICT, *options, "net.c", "net_main.c", "-o", "net", "-lm"], cwd=folder,
                          capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    done = subprocess.run([folder / "net"], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode


SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


def has_sanitizers(folder):
    return not subprocess.run([COMPILER, *SANITIZERS, "-x", "c", "-", "-o", folder / "probe"], text=True, check=False,
                              input="int main(void){return 0;}", capture_output=True).returncode


@needs_compiler
@settings(max_examples=8)
@given(masked_models(dtype=np.float32), st.sampled_from(["unit", "layer"]), st.sampled_from(["auto", 4]))
def test_integers_are_computed_as_foretold(tmp_path_factory, model, scales, places):
    """Any tree of layers that has a form in integers gives to the bit what was computed beside it, and no overflow."""
    folder = tmp_path_factory.mktemp("c")
    options = SANITIZERS if has_sanitizers(folder) else []
    try:
        missed = run_vectors(model, folder, random_input(model, 5), *options, precision="int8", arithmetic="int8",
                             scales=scales, places=places)
    except Unsupported as error:
        assert "no form in integers" in str(error)
        return
    assert missed == 0


@needs_compiler
@pytest.mark.parametrize("name", ["lenet_5", "resnet_8", "separable_conv"])
def test_integers_are_near_the_floats(name, tmp_path):
    """Every output within some hundredths of the largest; no float is computed with on the way."""
    model = STANDARD[name]()
    mn.prune(model, 0.6)
    X = random_input(model, 20)
    assert run_vectors(model, tmp_path, X, precision="int8", arithmetic="int8") == 0
    assert run_vectors(model, tmp_path, X, name="f", precision="int8") == 0
    net = IntegerNet(model, Choices(precision="int8", arithmetic="int8"), X, X)
    wanted = model(X)
    np.testing.assert_allclose(net.outputs * net.end.scale, wanted, atol=0.08 * np.abs(wanted).max())
    save_c(model, tmp_path / "net.c", precision="int8", arithmetic="int8", calibration=X)
    text = (tmp_path / "net.c").read_text().partition("/* zero + sum")[2].partition("void minnet_quantise")[0]
    assert "minnet_run" in text and not re.search(r"float|double|math", text)


@needs_compiler
def test_integers_by_channel(tmp_path):
    """BatchNorm that no layer takes over, and slopes of either sign for each channel; a net of nothing else too."""
    tree = mn.Sequential(mn.BatchNorm(), mn.Conv2d(4, 3), mn.PReLU(per_channel=True), mn.BatchNorm(),
                         mn.GlobalAvgPool2d(), mn.Dense(3))
    options = SANITIZERS if has_sanitizers(tmp_path) else []
    for model in (mn.Model(tree, (6, 5, 2), rng=0), mn.Model(mn.Sequential(mn.BatchNorm()), (4,), rng=0)):
        X = random_input(randomise(model, np.random.default_rng(3)), 50)
        assert run_vectors(model, tmp_path, X, *options, precision="int8", arithmetic="int8") == 0
        net, wanted = IntegerNet(model, Choices(precision="int8", arithmetic="int8"), X, X), model(X)
        np.testing.assert_allclose(net.outputs * net.end.scale, wanted, atol=0.04 * np.abs(wanted).max())


@needs_compiler
@pytest.mark.parametrize("scales", ["unit", "layer"])
def test_integers_of_nets_with_little_in_them(scales, tmp_path):
    """Units without weights, with tiny ones beside a bias, and outputs that are always 0."""
    model = mn.models.mlp((7,), 3, (6, 5), rng=0)
    dense1, _, dense2, _, dense3 = model.tree.layers
    dense1.weight.value[:, 0] = 0
    dense1.weight.value[:, 1] *= 1e-12
    dense1.bias.value[:2] = 0.5
    dense2.weight.value[:] *= 1e-20
    X = random_input(model, 6)
    assert run_vectors(model, tmp_path, X, precision="int8", arithmetic="int8", scales=scales) == 0
    dense3.weight.value[:] = dense3.bias.value[:] = 0
    assert run_vectors(model, tmp_path, X, precision="int8", arithmetic="int8", scales=scales) == 0


@needs_compiler
def test_vectors_that_are_missed_are_counted(tmp_path):
    model = STANDARD["mlp"]()
    save_c(model, tmp_path / "net.c", vectors=3)
    text = (tmp_path / "net_vectors.h").read_text()
    head, mark, outputs = text.partition("_vector_outputs")
    (tmp_path / "net_vectors.h").write_text(head + mark + re.sub(r"\{-?\d", "{9", outputs))
    subprocess.run([COMPILER, "net.c", "net_main.c", "-o", "net"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "net"], check=False).returncode == 3


@pytest.mark.parametrize("given, error, words", [
    ({"arithmetic": "int8"}, InvalidValue, 'precision="int8" too'),
    ({"arithmetic": "int8", "precision": "int8"}, InvalidValue, "give calibration=X"),
    ({"vectors": 5, "calibration": np.zeros((2, 7))}, InvalidValue, "has 2 rows"),
    ({"arithmetic": "int8", "precision": "int8", "calibration": np.zeros((2, 3))}, InvalidValue, "shape"),
])
def test_what_calibration_lacks(given, error, words, tmp_path):
    with pytest.raises(error, match=words):
        save_c(STANDARD["mlp"](), tmp_path / "net.c", **given)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_compilers_take_it(compiler, tmp_path):
    """Without a warning, also where two nets are one program's, from a header as from the file itself."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    model = mn.Model(mn.Sequential(mn.Conv2d(3, 3, padding="same"), mn.BatchNorm(), mn.Sigmoid(), mn.MaxPool2d(2),
                                   mn.Flatten(), mn.Dense(40), mn.ReLU(), mn.Dense(3)), (8, 8, 2), rng=0)
    mn.prune(model, 0.8)
    save_c(model, tmp_path / "one.c", name="one")
    save_c(model, tmp_path / "two.c", name="two", precision="int8")
    (tmp_path / "both.c").write_text('#include "one.h"\n#include "one.c"\n#include "two.c"\n')
    (tmp_path / "user.c").write_text('#include "one.h"\n#include "two.h"\nint user(const float *x, float *work);\n'
                                     "int user(const float *x, float *work)\n{\n"
                                     "    return one_class(x, work) + two_class(x, work);\n}\n")
    for name in ("one", "two", "both", "user"):
        done = subprocess.run([compiler, *(COMPILERS[compiler] or STRICT), "-c", f"{name}.c", "-o", f"{name}.o"],
                              cwd=tmp_path, capture_output=True, text=True, check=False)
        assert not done.returncode and not done.stderr, done.stderr
    symbols = subprocess.run(["nm", "-g", "one.o"], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert all(line.split()[-1].startswith("one_") for line in symbols.splitlines() if " T " in line or " R " in line)


def test_places_take_the_fewest_bytes():
    """Steps of more than 255 are filled with weights of 0; the sums are the same."""
    rng = np.random.default_rng(0)
    place = np.sort(rng.choice(5000, 60, replace=False))
    live = Live(np.array([20, 0, 40]), np.concatenate([place[:20], place[20:]]), np.arange(1.0, 61.0))
    dense = np.zeros((3, 5000))
    dense[np.repeat([0, 2], [20, 40]), live.place] = live.weight
    for places in ("auto", 4, 8, 16, 32):
        stored, found, first = live.stored(4, places), np.zeros((3, 5000)), 0
        for unit, count in enumerate(stored.count):
            own = stored.place[first : first + count]
            at = np.cumsum(own) if stored.kind.startswith("step") else own
            np.add.at(found[unit], at, stored.weight[first : first + count])
            first += count
        np.testing.assert_array_equal(found, dense)
        assert stored.place.max() < 2 ** min(stored.bits, 16)
        assert stored.bits > 4 or len(stored.packed()) == sum(-(-n // 2) for n in stored.count)
    assert live.stored(4, 8).kind == "step8" and live.stored(4, 16).kind == "at16"


@needs_compiler
def test_sanitizers_are_content(tmp_path):
    """No index outside an array, no undefined behaviour."""
    model = STANDARD["resnet_8"]()
    mn.prune(model, 0.8)
    if not has_sanitizers(tmp_path):
        pytest.skip("this compiler has no sanitizers")
    program, X = compile_c(c_source(model) + HARNESS, tmp_path, *SANITIZERS), random_input(model, 3)
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


@pytest.mark.parametrize("choice, words", [
    ({"name": "2nets"}, "a letter, then"), ({"name": "no-name"}, "a letter, then"), ({"name": "n" * 40}, "at most 32"),
    ({"precision": "int4"}, "precision.*float32"), ({"places": 12}, "places.*auto"), ({"scales": "net"}, "scales"),
])
def test_choices_that_do_not_exist(choice, words, tmp_path):
    with pytest.raises((InvalidValue, UnknownName), match=words):
        save_c(mn.models.mlp((3,), 2, rng=0), tmp_path / "model.c", **choice)
    assert not list(tmp_path.iterdir())


def test_a_header_is_no_file_for_the_net(tmp_path):
    with pytest.raises(InvalidValue, match="ends in .c"):
        save_c(mn.models.mlp((3,), 2, rng=0), tmp_path / "model.h")


def test_a_compiler_has_limits(monkeypatch):
    monkeypatch.setattr(c_writer, "MOST_NUMBERS", 100)
    with pytest.raises(InvalidValue, match="more than 100 numbers, up to dense1"):
        c_source(mn.models.mlp((30,), 5, rng=0))

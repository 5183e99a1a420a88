"""Whether a net fits a microcontroller: what is counted is what compilers make of the C."""
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from test_cli import command  # noqa: F401 - a fixture

import minnet as mn
from minnet.errors import UnknownName, Unsupported
from minnet.formats.c_fit import CHIPS, FORMS, Fit, fit, needed
from minnet.formats.c_header import STACK


def net(sparsity=0.9, hidden=60):
    model = mn.models.mlp((200,), 5, (hidden,), rng=0)
    mn.prune(model, sparsity)
    return model


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [net, lambda: mn.models.lenet_5((16, 16, 1), 10, rng=0)])
def test_bytes_are_those_of_the_object(make, form, tmp_path):
    """Constants to the byte but for what a compiler adds to them; code and memory are enough, and not twice as much."""
    compiler = next((name for name in ("arm-none-eabi-gcc", "gcc") if shutil.which(name)), None)
    if compiler is None:
        pytest.skip("no gcc here")
    model, size = make(), compiler.replace("gcc", "size")
    X = np.random.default_rng(0).normal(size=(4, *model.input_shape))
    mn.save_c(model, tmp_path / "net.c", calibration=X, **FORMS[form])
    core = ["-mcpu=cortex-m0", "-mthumb"] if compiler.startswith("arm") else []
    subprocess.run([compiler, "-std=c99", "-O2", *core, "-fstack-usage", "-c", "net.c", "-o", "net.o"],
                   cwd=tmp_path, check=True)
    printed = subprocess.run([size, "-A", "net.o"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = {name: sum(map(int, re.findall(rf"^\.{name}\S*\s+(\d+)", printed, re.M))) for name in ("rodata", "text")}
    frames = re.findall(r"\t(\d+)\t", (tmp_path / "net.su").read_text())
    assert sum(sorted(map(int, frames))[-4:]) < STACK, "predict, run, a layer, and what it calls"
    needs = needed(model, form)
    assert abs(found["rodata"] - needs.constants) <= 100
    if core:
        assert 0.7 * found["text"] <= needs.code <= 2 * found["text"]
    work = int(re.search(r"_WORK (\d+)", (tmp_path / "net.h").read_text())[1])
    assert needs.ram > 4 * work


def test_sizes_that_are_promised():
    """Constants of LeNet-300-100 without 98 % of its weights; memory of LeNet-5, input and outputs included."""
    model = mn.models.lenet_300_100((784,), 10, rng=0)
    mn.prune(model, 0.98)
    model = mn.compact(model)
    assert needed(model, "float32").constants <= 30_000 and needed(model, "int8").constants <= 15_000
    assert needed(model, "integers").constants <= 15_000
    assert needed(mn.models.lenet_5((28, 28, 1), 10, rng=0), "int8").ram <= 24_000


def test_a_verdict_is_of_what_is_scarcer():
    chip = CHIPS["stm32f0"]
    def verdict(flash, ram):
        return Fit(chip, "int8", int(flash * chip.flash), int(ram * chip.ram), 1, 1.0).verdict
    assert (verdict(0.5, 0.5), verdict(0.8, 0.1), verdict(0.1, 1.1)) == ("FITS", "TIGHT", "TOO BIG")


def test_sparser_nets_need_less():
    rows = [fit(net(sparsity), ["stm32f0"], ["integers"])[0] for sparsity in (0.5, 0.9, 0.99)]
    for name in ("flash", "products", "milliseconds"):
        values = [getattr(row, name) for row in rows]
        assert values == sorted(values, reverse=True) and values[0] > values[-1]


def test_forms_that_there_are_not_are_left_out():
    """A Softmax has no form in integers."""
    model = mn.Model(mn.Sequential(mn.Dense(3), mn.Softmax()), (4,), rng=0)
    assert {row.form for row in fit(model)} == {"float32", "int8"}
    with pytest.raises(Unsupported, match="no form in integers"):
        fit(model, forms=["integers"])
    with pytest.raises(UnknownName, match="chip"):
        fit(model, ["z80"])


def test_minnet_fit(command, tmp_path):  # noqa: F811
    mn.save(net(), tmp_path / "m.safetensors")
    ended = command("fit", "m.safetensors", "--chip", "rp2040,atmega328p")
    assert ended.code == 0 and ended.stdout.count("FITS") >= 3 and "rp2040" in ended.stdout
    rows = json.loads(command("fit", "m.safetensors", "--form", "int8", "--json").stdout)["fits"]
    assert [row["chip"] for row in rows] == list(CHIPS) and all(row["source"] for row in rows)
    ended = command("fit", "m.safetensors", "--chip", "z80")
    assert ended.code == 2 and "z80" in ended.stderr and ended.stderr.count("\n") == 1

"""Whether a net fits a microcontroller: what is counted is what compilers make of the C."""
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from test_cli import command  # noqa: F401 - a fixture

import minnet as mn
from minnet.cli.commands import load
from minnet.cli.parser import Usage
from minnet.cli.prune import budgets
from minnet.data import from_arrays
from minnet.errors import MinnetError, UnknownName, Unsupported
from minnet.formats.c_fit import CHIPS, CORE, FORMS, Fit, fit, form_of, needed, on_chip
from minnet.formats.c_header import STACK
from minnet.formats.storage import file_bytes
from minnet.pruning.costs import room_on
from minnet.study.budget import budget_record
from minnet.study.job import Job
from minnet.study.settings import Settings


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


MADE = {"data": "digits", "settings": {"note": "z" * 99}}
BUDGETS = [{"flash": 0.4}, {"flash": 4000, "precision": "int8"}, {"bytes": 0.6, "precision": "int8"},
           {"bytes": 0.6, "made": MADE}, {"flash": 6000, "structure": "neuron"},
           {"ram": 1000, "structure": "neuron", "arithmetic": "int8"},
           {"flash": "atmega328p", "ram": "atmega328p", "structure": "neuron"}]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_pruned_until_it_fits_and_no_further(budget):
    """The compacted model is within the budget, and one piece more would not be."""
    def cost(model):
        form = form_of(budget.get("precision"), budget.get("arithmetic"))
        chip = next((CHIPS[value] for value in budget.values() if isinstance(value, str) and value in CHIPS), CORE)
        need = on_chip(chip, form, needed(model, form))
        size = len(file_bytes(model, made=budget.get("made"), precision=budget.get("precision")))
        return {"flash": need.flash, "ram": need.ram, "bytes": size}

    def pruned(**wanted):
        model = mn.models.mlp((30,), 5, (200,), rng=0)
        return mn.prune(model, **{"structure": budget.get("structure", "weight"), **wanted})
    result, whole = pruned(**budget), cost(mn.models.mlp((30,), 5, (200,), rng=0))
    number = {float: lambda name, share: share * whole[name], str: lambda name, chip: room_on(chip, name)}
    most = {name: number.get(type(value), lambda _, n: n)(name, value) for name, value in budget.items()
            if name in whole}
    within, less = cost(result.compact()), cost(pruned(count=result.units.total - result.units.remaining - 1).compact())
    assert all(within[name] <= most[name] for name in most)
    assert any(less[name] > most[name] for name in most)


@pytest.mark.parametrize("budget, message", [
    ({"flash": 300}, r"flash=300 cannot be met: \d{4} of \d{5} remain .*allow more, or begin"),
    ({"ram": "atmega328p"}, "ram= beside pieces that are weights"), ({"flash": "z80"}, "unknown chip 'z80'"),
    ({"flash": 1.5}, "flash=1.5"), ({"sparsity": 0.5, "precision": "int8"}, "the budget is sparsity: give it beside"),
    ({"bytes": 0.5, "arithmetic": "int8"}, "beside flash or ram"), ({"flash": 0.5, "macs": 0.5}, "got macs and flash")])
def test_budgets_that_cannot_be_met(budget, message):
    with pytest.raises(MinnetError, match=message):
        mn.prune(net(0.0), **budget)


def test_budgets_at_the_command_line():
    parser = load("prune")[0]
    given = parser.parse_args(["--flash", "stm32f0", "--ram", "0.5", "--macs", "5000", "--bytes", "min"])
    assert (given.flash, given.ram, given.macs, given.bytes) == ("stm32f0", 0.5, 5000, "min")
    for wrong in (["--macs", "x"], ["--bytes", "1.5"], ["--flash", "-1"]):
        with pytest.raises(Usage, match=wrong[0]):
            parser.parse_args(wrong)


def test_a_job_prunes_until_its_c_fits(tmp_path):
    """Whatever training did to the weights: what is written has that many bytes of constants and code at most."""
    rng = np.random.default_rng(0)
    data = from_arrays(rng.normal(size=(90, 20)), np.arange(90) % 3, rng=0)
    settings = Settings(data=data, model=mn.models.mlp((20,), 3, (40,), rng=0), epochs=1, flash=3300, precision="int8")
    job = Job(settings)
    assert job.planned.units.remaining < job.planned.units.total
    list(job.run())
    found = budget_record(job.model, settings, job.made)["budget"]["flash"]
    assert found["most"] == 3300 >= found["reached"] > 3000
    mn.save(mn.compact(job.model), tmp_path / "small.safetensors", precision="int8")
    assert on_chip(CORE, "int8", needed(mn.load(tmp_path / "small.safetensors"), "int8")).flash == found["reached"]
    assert budgets({"budget": {"flash": found}}) == [f"flash: {found['reached']:,} of at most 3,300"]
    with pytest.raises(MinnetError, match="macs=0.5 and flash=3300: give one"):
        Job(replace(settings, macs=0.5))


def test_the_file_that_a_job_writes_keeps_to_its_bytes():
    """All of it: numbers, description, and what it says of how it was made."""
    data = from_arrays(np.random.default_rng(0).normal(size=(90, 20)), np.arange(90) % 3, rng=0)
    model = mn.models.mlp((20,), 3, (40,), rng=0)
    job = Job(Settings(data=data, model=model, epochs=1, bytes=3600, precision="int8"))
    list(job.run())
    found = job.measure()["budget"]["bytes"]
    assert found == {"reached": len(job.files["model.safetensors"]), "most": 3600} and 3400 < found["reached"] <= 3600

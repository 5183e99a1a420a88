"""A run that is saved and loaded, here or in another process, goes on as if nothing had happened."""
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from nets import NETS, OPTIMIZERS, bits, problem
from trees import random_mask

import minnet as mn
from minnet.engine.state import State
from minnet.errors import InvalidType, InvalidValue
from minnet.formats.storage import describe, expected_bytes, load, save


def run(net, optimizer, epochs=4, state=None, threads=1):
    """(model, steps): a training that yields each batch; four batches an epoch. `state` goes on with one."""
    model, data = problem(net)
    if state is None:
        state = State(model, OPTIMIZERS[optimizer], 5, threads)
    return state.model, mn.train(state.model, data, batch_size=4, epochs=epochs, every="batch", state=state,
                                 clip_norm=1.0, lr_schedule="cosine")


def whole(state):
    """Every number of a State."""
    streams = [stream.bit_generator.state for stream in state.rngs]
    return (bits(state.model.values, state.model.mask, state.vectors), state.epoch, state.batch, state.t, state.seed,
            state.batch_size, state.loss_sum, state.threads, state.optimizer, streams)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stop", [1, 6, 8])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("net", NETS)
def test_a_run_goes_on_bit_for_bit(tmp_path, net, optimizer, stop, threads):
    """Saved after `stop` batches, in mid-epoch or at its end, and loaded: the end is the undisturbed run's."""
    _, steps = run(net, optimizer, threads=threads)
    *_, last = steps
    _, steps = run(net, optimizer, threads=threads)
    for _ in range(stop):
        step = next(steps)
    save(step.state, tmp_path / "run")
    state = load(tmp_path / "run")
    assert whole(state) == whole(step.state)
    save(state, tmp_path / "again")
    assert (tmp_path / "run").read_bytes() == (tmp_path / "again").read_bytes()
    assert os.path.getsize(tmp_path / "run") == expected_bytes(state)
    *_, resumed = run(net, optimizer, state=state, threads=threads)[1]
    assert whole(resumed.state) == whole(last.state)


def test_a_masked_run_comes_back(tmp_path):
    model, data = problem("noisy")
    model.set_mask(random_mask(model, ("weights", "units"), 0.3, np.random.default_rng(0)))
    for step in mn.train(model, data, optimizer=mn.Adam(), epochs=1, batch_size=4, rng=0, every="batch"):
        save(step.state, tmp_path / "run", made={"step": step.state.t})
        assert whole(load(tmp_path / "run")) == whole(step.state)
    assert describe(tmp_path / "run")["kind"] == "state"
    assert describe(tmp_path / "run")["state"]["t"] == describe(tmp_path / "run")["made"]["step"] == 4


CHILD = """
import hashlib, sys
sys.path.insert(0, {tests!r})
from test_stored_runs import load, run, save, whole
from nets import bits
todo, net, optimizer, path = sys.argv[1:]
if todo == "resume":
    state = load(path)
    *_, last = run(net, optimizer, state=state)[1]
    print(hashlib.sha256(repr(whole(last.state)).encode()).hexdigest())
else:
    *_, last = run(net, optimizer)[1]
    save(last.state, path, made={{"b": 1, "a": {{"d": 2, "c": [1, 2]}}}})
"""


def in_a_new_process(*arguments, **environment):
    """What a fresh Python says that runs CHILD."""
    tests = os.path.dirname(os.path.abspath(__file__))
    path = os.pathsep.join([os.path.dirname(tests), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", CHILD.format(tests=tests), *map(str, arguments)]
    return subprocess.run(command, check=True, text=True, capture_output=True,
                          env=os.environ | {"PYTHONPATH": path} | environment).stdout.strip()


@pytest.mark.parametrize(("net", "optimizer"), [("noisy", "adam"), ("images", "momentum")])
def test_a_run_goes_on_in_a_new_process(tmp_path, net, optimizer):
    """Dropout, BatchNorm, moments, momentum: all of it is in the file."""
    *_, last = run(net, optimizer)[1]
    steps = run(net, optimizer)[1]
    for _ in range(6):
        step = next(steps)
    assert 0 < step.batch < 4
    save(step.state, tmp_path / "run")
    digest = hashlib.sha256(repr(whole(last.state)).encode()).hexdigest()
    assert in_a_new_process("resume", net, optimizer, tmp_path / "run") == digest


def test_the_same_seed_gives_the_same_bytes_in_any_process(tmp_path):
    for seed in ("0", "12345"):
        in_a_new_process("train", "noisy", "adam", tmp_path / seed, PYTHONHASHSEED=seed)
    assert (tmp_path / "0").read_bytes() == (tmp_path / "12345").read_bytes()


class Own(mn.SGD):
    """An optimizer that is not minnet's."""


def test_what_no_file_holds_of_a_run_is_refused(tmp_path):
    model, _ = problem("chain")
    moved, strange, broken = State(model, mn.SGD()), State(model, mn.SGD()), State(model, mn.SGD())
    moved.topology = 1
    strange.rngs = [np.random.Generator(np.random.MT19937(0))]
    broken.vectors[0, 2] = np.nan
    for state, wanted in ((State(model, Own()), "none of minnet's"), (moved, "positions have moved"),
                          (strange, "MT19937"), (broken, "state.vectors holds 1")):
        with pytest.raises((InvalidType, InvalidValue), match=wanted):
            save(state, tmp_path / "run")
    assert not list(tmp_path.iterdir())

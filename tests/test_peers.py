"""What `minnet bench` compares with: each peer gives minnet's own answers, and who is absent is left out."""
from contextlib import nullcontext

import numpy as np
import pytest

import minnet as mn
from minnet.errors import MissingExtra, Unsupported
from minnet.study import peers
from minnet.study.measure import rows_of
from minnet.study.peers import PEERS, against_peers
from minnet.study.speed import machine_speed

CANNOT = {("scikit-learn", "lenet_5"): "has no convolution", ("PyTorch", "resnet_8"): "is no chain",
          ("scikit-learn", "resnet_8"): "is no chain"}
SHAPE, CLASSES, ROWS = (16, 16, 1), 4, 5


def net(name):
    """A pruned net."""
    model = mn.models.MODELS[name](SHAPE, CLASSES, rng=0)
    mn.prune(model, 0.7, criterion="magnitude")
    return model


@pytest.mark.parametrize("model", ["lenet_300_100", "lenet_5", "resnet_8"])
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_gives_the_same_answers(peer, model):
    made, batches = net(model), rows_of(np.random.default_rng(0).random((2 * ROWS, *SHAPE), np.float32), ROWS)
    make, _ = PEERS[peer]
    try:
        call = make(made, batches, 1)
    except MissingExtra as error:
        pytest.skip(str(error))
    except Unsupported:
        assert (peer, model) in CANNOT
        return
    assert (peer, model) not in CANNOT
    for rows in batches:
        logits, theirs = made(rows), call(rows)
        if peer == "scikit-learn":
            logits, theirs = logits - logits.mean(axis=1, keepdims=True), np.log(theirs)
            theirs -= theirs.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(theirs, logits, atol=1e-4 * np.abs(logits).max())


@pytest.fixture
def quick(monkeypatch):
    """A few calls of each."""
    for name, value in (("TURN", 0), ("REST", 0), ("RESTED_ROUNDS", 3)):
        monkeypatch.setattr(f"minnet.study.measure.{name}", value)


def test_ratios_are_of_the_same_turns(quick):
    figures = against_peers({"net": net("lenet_300_100")}, np.zeros((8, *SHAPE), np.float32), 8)["net"]
    rows = figures["peers"]
    assert "scikit-learn" in {row["peer"] for row in rows}  # which minnet itself needs
    for row in rows:
        assert row["times_as_fast"] == pytest.approx(row["latency_us"] / figures["latency_us"])
        assert row["times_the_throughput"] == pytest.approx(figures["throughput_per_s"] / row["throughput_per_s"])
        assert all(threads >= 1 for threads in row["threads"])


def test_who_is_not_installed_is_named(quick, monkeypatch):
    def absent(model, batches, threads):
        raise MissingExtra("not here")

    monkeypatch.setitem(peers.PEERS, "PyTorch", (absent, nullcontext))
    result = machine_speed(net("lenet_300_100"), [0.9], rng=0)
    assert "PyTorch" in result["absent"] and "scikit-learn" not in result["absent"]
    assert {row["peer"] for net in result["nets"] for row in net["peers"]}.isdisjoint(result["absent"])

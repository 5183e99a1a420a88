"""The playground: what the page holds is what Python has, and what cannot be played is refused by name."""
import base64
import importlib.resources
import json
import re

import numpy as np
import pytest
from test_report import RESULT

import minnet as mn
from minnet.cli import main
from minnet.engine.sample import draw_sample, gradient
from minnet.play import playground
from minnet.play.packing import coded, packed
from minnet.play.page import CRITERIA, parsed
from minnet.play.removal import STOPS, counts, measured, removal_of
from minnet.study.folder import as_json, digest, write_run

MOST_CODE, MOST_DIGITS = 200_000, 1_000_000
EVIL = "</script><script>alert('x')</script>&\""


def unpacked(facts):
    """What net.js makes of a packed array."""
    live = np.frombuffer(base64.b64decode(facts["d"]), f"<{facts['k']}")
    if "m" not in facts:
        return live
    every = np.zeros(facts["n"], live.dtype)
    every[flags(facts["m"])[:facts["n"]]] = live
    return every


def flags(text):
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), bitorder="little") == 1


@pytest.fixture(scope="module")
def data():
    return mn.load_data("digits", rng=0)


@pytest.fixture(scope="module")
def net(data):
    return mn.models.mlp(data.shape, data.n_classes, (8,), rng=0)


@pytest.fixture(scope="module")
def page(net, data):
    """A page whose files and classes have names that try to be markup."""
    small = net.clone()
    mn.prune(small, 0.8)
    return playground(net, mn.compact(small), data, title=EVIL, words=EVIL)


@pytest.fixture
def folder(tmp_path, net, data):
    """What `minnet prune` writes, of a net that was not trained."""
    for name in ("dense", "model"):
        mn.save(net, tmp_path / f"{name}.safetensors")
    files = {f"{name}.safetensors": (tmp_path / f"{name}.safetensors").read_bytes() for name in ("dense", "model")}
    result = RESULT | {"criterion": "wanda", "settings": {"data": "digits", "scaling": None, "sparse_before": False},
                       "sha256": {name: digest(content) for name, content in files.items()}}
    (tmp_path / "out").mkdir()
    write_run(tmp_path / "out", files | {"result.json": as_json(result)})
    return tmp_path / "out"


@pytest.mark.parametrize("values", [[1.5, -2.25, 3.0], [0, 0, 1.5, 0, -7, 0, 0, 0, 0.5], [0.0] * 9, []])
@pytest.mark.parametrize("kind", ["f4", "f2", "u1", "u2"])
def test_packed_arrays_are_read_back(values, kind):
    values = np.abs(np.round(values)) if kind[0] == "u" else np.array(values)
    assert np.array_equal(unpacked(packed(values, kind)), values.astype(kind))


def test_coded_values_are_the_nearest_quantiles():
    values = np.random.default_rng(0).normal(size=500).astype(np.float32)
    facts = coded(values)
    book = unpacked(facts["book"])
    read = book[unpacked(facts["codes"])]
    assert np.allclose(np.abs(read - values), np.abs(book - values[:, None]).min(axis=1), atol=1e-6)
    assert {values.min(), values.max()} <= set(book) and len(book) == 256
    assert set(unpacked(coded(np.zeros(4))["book"])) == {0}


@pytest.mark.parametrize("name", [*CRITERIA, "wanda"])
def test_the_order_of_removal_is_that_of_prune(name, net, data):
    found = removal_of(net, name, data, 0)
    for count in counts(net.n_weights)[::7]:
        pruned = net.clone()
        mn.prune(pruned, count=count, criterion=name, data=data, rng=0)
        assert np.array_equal(found.mask(net, count), pruned.mask)


def test_what_is_masked_already_is_first(net, data):
    half = net.clone()
    mn.prune(half, 0.5, criterion="random", rng=1)
    found = removal_of(half, "magnitude", data, 0)
    assert np.array_equal(found.order < round(0.5 * net.n_weights), ~half.mask[:half.n_weights])


def test_scores_on_the_way_are_those_of_the_masked_net(net, data):
    found = removal_of(net, "obd", data, 0)
    told = list(measured(net, found, data.X_test, data.y_test))
    assert len(told) == len(STOPS)
    for stop in (0, 14, len(STOPS) - 1):
        model = net.clone()
        model.set_mask(found.mask(net, counts(net.n_weights)[stop]))
        assert told[stop] == mn.evaluate(model, data.X_test, data.y_test, intervals=False)["accuracy"]


def test_the_page_holds_the_nets_ranks_and_gradients(page, net, data):
    facts = parsed(page)
    dense = [unpacked(layer["w"]) for layer in facts["dense"]["layers"] if "w" in layer]
    assert np.array_equal(np.concatenate(dense), net.weights)
    assert facts["counts"] == counts(net.n_weights) and facts["rows"] == len(data.y_test)
    by = {criterion["name"]: criterion for criterion in facts["criteria"]}
    assert list(by) == list(CRITERIA) and "order" not in by["magnitude"]  # the page sorts by the weights it has
    found = removal_of(net, "taylor", data, 0)
    assert np.array_equal(unpacked(by["taylor"]["order"]), found.order)
    assert np.allclose(unpacked(by["taylor"]["knots"])[[0, -1]], [found.scores.min(), found.scores.max()])
    slope = gradient(net, draw_sample(net, data, rng=0))[:net.n_weights]
    assert np.array_equal(flags(facts["negative"])[:net.n_weights], slope < 0)
    assert "gradient" in parsed(playground(net, None, data, criteria=["magnitude"]))


def test_nothing_in_the_page_is_markup_of_others_or_a_request(page):
    assert "<script>alert" not in page and page.count("</script>") == 2
    assert parsed(page)["title"] == EVIL
    asks = r"(src|href)\s*=\s*[\"'](?!data:,)|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\("
    assert not re.search(asks, page)
    assert set(re.findall(r"https?://[\w./]*", page)) == {"http://www.w3.org/2000/svg"}  # the name of SVG's elements
    assert "default-src 'none'" in page


def test_sizes(data):
    files = importlib.resources.files("minnet.play").iterdir()
    code = [path for path in files if path.name.endswith((".js", ".css", ".html"))]
    assert len(code) == 6 and sum(len(path.read_bytes()) for path in code) <= MOST_CODE
    net = mn.models.lenet_300_100(data.shape, data.n_classes, rng=0)
    small = net.clone()
    mn.prune(small, 0.9)
    assert len(playground(net, mn.compact(small), data).encode()) <= MOST_DIGITS


def test_large_nets_have_16_bits_and_stops(data):
    net = mn.models.mlp(data.shape, data.n_classes, (900,), rng=0)
    facts = parsed(playground(net, None, data, criteria=["magnitude"]))
    rounded = net.weights.astype(np.float16)
    assert facts["half"] and np.array_equal(unpacked(facts["dense"]["layers"][1]["w"]), rounded[:64 * 900])
    first = np.lexsort((np.abs(rounded.astype(np.float32)),))
    stops = unpacked(facts["criteria"][0]["stops"])
    for stop, count in enumerate(facts["counts"]):
        assert set(np.flatnonzero(stops <= stop)) == set(first[:count])


@pytest.mark.parametrize("layers, words", [
    ([mn.Residual(mn.Dense(64))], "Residual"), ([mn.LayerNorm()], "LayerNorm"),
])
def test_a_net_that_cannot_be_played_is_refused_by_name(layers, words, data):
    net = mn.Model(mn.Sequential(mn.Flatten(), *layers, mn.Dense(10)), data.shape, rng=0)
    with pytest.raises(mn.errors.Unsupported, match=f"cannot be played.*{words}"):
        playground(net, None, data)


def test_too_much_is_refused(net, data):
    with pytest.raises(mn.errors.InvalidValue, match="5 at most"):
        playground(net, None, data, criteria=["magnitude", "magnitude"])
    big = mn.models.mlp(data.shape, data.n_classes, (14_000,), rng=0)
    with pytest.raises(mn.errors.Unsupported, match="1,036,000 weights"):
        playground(big, None, data)


def test_the_command(folder, capsys, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda uri: pytest.fail("a pipe opens no browser"))
    assert main(["play", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'play.html'}\n"
    facts = parsed((folder / "play.html").read_text())
    assert "srcdoc=" in (folder / "report.html").read_text()
    assert [criterion["name"] for criterion in facts["criteria"]] == ["wanda", *CRITERIA[:4]]
    assert facts["title"] == "digits, mlp"
    assert main(["play", str(folder), "--criterion", "random", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"play": str(folder / "play.html"), "bytes": (folder / "play.html").stat().st_size}


@pytest.mark.parametrize("words", [["--criterion", "tailor"], ["--criterion", "large_init"], ["--data", "nope.csv"]])
def test_bad_arguments(folder, words, capsys):
    assert main(["play", str(folder), *words]) == 2
    ended = capsys.readouterr()
    assert ended.out == "" and len(ended.err.splitlines()) == 1 and not (folder / "play.html").exists()


def test_a_browser_is_opened_on_a_terminal(folder, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("minnet.cli.play.is_terminal", lambda stream: True)
    assert main(["play", str(folder), "--no-open", "--criterion", "random"]) == 0 and opened == []
    assert main(["play", str(folder), "--criterion", "random"]) == 0 and opened == [(folder / "play.html").as_uri()]


def test_without_a_result_one_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minnet.cli.play.FIRST", ("digits", "--epochs", "1", "--model", "mlp"))
    assert main(["play", "--criterion", "random"]) == 0
    ended = capsys.readouterr()
    assert ended.out == "minnet-out/play.html\n" and "no result in minnet-out" in ended.err
    told = json.loads((tmp_path / "minnet-out" / "result.json").read_text())
    assert told["command"] == "minnet prune digits --epochs 1 --model mlp"
    assert parsed((tmp_path / "minnet-out" / "play.html").read_text())["after"]["weights"] > 0
    assert main(["play", "nowhere"]) == 2

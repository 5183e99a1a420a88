"""The report: rows, drawings and the page, on results made by hand, whole and odd."""
import copy
import json
import os
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnet.errors import FileError
from minnet.report import svg
from minnet.report.classes import class_rows, notable
from minnet.report.page import page
from minnet.report.rows import comparison, layers
from minnet.study.folder import as_json, digest, read_result, write_files, write_page, write_run
from minnet.study.schema import problem_of

SIDE = {"accuracy": 0.98, "recall_macro": 0.97, "f1_macro": 0.975, "loss": 0.1, "parameters": 1000, "macs": 2000,
        "bytes_on_disk": 4000, "latency_us": 12.5, "throughput_per_s": 100_000.0}
RESULT = {
    "data": "digits", "model": "mlp", "seed": 0, "criterion": "magnitude", "structure": "weight", "recipe": "gradual",
    "threads": 2, "words": "90.0% of the weights removed: file 8.5 times smaller", "command": "minnet prune digits",
    "sparsity": {"asked": 0.9, "of": "weights", "reached_weights": 0.9, "reached_units": 0.1},
    "before": SIDE, "after": SIDE | {"accuracy": 0.97, "loss": 0.2, "parameters": 100, "latency_us": 25.0,
                                     "throughput_per_s": 400_000.0},
    "layers": [{"name": "dense1", "shape": [64, 30], "weights": 1920, "remaining": 192, "sparsity": 0.9, "macs": 192},
               {"name": "dense2", "shape": [30, 10], "weights": 300, "remaining": 300, "sparsity": 0.0, "macs": 300}],
    "settings": {"epochs": 2, "sparse_before": False}, "machine": {"python": "3.11"}, "start": None,
    "history": [{"stage": stage, "loss": loss, "sparsity": sparsity} for stage, loss, sparsity in (
        ("dense", 2.0, 0.0), ("dense", 0.5, 0.0), ("pruning", 0.6, 0.5), ("pruning", 0.4, 0.9),
        ("dense, the same epochs", 0.3, 0.0), ("dense, the same epochs", 0.2, 0.0))],
}
TABLE = {"precision": [0.9, 0.5], "recall": [1.0, 0.25], "f1": [0.95, 1 / 3], "support": [30, 4],
         "intervals": {name: [[0.8, 1.0], [0.1, 0.7]] for name in ("precision", "recall", "f1")}}
ENDS = {"interval": [[-0.2, -0.01], [-0.1, 0.1]], "difference": [-0.1, 0.0]}
CLASSES = {
    "classes": ["cat", "dog"],
    "before": RESULT["before"] | {"per_class": TABLE, "confusion": [[30, 0], [3, 1]], "brier": 0.1, "ece": 0.02,
                                  "intervals": {"accuracy": [0.91, 0.99], "loss": [0.05, 0.2]}},
    "after": RESULT["after"] | {"per_class": TABLE, "confusion": [[27, 3], [3, 1]], "brier": 0.2, "ece": 0.03,
                                "intervals": {"accuracy": [0.9, 0.98], "loss": [0.1, None]}},
    "change": {"accuracy": {"difference": -0.01, "interval": [-0.03, 0.002]},
               "per_class": {name: ENDS for name in ("precision", "recall", "f1")},
               "flips": {"right_to_wrong": {"per_class": [3, 0], "rows": [1, 2, 9], "predictions": [1, 1, 1]},
                         "wrong_to_right": {"per_class": [0, 0], "rows": [], "predictions": []}}},
}
FLIPS = {"per_class": [1, 0], "rows": [1], "targets": [0]}
GUARD = {"part": "valid", "samples": 5, "limits": {"loss": 0.1}, "before": {"loss": 0.1}, "after": {"loss": 0.2}}
WHOLE = RESULT | CLASSES | {  # whatever a result may have
    "change": CLASSES["change"] | {"flips": {"right_to_wrong": FLIPS, "wrong_to_right": FLIPS},
                                   "margins": {"before": [0.1, 0.2, 0.3, 0.4], "after": [0.1, 0.2, 0.3, 0.4]}},
    "safe": {"protected": ["a"], "tried": [{"criterion": "obd", "flips": 0.1},
                                           {"criterion": "snip", "flips": None, "reason": "slow"}]},
    "guard": GUARD | {"bounds": {"loss": {"bound": 0.3, "images_needed": 4, "label": "a"}},
                      "test": {"samples": 3, "before": {"loss": 0.1}, "after": {"loss": 0.2}},
                      "search": {"rounds": [{"asked": 0.1, "holds": True}, {"asked": 0.2, "holds": False}],
                                 "bound": {"asked": 0.2, "missed": ["loss"]}, "held": True, "reached": 0.1,
                                 "epochs": 3}},
    "inputs": {"kept": ["a"], "of": 3}}
ODD = (None, True, 0, -1, 0.5, 2**63, 10**400, 1e308, "", "x", [], [0], [None], [[1]], {}, {"a": 1})
VOID = {"meta", "br", "hr", "img", "input", "link"}
EVIL = "<script>alert('x')</script>\"&\x1b[31m</style>"


class Checked(HTMLParser):
    """Elements must be closed in order; what is in the script element is kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.inside = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.inside.setdefault(self.open[-1] if self.open else "", []).append(data)


def with_strings(value, text):
    """`value` with every string in it replaced, but for the words that decide which stage is which."""
    if isinstance(value, dict):
        return {key: item if key == "stage" else with_strings(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [with_strings(item, text) for item in value]
    return text if isinstance(value, str) else value


# --- the page --------------------------------------------------------------------------------------------------------

def test_the_page_needs_nothing_from_elsewhere():
    text = page(RESULT)
    assert not re.search(r"https?:|//|@import|url\(|src=|href=", text)
    scripts = [attrs for tag, attrs in Checked(text).seen if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "result"}]


def test_the_page_is_light_or_dark_as_the_reader_likes():
    text = page(RESULT)
    assert "prefers-color-scheme: dark" in text
    used, named = set(re.findall(r"var\((--\w+)\)", text)), re.findall(r"(--\w+):", text)
    assert used == set(named)
    assert all(named.count(name) == 2 for name in used), "each colour is set for light and for dark"


def test_the_page_holds_the_whole_result():
    assert json.loads("".join(Checked(page(RESULT)).inside["script"])) == RESULT


def test_the_page_tells_of_each_class_with_intervals():
    parsed = Checked(page(RESULT | CLASSES))
    small, cells = "|".join(parsed.inside["small"]), "|".join("".join(data) for data in parsed.inside["td"])
    wanted = ("91.0 to 99.0", "-3.0 to +0.2", "80.0 to 100.0", "-20.0 to -1.0")
    assert [told for told in wanted if told not in small] == []
    assert [told for told in ("90.0%", "25.0%", "-10.0", "27", "30") if told not in cells] == []
    assert sum(tag == "caption" for tag, _ in parsed.seen) == 2
    assert "Brier score" in parsed.inside["th"]
    assert json.loads("".join(parsed.inside["script"])) == RESULT | CLASSES


def test_a_result_without_classes_or_intervals_makes_the_page_it_made():
    assert "<h2>Classes</h2>" not in page(RESULT) and "Brier" not in page(RESULT)
    bare = json.loads(json.dumps(RESULT | CLASSES))
    for net in ("before", "after"):
        del bare[net]["intervals"], bare[net]["per_class"]["intervals"]
        bare[net]["confusion"] = None
    assert "<h2>Classes</h2>" in page(bare) and "too many classes" in page(bare)
    del bare["change"]
    assert "<h2>Classes</h2>" not in page(bare)


def test_only_classes_whose_interval_leaves_out_0_changed():
    assert notable(RESULT | CLASSES) == [0] and notable(RESULT) == []
    row, = class_rows(RESULT | CLASSES, [0])
    assert (row.label, row.lost, row.gained, row.rates["recall"].good) == ("cat", "3", "0", False)
    assert class_rows(RESULT | CLASSES)[1].rates["recall"].good is None


def test_names_from_outside_stay_text():
    text = page(with_strings(copy.deepcopy(RESULT | CLASSES), EVIL))
    parsed = Checked(text)
    assert "<script>alert" not in text
    assert sum(tag == "script" for tag, _ in parsed.seen) == 1
    assert json.loads("".join(parsed.inside["script"]))["data"] == EVIL
    assert "\x1b" not in text and "\\x1b[31m" in text


@given(st.text())
def test_any_name_at_all_stays_text(name):
    plain, odd = Checked(page(RESULT)), Checked(page(with_strings(copy.deepcopy(RESULT), name)))
    assert [tag for tag, _ in odd.seen if tag == "script"] == [tag for tag, _ in plain.seen if tag == "script"]
    assert len([tag for tag, _ in odd.seen if tag == "tr"]) == len([tag for tag, _ in plain.seen if tag == "tr"])


def test_the_page_tells_every_figure():
    cells = "|".join("".join(data) for data in Checked(page(RESULT)).inside["td"])
    told = ("98.00%", "97.00%", "-1.00 points", "1,000", "10.0x fewer", "2.0x slower", "4.0x faster", "64x30")
    assert [figure for figure in told if figure not in cells] == []


def test_pictures_have_words():
    drawings = [attrs for tag, attrs in Checked(page(RESULT)).seen if tag == "svg"]
    assert len(drawings) == 3
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)


def test_a_result_with_gaps_still_makes_a_page():
    gaps = copy.deepcopy(RESULT)
    gaps["before"] = dict.fromkeys(SIDE)
    gaps["after"] |= {"macs": 0, "loss": None}
    gaps["history"] = [step | {"loss": None} for step in gaps["history"]]
    Checked(page(gaps))
    gaps["history"] = []
    Checked(page(gaps))


# --- rows ------------------------------------------------------------------------------------------------------------

CHANGES = {  # label: (before, after) and what is said of it
    "accuracy": ((0.9, 0.95), "+5.00 points", True),
    "macro recall": ((0.9, 0.85), "-5.00 points", False),
    "macro F1": ((0.9, 0.90001), "=", None),
    "loss": ((0.5, 0.25), "-0.2500", True),
    "parameters (nonzero)": ((100, 50), "2.0x fewer", True),
    "multiply-adds": ((50, 100), "2.0x more", False),
    "bytes on disk": ((1000, 990), "=", None),
    "latency, one sample (us)": ((10.0, 5.0), "2.0x faster", True),
    "throughput (samples/s)": ((10.0, 5.0), "2.0x slower", False),
}


def test_changes_are_told_with_their_direction():
    names = dict(zip(CHANGES, SIDE, strict=True))
    sides = [{names[label]: pair[i] for label, (pair, _, _) in CHANGES.items()} for i in (0, 1)]
    rows = {row.label: row for row in comparison({"before": sides[0], "after": sides[1]})}
    assert {label: (row.change, row.good) for label, row in rows.items()} == {
        label: (change, good) for label, (_, change, good) in CHANGES.items()}


def test_layers_as_text():
    assert layers(RESULT)[0] == ("dense1", "64x30", "64x30", "192", "90.0%", "192", "-", "-")


@pytest.mark.parametrize("after, wanted", [
    ({"shape": [64, 5], "remaining": 96, "macs": 90, "bytes": 400, "latency_us": 1.25}, ("64x5", "96", "95.0%", "90",
                                                                                        "400", "1.2")),
    (None, ("0", "0", "100.0%", "0", "0", "-"))])
def test_layers_as_text_are_those_of_the_file(after, wanted):
    """Also where compaction left nothing of one."""
    row = RESULT["layers"][0] | {"before": None, "after": after}
    assert layers({"layers": [row]}) == [("dense1", "64x30", *wanted)]


# --- drawings --------------------------------------------------------------------------------------------------------

def test_bars_are_as_long_as_their_shares():
    tree = ElementTree.fromstring(svg.bars([("a", 0.25, "x"), ("b", 1.0, "y"), ("<c>", 0.0, "&")], "title"))
    full = [float(bar.get("width")) for bar in tree.iter("rect") if bar.get("class") == "full"]
    empty = {float(bar.get("width")) for bar in tree.iter("rect") if bar.get("class") == "empty"}
    assert [width / empty.copy().pop() for width in full] == pytest.approx([0.25, 1.0, 0.0])
    assert len(empty) == 1
    assert [text.text for text in tree.iter("text")] == ["a", "x", "b", "y", "<c>", "&"]


@pytest.mark.parametrize("text", ["x", "192 of 1,920", "1,161,216 of 2,359,296", "102,760,448 of 102,760,448"])
def test_bars_leave_room_for_what_stands_beside_them(text):
    tree = ElementTree.fromstring(svg.bars([("a", 0.5, text)], "title"))
    [place] = [float(item.get("x")) for item in tree.iter("text") if item.text == text]
    assert svg.WIDTH - place >= 7 * len(text)


def test_lines_go_where_the_numbers_are():
    tree = ElementTree.fromstring(svg.lines({"a": [(1, 0.0), (2, 1.0)]}, "title", "epoch", svg.shares()))
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in tree.find("polyline").get("points").split())
    assert x1 < x2
    assert (y1, y2) == pytest.approx((svg.HEIGHT - svg.BOTTOM, svg.TOP))


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=9))
def test_an_axis_of_decades_holds_all_its_values(values):
    height, ticks = svg.decades(values)
    assert all(0 <= height(value) <= 1 for value in values)
    for value, factor in ((values[0], 10), (values[0], 2)):
        assert height(value * factor) >= height(value)
    assert [height(float(label)) for _, label in ticks] == pytest.approx([place for place, _ in ticks])
    assert height(0) == height(-1) == 0


# --- the folder that a page is made from -----------------------------------------------------------------------------

DAMAGED = {
    "nothing": "",
    "a part": as_json(RESULT)[:500],
    "NaN": as_json(RESULT).replace("0.98", "NaN"),
    "nesting": "[" * 100_000,
    "a list": "[1, 2]",
    "another kind": '{"data": 1}',
    "a number for words": as_json(RESULT | {"words": 5}),
    "half a pair": as_json(RESULT | {"words": "\ud800"}),
    "10**400": as_json(RESULT | {"before": SIDE | {"loss": 10**400}}),
    "a class too many": as_json(RESULT | CLASSES | {"classes": ["a", "b", "c"]}),
    "no text": "\udcff",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_result_is_refused(tmp_path, name):
    (tmp_path / "result.json").write_text(DAMAGED[name], errors="surrogateescape")
    with pytest.raises(FileError, match=r"result\.json"):
        read_result(tmp_path)


def places(value, path=()):
    """All paths to a value inside a result."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(*path, key) for key, _ in inner] + [one for key, item in inner for one in places(item, (*path, key))]


@given(st.data())
def test_of_a_changed_result_a_page_is_made_or_one_line_says_what_is_wrong(data):
    result = copy.deepcopy(WHOLE)
    *path, last = data.draw(st.sampled_from(places(WHOLE)))
    at = result
    for key in path:
        at = at[key]
    if data.draw(st.booleans()):
        del at[last]
    else:
        at[last] = data.draw(st.sampled_from(ODD))
    problem = problem_of(result)
    if problem is None:
        page(result)
    else:
        assert problem.isprintable()


def test_a_whole_result_has_no_problem():
    assert [problem_of(result) for result in (RESULT, RESULT | CLASSES, WHOLE)] == [None] * 3
    assert problem_of(RESULT | {"after": SIDE | {"macs": "1"}}) == "after.macs is no number"


def test_what_is_written_is_read(tmp_path):
    write_files(tmp_path, {"result.json": as_json(RESULT), "other": b"\0\1"})
    assert read_result(tmp_path) == RESULT
    assert (tmp_path / "other").read_bytes() == b"\0\1"


def a_run(**nets):
    """The files of a run with such nets: {file name: bytes}, result.json last."""
    files = {name.replace("_", "."): data for name, data in nets.items()}
    result = RESULT | {"sha256": {name: digest(data) for name, data in files.items()}}
    return files | {"report.html": b"page", "result.json": as_json(result).encode()}


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_a_run_takes_the_place_of_the_one_before(tmp_path):
    """Its files go, as far as its result vouches for them; what stands beside them stays."""
    (tmp_path / "unfinished.safetensors").write_bytes(b"u")
    first = a_run(model_safetensors=b"m", dense_safetensors=b"d", model_onnx=b"o")
    assert write_run(tmp_path, first) == []
    second = a_run(model_safetensors=b"m2", dense_safetensors=b"d2")
    assert write_run(tmp_path, second) == ["model.onnx"]
    assert names_in(tmp_path) == {*second, "unfinished.safetensors"}
    assert write_run(tmp_path, {"model.safetensors": b"m3"}) == ["result.json", "report.html", "dense.safetensors"]
    assert names_in(tmp_path) == {"model.safetensors", "unfinished.safetensors"}


def test_what_no_result_vouches_for_stays(tmp_path):
    """A net that was changed since or came from elsewhere, a file that is still wanted, and other names."""
    (tmp_path / "other").write_bytes(b"x")
    write_run(tmp_path, a_run(model_safetensors=b"m", dense_safetensors=b"d", model_onnx=b"o", other=b"x"))
    (tmp_path / "dense.safetensors").write_bytes(b"changed")
    write_run(tmp_path, {"model.safetensors": b"m2"}, spared=[tmp_path / "model.onnx"])
    assert names_in(tmp_path) == {"model.safetensors", "dense.safetensors", "model.onnx", "other"}
    (tmp_path / "result.json").write_text("{}")
    assert write_run(tmp_path, {"model.safetensors": b"m3"}) == []


@pytest.mark.parametrize("name", ["model", "dense"])
def test_a_result_about_another_net_than_the_one_beside_it_is_refused(tmp_path, name):
    write_run(tmp_path, a_run(model_safetensors=b"m", dense_safetensors=b"d"))
    read_result(tmp_path)
    (tmp_path / f"{name}.safetensors").write_bytes(b"another")
    with pytest.raises(FileError, match=rf"describes another {name}\.safetensors"):
        read_result(tmp_path)
    (tmp_path / f"{name}.safetensors").unlink()
    read_result(tmp_path)


def test_files_of_one_run_are_written_while_no_other_process_writes(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    held = []

    def write(path, content):
        descriptor = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.append(path.name)
        finally:
            os.close(descriptor)
    monkeypatch.setattr("minnet.study.transaction.write_new", write)
    write_files(tmp_path, {"a": b"", "b": b""})
    assert held == ["a", "b"]


def test_the_playground_is_in_the_page_where_it_fits(tmp_path):
    play = "<!DOCTYPE html><title>\"nets\" & 'wires'</title><script>if (1 < 2 && 2 > 1) {}</script>"
    html = page(RESULT, play)
    frames = [attrs for tag, attrs in Checked(html).seen if tag == "iframe"]
    assert [frame["srcdoc"] for frame in frames] == [play] and frames[0]["sandbox"] == "allow-scripts"
    assert "iframe title" not in page(RESULT) and html.replace("<", "") != page(RESULT)
    large = page(RESULT, play + " " * 1_500_000)
    assert len(large.encode()) < 100_000 and 'href="play.html"' in large
    write_files(tmp_path, {"result.json": as_json(RESULT), "play.html": play})
    write_page(tmp_path, page)
    assert (tmp_path / "report.html").read_text() == html
    assert write_run(tmp_path, {"result.json": as_json(RESULT)}) == ["report.html", "play.html"]

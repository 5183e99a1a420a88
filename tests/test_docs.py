"""The documentation is true: programs and commands run, links lead somewhere, the site is built without a warning."""
import importlib.util
import json
import logging
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from each import each

import minnet as mn
from minnet.cli import main

ROOT = Path(mn.__file__).parents[1]
FOLDERS = (".", "bench", "bench/papers", "docs", "docs/guides", "minnet", "minnet/pruning")
PAGES = {str(path.relative_to(ROOT)): path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))}
MADE = ROOT / "docs/api"  # pages that the site has and the repository has not
GUIDES = {path.stem: path for path in sorted((ROOT / "docs").rglob("*.md"))
          if path.stem not in ("index", "microcontroller", "playground")}  # first_steps; tests of examples and play
RUNS = re.compile(r"^```python\n(?P<program>.*?)^```|^    (?P<command>\S[^\n]*)$", re.DOTALL | re.MULTILINE)
NEEDS = {"import torch": "torch", "from hypothesis": "hypothesis", "load_keras": "h5py", "mn.save_onnx": "onnx"}
CODE = re.compile(r"^```.*?^```|``.*?``|`[^`]*`", re.DOTALL | re.MULTILINE)


def links(path):
    """(file, heading) of every link of a page to another file or heading of the repository."""
    found = re.findall(r"\]\(([^()\s#]*)(?:#([^()\s]*))?\)", CODE.sub("", path.read_text(encoding="utf-8")))
    return [(target, anchor) for target, anchor in found if "://" not in target]


@cache
def anchors(path):
    """The names of the headings of a page, as browsers of repositories and MkDocs make them."""
    titles = re.findall(r"^#+ (.*)$", CODE.sub(lambda code: code[0] * (code[0][:3] != "```"), path.read_text("utf-8")),
                        re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@each("page", PAGES)
def test_links_lead_somewhere(page):
    path = PAGES[page]
    for target, anchor in links(path):
        file = (path.parent / target).resolve() if target else path
        if file.parent != MADE:
            assert file.exists(), target
            assert not anchor or file.suffix != ".md" or anchor in anchors(file), f"{target}#{anchor}"


def test_the_site_is_built_without_a_warning(tmp_path):
    config = pytest.importorskip("mkdocs.config")
    pytest.importorskip("material")
    from mkdocs.commands.build import build

    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    build(config.load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    pages = {str(path.relative_to(tmp_path)): path.read_text("utf-8") for path in tmp_path.rglob("*.html")}
    assert {"index.html", "reference.html", "measurements.html", "api/criteria.html"} <= set(pages)
    assert 'id="criteria.taylor"' in pages["api/criteria.html"]
    for page, text in pages.items():
        fetched = re.findall(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(https?:[^"]+)"', text)
        assert not fetched, f"{page} is fetched from elsewhere: {fetched}"


def run(line):
    """A line of a shell: minnet runs here, one epoch long where it trains; of another the program exists."""
    program, *words = shlex.split(line)
    if program != "minnet":
        assert program in (".", "python3", "pip") or (program == "python" and (ROOT / words[0]).exists()), line
        return
    short = {"prune": "--epochs 1", "compare": "--epochs 1 --seeds 1 --sparsities 0.9 --jobs 1"}.get(words[0], "")
    assert main([*words, *["--quiet"] * (words[0] != "list"), *short.split()]) == 0, line


def write_keras_net(path):
    """A net as Keras saves it, made without Keras."""
    pytest.importorskip("h5py")
    from keras_files import archive, layer, sequential

    net = sequential(layer("Dense", units=2, activation="relu", use_bias=True), shape=(3,))
    archive(path, {"dense": {"kernel": np.eye(3, 2, dtype=np.float32), "bias": np.zeros(2, np.float32)}},
            json.dumps(net))


@pytest.mark.parametrize("page", GUIDES)
def test_what_pages_show_runs(page, tmp_path, monkeypatch, few_rounds):
    """In their order, in one folder, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    write_keras_net(tmp_path / "theirs.keras")
    names = {"__name__": page}
    for found in RUNS.finditer(GUIDES[page].read_text(encoding="utf-8")):
        program = found["program"] or ""
        if found["command"]:
            run(found["command"])
        elif all(importlib.util.find_spec(needed) for words, needed in NEEDS.items() if words in program):
            exec(compile(program, f"{page}.md", "exec"), names)

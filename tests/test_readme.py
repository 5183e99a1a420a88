"""The README is true: its programs run, its commands exist with their options, and its links lead somewhere."""
import re
import shlex
from pathlib import Path

import pytest

import minnet as mn
from minnet.cli.commands import COMMANDS, load
from minnet.cli.options import settings_from
from minnet.report.rows import FIGURES

ROOT = Path(mn.__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_LINES = [line.strip() for line in README.splitlines() if line.startswith("    minnet ")]
MOST_LINES = 120


def test_the_two_commands_stand_on_the_first_screen():
    first = README.splitlines()[:12]
    assert "    pip install . && minnet prune digits" in first
    assert "    pip install -e '.[test]' && pytest" in first
    before, _, after = README.partition("<!-- bench: begin -->")
    prose = before + after.partition("<!-- bench: end -->")[2]
    assert len(prose.splitlines()) <= MOST_LINES


def test_its_programs_run(tmp_path, monkeypatch, capsys):
    """One after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(programs) == 3 and "PrunedClassifier" in programs[1]
    names = {}
    for program in programs:
        exec(compile(program, "README.md", "exec"), names)
    assert mn.load("small.safetensors").n_weights < names["model"].n_weights
    assert mn.evaluate(names["fast"], names["data"].X_test, names["data"].y_test).accuracy > 0.93
    assert names["model"].n_weights - names["model"].mask[: names["model"].n_weights].sum() == round(0.95 * 50_200)
    assert "total" in capsys.readouterr().out


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_its_commands_exist(line):
    _, name, *rest = shlex.split(line)
    parser, _ = load(name)
    args = parser.parse_args([word for word in rest if not word.startswith("my_rules") and word != "--rule"])
    assert settings_from(args).epochs >= 1


def test_it_names_every_command():
    assert set(re.findall(r"`(\w+)`", README)) >= set(COMMANDS) - {"prune"}


def test_the_result_it_shows_is_one_of_this_version():
    shown = re.search(r"(?:^    .*\n|^\n)*^    accuracy(?:.*\n)*?\n\S", README, re.MULTILINE).group()
    for _, label, *_ in FIGURES:
        assert f"    {label} " in shown


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", README))))
def test_its_links_lead_somewhere(target):
    assert (ROOT / target).exists()

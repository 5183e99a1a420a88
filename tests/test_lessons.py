"""The lessons run from beginning to end, as tiny versions of themselves, and their page is made of what they say.

That they print the figures which they say is checked where they are run whole: `python docs/lessons.py`.
"""
import runpy
from pathlib import Path

import pytest

import minnet as mn

pyplot = pytest.importorskip("matplotlib.pyplot")
ROOT = Path(mn.__file__).parents[1]
MAKER = runpy.run_path(str(ROOT / "docs/lessons.py"))
LESSONS = MAKER["lessons"]()


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_lesson(lesson, tmp_path, monkeypatch, capsys):
    picture = tmp_path / "picture.png"
    monkeypatch.setenv("LESSON_QUICK", "1")
    monkeypatch.setenv("LESSON_PICTURE", str(picture))
    pyplot.switch_backend("agg")
    try:
        runpy.run_path(str(lesson.path))
    finally:
        pyplot.close("all")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("\n") >= 4
    assert lesson.path.read_text().count(f'"LESSON_PICTURE", "lesson_{lesson.number:02}.png"') == 1


def test_their_order_and_page():
    assert [lesson.number for lesson in LESSONS] == list(range(1, len(LESSONS) + 1))
    assert all(lesson.path.name.startswith(f"{lesson.number:02}_") and lesson.bold for lesson in LESSONS)
    assert (ROOT / "docs/lessons.md").read_text(encoding="utf-8") == MAKER["page"](LESSONS), "run docs/lessons.py"
    assert all(1000 < lesson.picture.stat().st_size <= MAKER["LARGEST"] for lesson in LESSONS)
    for lesson in LESSONS:
        assert lesson.question.endswith(("?", ".", ")")) and "?" in lesson.question

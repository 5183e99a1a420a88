"""Run the lessons, check what they say, and make their page and pictures: python docs/lessons.py [NUMBER ...].

Without a number all are run, a few minutes. Each figure that a lesson says in bold must be in what it prints.
"""
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent
LESSONS = DOCS.parent / "examples/lessons"
LARGEST = 60_000  # bytes of a picture
HEAD = """# A course in pruning

Eleven short lessons, each a question, an experiment, one picture, one surprise, and something to think about. They
are plain scripts in `examples/lessons`: `python examples/lessons/01_worth.py` prints what it finds and writes its
picture to `lesson_01.png`, or where the variable `LESSON_PICTURE` says. Or open one as a notebook: its cells are in
the percent format, which VS Code, PyCharm and Spyder read as it is, and Jupyter by Jupytext. Each takes less than a
minute on two cores, and some seconds more the first time, when kernels are compiled. They need Matplotlib: `pip
install "minnet-lab[report]"`. Read them in order: each uses what those before it found.

Figures are those of one seed (two in lesson 7), and a machine whose BLAS rounds in another order gives slightly others.
`python docs/lessons.py` runs all lessons, checks that the figures that they say in bold are those that they print, and
makes this page.
"""


@dataclass(frozen=True)
class Lesson:
    """What a lesson says of itself."""

    path: Path
    number: int
    title: str
    shown: str     # what the picture shows
    surprise: str
    question: str
    bold: list[str]  # the figures that it must print

    @property
    def picture(self):
        """Where its picture is."""
        return DOCS / f"pictures/lesson_{self.number:02}.png"


def lesson(path):
    """Read a lesson without running it."""
    script = path.read_text(encoding="utf-8")
    cells = re.findall(r"^# %% \[markdown\]\n(.*?)(?=^# %%|\Z)", script, re.MULTILINE | re.DOTALL)
    text = "\n\n".join(re.sub(r"^# ?", "", cell, flags=re.MULTILINE) for cell in cells)
    number, title = re.match(r"# (\d+)\. (.*)", text).groups()
    paragraphs = ("The picture**:", "The surprise.**", "To think about.**")
    shown, surprise, question = (said(text, name) for name in paragraphs)
    bold = [" ".join(found.split()) for found in re.findall(r"\*\*([^*]+)\*\*", text) if re.search(r"\d", found)]
    return Lesson(path, int(number), title, shown[0].upper() + shown[1:], surprise, question, bold)


def said(text, name):
    """Return the one paragraph that begins with **name, in a line."""
    found = re.findall(rf"^\*\*{re.escape(name)} (.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    if len(found) != 1:
        raise SystemExit(f"a lesson has one paragraph **{name}, not {len(found)}: {text.splitlines()[0]}")
    return " ".join(found[0].split())


def lessons():
    """All lessons, in order."""
    return [lesson(path) for path in sorted(LESSONS.glob("[0-9]*.py"))]


def run(one):
    """Run a lesson; return which of its figures it does not print."""
    where = {**os.environ, "LESSON_PICTURE": str(one.picture), "MPLBACKEND": "Agg"}
    where.pop("LESSON_QUICK", None)
    printed = subprocess.run([sys.executable, one.path], env=where, check=True, capture_output=True, text=True).stdout
    print(printed)
    printed = " ".join(printed.split())
    return [figure for figure in one.bold if not re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d])", printed)]


def page(found):
    """Return the page of all lessons, in Markdown."""
    rows = [HEAD, "| lesson | picture | surprise | question |", "|---|---|---|---|"]
    for one in found:
        rows.append("| " + " | ".join(text.replace("|", "\\|") for text in (
            f"[{one.number}. {one.title}](#{anchor(one)})", f"[picture](pictures/{one.picture.name})",
            ". ".join(one.surprise.split(". ")[:2]).rstrip(".") + ".", one.question)) + " |")
    for one in found:
        rows += [f"\n## {one.number}. {one.title}\n", f"![{one.shown}](pictures/{one.picture.name})\n",
                 f"{one.shown}\n", f"**The surprise.** {one.surprise}\n", f"**To think about.** {one.question}\n",
                 f"`examples/lessons/{one.path.name}`"]
    return "\n".join(rows) + "\n"


def anchor(one):
    """Return where its section is in the page."""
    return re.sub(r"[^a-z0-9 -]", "", f"{one.number}. {one.title}".lower()).replace(" ", "-")


def main():
    """Run the lessons that are named, or all, and write the page."""
    found, missing = lessons(), []
    for one in found:
        if not sys.argv[1:] or str(one.number) in sys.argv[1:]:
            missing += [f"{one.path.name} says {figure!r}, and does not print it" for figure in run(one)]
            if one.picture.stat().st_size > LARGEST:
                missing.append(f"{one.picture.name} is larger than {LARGEST:,} bytes")
    (DOCS / "lessons.md").write_text(page(found), encoding="utf-8")
    sys.exit("\n".join(missing) or 0)


if __name__ == "__main__":
    main()

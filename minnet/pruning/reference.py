"""The reference page: every criterion, structure and so on, one row each, from the registries and their docstrings.

The parts of a docstring are read here and nowhere else: `gist` says what it computes, `sources` by whom.

    reference()                              # the text of REFERENCE.md
    python -m minnet.pruning.reference       # write it again
"""
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

from minnet.pruning.compensation import COMPENSATIONS
from minnet.pruning.criteria import CRITERIA, TRAITS
from minnet.pruning.distributions import DISTRIBUTIONS
from minnet.pruning.penalties import PENALTIES
from minnet.pruning.recipes import RECIPES
from minnet.pruning.reductions import REDUCTIONS
from minnet.pruning.schedules import SCHEDULES
from minnet.pruning.structures import STRUCTURES

PAGE = Path(__file__).with_name("REFERENCE.md")
HEAD = """# Reference

What minnet can prune by, from its registries and their docstrings; `help(mn.criteria.snip)` says more of each.
Written by `python -m minnet.pruning.reference`, and a test fails when it is out of date.
"""
TABLES = {
    "Structures": ("In which pieces weights are removed: `structure=`, also \"2:4\" and \"4x1\".", STRUCTURES),
    "Reductions": ("How the scores of a piece's weights become one: `reduction=`.", REDUCTIONS),
    "Distributions": ("How much each layer loses: `distribution=`.", DISTRIBUTIONS),
    "Schedules": ("How far a gradual pruning is at progress t: `schedule=`.", SCHEDULES),
    "Recipes": ("When to prune and when to train: `recipe=`, with options as in `--recipe lottery_ticket:rounds=10`.",
                RECIPES),
    "Penalties": ("What is added to the loss to make weights 0: `penalty=`.", PENALTIES),
    "Compensation": ("How the remaining values make up for the removed weights: `compensate=`.", COMPENSATIONS),
}
NAME = r"(?:de )?[A-Z][\w-]+"
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)    # of a NumPy-style docstring
SOURCE = re.compile(rf"{NAME}(?:(?:, {NAME})* and {NAME}| et al\.)?,? \(?(?:19|20)\d\d\b")


def reference() -> str:
    """Return the page as text: for every entry of the registries its gist and its sources."""
    parts = [HEAD, _criteria(), *[_table(title, words, table) for title, (words, table) in TABLES.items()]]
    return "\n".join(parts)


def sections(entry: Callable[..., object]) -> dict[str, str]:
    """Split a NumPy-style docstring into {heading: text}; the text before the first heading is under ""."""
    head, *rest = SECTION.split(inspect.getdoc(entry) or "")
    return {"": head} | dict(zip(rest[::2], rest[1::2], strict=True))


def gist(entry: Callable[..., object]) -> str:
    """Return in one line what a docstring says first: its summary, and the paragraph below it, with the equation."""
    return " ".join(" ".join(sections(entry)[""].split("\n\n")[:2]).split())


def sources(entry: Callable[..., object]) -> str:
    """Return the papers that a docstring names, as "Han et al., 2015; Lee et al., 2019".

    They are those of its References; without any, those that it names elsewhere, or else those of its file.
    """
    module = sys.modules[inspect.unwrap(entry).__module__]
    texts = (" ".join((text or "").split()) for text in
             (sections(entry).get("References"), inspect.getdoc(entry), module.__doc__))
    found = next((named for named in map(SOURCE.findall, texts) if named), [])
    return "; ".join(dict.fromkeys(re.sub(r",? \(?(\d{4})$", r", \1", name) for name in found))


def _criteria():
    lines = ["## Criteria", "", "Which weights matter: `criterion=`. Higher scores stay.", "",
             _row("name", "score", "judges", "needs", "signed", "passes over the data", "source"), _row(*["---"] * 7)]
    for name, function in CRITERIA.items():
        traits = TRAITS[name]
        lines.append(_row(f"`{name}`", gist(function), "units" if traits.unit else "weights", traits.needs,
                          "yes" if traits.signed else "no", traits.passes, sources(function)))
    return "\n".join([*lines, ""])


def _table(title, words, table):
    lines = [f"## {title}", "", words, "", _row("name", "is", "source"), _row(*["---"] * 3)]
    rows = [_row(f"`{name}`", gist(entry), sources(entry)) for name, entry in table.items()]
    return "\n".join([*lines, *rows, ""])


def _row(*cells):
    """Join cells to one line of a table, their bars escaped."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")

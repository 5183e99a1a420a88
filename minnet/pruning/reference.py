"""The reference page: every criterion, structure and so on, one row each, from the registries and their docstrings.

    reference()                              # the text of REFERENCE.md
    python -m minnet.pruning.reference       # write it again
"""
import inspect
import re
import sys
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
    "Structures": ("In which pieces weights go: `structure=`, also \"2:4\" and \"4x1\".", STRUCTURES),
    "Reductions": ("How the scores of a piece's weights become one: `reduction=`.", REDUCTIONS),
    "Distributions": ("How much each layer loses: `distribution=`.", DISTRIBUTIONS),
    "Schedules": ("How far a gradual pruning is at progress t: `schedule=`.", SCHEDULES),
    "Recipes": ("When pruning and training take turns.", RECIPES),
    "Penalties": ("What pulls weights to 0 while the net learns.", PENALTIES),
    "Compensation": ("How what stays makes up for what went: `compensate=`.", COMPENSATIONS),
}
NAME = r"(?:de )?[A-Z][\w-]+"
SOURCE = re.compile(rf"{NAME}(?:(?:, {NAME})* and {NAME}| et al\.)?,? \(?(?:19|20)\d\d\b")


def reference():
    """The page as text. Every row has the first paragraph of the docstring, and the papers that the docstring names;
    where it names none, those of its file."""
    parts = [HEAD, _criteria(), *[_table(title, words, table) for title, (words, table) in TABLES.items()]]
    return "\n".join(parts)


def gist(entry):
    """The first paragraph of a docstring in one line."""
    return " ".join((inspect.getdoc(entry) or "").partition("\n\n")[0].split())


def sources(entry):
    """The papers that a docstring names, or else its file's, as "Han et al., 2015; Lee et al., 2019"."""
    module = sys.modules[inspect.unwrap(entry).__module__]
    texts = (" ".join((inspect.getdoc(of) or "").split()) for of in (entry, module))
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
    """One line of a table; a bar in a cell is no border."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")

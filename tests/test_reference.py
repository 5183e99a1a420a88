"""The reference page is up to date, and names all that can be given; `minnet prune --help all` lists the same."""
import re

import pytest

from minnet.cli.commands import load
from minnet.pruning.criteria import CRITERIA, TRAITS
from minnet.pruning.reference import PAGE, TABLES, gist, reference, sources

ALL = {"Criteria": CRITERIA} | {title: table for title, (_, table) in TABLES.items()}
IN_HELP = ("Criteria", "Structures", "Distributions", "Schedules", "Recipes", "Penalties")


def rows(title):
    """{name: cells} of one table of the page."""
    section = reference().partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line.replace("\\|", "/") for line in section.splitlines() if line.startswith("| `")]
    return {line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines}


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), "write it again: python -m minnet.pruning.reference"


@pytest.mark.parametrize("title", ALL)
def test_every_entry_has_its_row(title):
    found = rows(title)
    assert list(found) == list(ALL[title])
    for name, entry in ALL[title].items():
        assert len(found[name][0]) > 1 and found[name][0] == gist(entry).replace("|", "/"), f"{name} has no docstring"
        assert found[name][-1] == sources(entry)


def test_a_criterion_says_what_it_needs():
    for name, (_, judges, needs, signed, passes, _) in rows("Criteria").items():
        traits = TRAITS[name]
        assert (judges == "units", needs, signed == "yes", passes) == \
            (traits.unit, traits.needs, traits.signed, traits.passes)


def test_sources_are_read_from_docstrings():
    def some(model, data):
        """Sum (Han et al., 2015, section 3; de Jorge et al., 2021), less what Frankle and Carbin (2019) and
        LeCun, Denker and Solla (1990) took, in 2048 steps."""
    assert sources(some) == "Han et al., 2015; de Jorge et al., 2021; Frankle and Carbin, 2019; " \
        "LeCun, Denker and Solla, 1990"

    def other(model, data):
        """Sum, as Han et al. (2015) do not.

        References
        ----------
        - Lee et al., 2021, section 3.
        """
    assert sources(other) == "Lee et al., 2021" and gist(other) == "Sum, as Han et al. (2015) do not."

    def neither(model, data):
        """Sum."""
    neither.__module__ = "minnet.pruning.criteria.initial"
    assert sources(neither) == "Zhou et al., 2019"  # its file's


def test_the_gist_is_the_summary_and_the_equation():
    assert gist(CRITERIA["small_init"]) == \
        "Score each weight by its negative initial size, a control. ``-|w_i|``: keep weights that began small."


@pytest.mark.parametrize("title", IN_HELP)
def test_the_help_lists_the_same_names(title):
    parser, _ = load("prune")
    section = re.split(r"\n(?! )", parser.format_help("all").partition(f"\n{title.lower()}: ")[2])[0]
    assert section.replace(",", " ").split() == list(ALL[title])

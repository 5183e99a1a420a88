"""The documentation is a site: built without a warning, and every link of a page leads to a file and a heading."""
import logging
import re
from functools import cache
from pathlib import Path

import pytest
from each import each

import minnet as mn

ROOT = Path(mn.__file__).parents[1]
FOLDERS = (".", "bench", "docs", "docs/guides", "minnet", "minnet/pruning")
PAGES = {str(path.relative_to(ROOT)): path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))}
MADE = {"docs/api/index.md"}  # pages that the site has and the repository has not
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
        if str(file.relative_to(ROOT)) not in MADE:
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

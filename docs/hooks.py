"""What MkDocs adds to docs/: the repository's other pages, the examples, the public names, and rows of measurements.

A link may name any file of the repository, as on a page read there; here it becomes one to the page made of that file.
"""
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "docs"), str(ROOT / "tests")]
from api import pages_of_names  # noqa: E402  # this file is loaded by its path

PAGES = {
    "reference.md": "minnet/pruning/REFERENCE.md", "measurements.md": "bench/README.md",
    "papers.md": "bench/papers/README.md", "map.md": "minnet/README.md",
    "contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md", "changelog.md": "CHANGELOG.md",
    "index.md": "README.md",
}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NAMES = pages_of_names()
LINK = re.compile(r"(!?)\[([^][]*)\]\(([^()\s#]*)(#[^()\s]*)?\)")
ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
CODE = re.compile(r"``.*?``|`[^`]*`")  # where MkDocs takes a | as it is, and \| as two characters
ROWS = re.compile(r"^<!-- rows: (\S+) \| (.+?) -->$", re.MULTILINE)


def on_config(config):
    """Name the pages that are made here in the navigation."""
    pages = {"Examples": [f"examples/{path.stem}.md" for path in EXAMPLES], "API": list(NAMES)}
    for section in config.nav:
        for title in pages.keys() & section.keys():
            section[title] = pages[title]
    return config


def on_files(files, config):
    """Add the pages that are made of other files than those in docs/."""
    for page, source in PAGES.items():
        if page != "index.md":
            files.append(File.generated(config, page, content=text_of(source)))
    for path in EXAMPLES:
        files.append(File.generated(config, f"examples/{path.stem}.md", content=program(path)))
    for page, text in NAMES.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Put measured rows in their places, and lead links to the pages of the site."""
    here = page.file.src_uri
    source = PAGES.get(here, f"docs/{here}") if here != "index.md" else "docs/index.md"
    markdown = ROWS.sub(lambda found: "\n".join(rows_of(*found.groups())), markdown)
    pages = {name: f"docs/{name}" for name in files.src_uris} | {k: v for k, v in PAGES.items() if k != "index.md"}
    pages |= {f"examples/{path.stem}.md": f"examples/{path.name}" for path in EXAMPLES}
    by_source = {path: name for name, path in pages.items()} | {"README.md": "index.md"}

    def moved(found):
        mark, words, target, anchor = found[1], found[2], found[3], found[4] or ""
        if not target or "://" in target:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in by_source:
            return f"{mark}[{words}]({posixpath.relpath(by_source[path], posixpath.dirname(here) or '.')}{anchor})"
        if (ROOT / path).exists():
            return f"{words} (`{path}`)" if words.strip("`") != path else f"`{path}`"
        return found[0]  # MkDocs says that it leads nowhere

    return ROW.sub(lambda row: CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0]), LINK.sub(moved, markdown))


def text_of(source):
    """Return a page of the repository."""
    return (ROOT / source).read_text(encoding="utf-8")


def program(path):
    """Return a page with a program."""
    return f"# {path.name}\n\n```python\n{path.read_text(encoding='utf-8').rstrip()}\n```\n"


def rows_of(source, pattern):
    """Return the head of the first table of a file with rows that the pattern matches, and these rows."""
    head, found = [], []
    lines = text_of(source).splitlines()
    for number, line in enumerate(lines):
        if line.startswith("|") and re.fullmatch(r"\|[-:| ]+\|", lines[min(number + 1, len(lines) - 1)]):
            above = lines[number:number + 2]
        elif re.search(pattern, line) and line.startswith("|"):
            head = head or above
            if above == head:
                found.append(line)
    if not found:
        raise PluginError(f"no row of a table in {source} matches {pattern!r}")
    return head + found

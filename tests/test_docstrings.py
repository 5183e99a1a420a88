"""Docstrings of public names: what `mn.` and its tables hand out has NumPy sections, which docutils renders.

A public name needs Parameters that name each parameter where it takes any, Returns or Yields unless it returns None,
Raises where its own body raises, and References where its text names a source, an author with a year in parentheses.
"""
import ast
import inspect
import re
import textwrap

import pytest
from each import each
from public_names import LISTS, SECTIONS, handed_out, sections_of

SOURCE = re.compile(r"[A-Z][\w'-]+(?: et al\.)?,? \((?:19|20)\d\d|\([A-Z][^()]*, (?:19|20)\d\d")


def parameters_of(value):
    """The names of the parameters that a caller gives; errors are made by minnet itself, and protocols by none."""
    if inspect.isclass(value) and (getattr(value, "_is_protocol", False) or not inspect.isfunction(value.__init__)):
        return []
    signature = inspect.signature(value)
    return [name for name, p in signature.parameters.items()
            if name not in ("self", "cls") and not name.startswith("_") and p.kind is not p.VAR_KEYWORD]


def body_of(function):
    """The tree of a function's source, without nested functions."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            children = getattr(node, name, None)
            if isinstance(children, list) and node is not tree:
                setattr(node, name, [c for c in children if not isinstance(c, ast.FunctionDef | ast.ClassDef)])
    tree.body = [c for c in tree.body if not isinstance(c, ast.FunctionDef | ast.ClassDef)]
    return tree


def gives(function):
    """"Yields", "Returns" or None, by the body of the function."""
    nodes = list(ast.walk(body_of(function)))
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in nodes):
        return "Yields"
    returned = [node.value for node in nodes if isinstance(node, ast.Return) and node.value is not None]
    if all(isinstance(value, ast.Constant) and value.value is None for value in returned):
        return None
    annotated = getattr(function, "__annotations__", {}).get("return", "")
    return "Yields" if "Iterator" in str(annotated) else "Returns"


def listed(text):
    """The names that a section Parameters or Attributes describes: "a, b : type" at the left margin."""
    heads = [line.partition(" :")[0] for line in text.splitlines() if line and not line.startswith(" ")]
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def missing(value):
    """What a docstring lacks, as a list of texts."""
    doc = inspect.getdoc(value) or ""
    parts, found = sections_of(doc), []
    if not doc:
        return ["a docstring"]
    wanted = [name for name in parameters_of(value)]
    names = listed(parts.get("Parameters", "")) | listed(parts.get("Attributes", ""))
    found += [f"Parameters: {name}" for name in wanted if name not in names]
    if inspect.isfunction(value):
        kind = gives(value)
        if kind and not {"Returns", "Yields"} & set(parts):
            found.append(kind)
        raises = any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(body_of(value)))
        if raises and "Raises" not in parts:
            found.append("Raises")
    if SOURCE.search(parts[""]) and "References" not in parts:
        found.append("References")
    return found


def rst_of(doc):
    """The docstring as reStructuredText: titles of sections as rubrics, entries of lists apart, the rest unchanged."""
    lines, made, title = doc.splitlines(), [], ""
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line in SECTIONS and re.fullmatch("-+", below):
            title = line
            made += [f".. rubric:: {line}", ""]
        elif title in LISTS and line[:1].strip() and not re.fullmatch("-+", line):
            made += ["", line]  # numpydoc lets an entry go without a description
        elif not re.fullmatch("-+", line):
            made.append(line)
    return "\n".join(made)


def lacking(x, *, y=0):
    """Return x as Han et al. (2015) do."""
    if x < y:
        raise ValueError(x)
    return x


def complete(x):
    """Yield x.

    Parameters
    ----------
    x : int
        A number.

    Yields
    ------
    int
        It.
    """
    yield x


PUBLIC = handed_out()


def test_what_is_missing_is_seen():
    assert missing(lacking) == ["Parameters: x", "Parameters: y", "Returns", "Raises", "References"]
    assert missing(complete) == []


@each("name", PUBLIC)
def test_sections(name):
    assert missing(PUBLIC[name]) == []


def test_docutils_renders_them():
    core = pytest.importorskip("docutils.core")
    utils = pytest.importorskip("docutils.utils")
    complaints = {}
    for name, value in PUBLIC.items():
        settings = {"report_level": 2, "halt_level": 5, "warning_stream": False, "syntax_highlight": "none"}
        document = core.publish_doctree(rst_of(inspect.getdoc(value) or ""), settings_overrides=settings)
        found = [node.astext() for node in document.findall(utils.nodes.system_message) if node["level"] >= 2]
        if found:
            complaints[name] = found
    text = "\n".join(f"{name}: {'; '.join(found)}" for name, found in complaints.items())
    assert not complaints, text

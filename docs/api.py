"""The API's pages, in Markdown, from the docstrings of the public names."""
import inspect
import re

from public_names import LISTS, handed_out, sections_of

import minnet as mn

ROOMS = {
    "layers": "Layers", "data": "Data", "training": "Training and evaluation", "pruning": "Pruning",
    "runtime": "Prediction", "formats": "Files and formats", "estimators": "scikit-learn estimators",
    "study": "Studies", "report": "Displays",
}
OF_TRAINING = {"engine", "model", "errors"}  # rooms whose names are on the page of training


def pages_of_names():
    """Return {page: its text}: all public names, by the module or the room that has them, and a list of all."""
    public = handed_out()
    pages, shown, places = {}, {}, {name: place for place, name in enumerate(public)}
    for name, value in public.items():
        head = name.partition(".")[0]
        shown[name] = shown[head] if head in shown else page_of(name, value)
        pages.setdefault(shown[name], []).append(name)
    for names in pages.values():
        names.sort(key=lambda name: places[owner(name)])  # stable: methods below their class
    made = {f"api/{page}.md": f"# {title_of(page)}\n\n" + "\n\n".join(entry(name, public[name]) for name in names)
            for page, names in pages.items()}
    return {"api/index.md": index(pages, public), **dict(sorted(made.items(), key=lambda item: order(item[0])))}


def page_of(name, value):
    """Return the page of a name that is not a method."""
    head, dot, _ = name.partition(".")
    room = value.__module__.split(".")[1]
    if dot:
        return head
    if inspect.isclass(value) and issubclass(value, mn.Layer):
        return "layers"
    return "training" if room in OF_TRAINING else room


def title_of(page):
    """Return the title of a page."""
    return ROOMS.get(page, f"mn.{page}")


def order(path):
    """Return where a page stands: rooms first, then modules by name."""
    page = path[4:-3]
    return list(ROOMS).index(page) if page in ROOMS else len(ROOMS), page


def index(pages, public):
    """Return the list of all names, with the first line of each."""
    parts = ["# The public names\n\nWhat `import minnet as mn` gives, from the docstrings: `help` says the same."]
    for page in sorted(pages, key=lambda page: order(f"api/{page}.md")):
        rows = [f"| [`{title(name)}`]({page}.md#{name.lower()}) | {first_line(public[name])} |" for name in pages[page]]
        parts.append(f"## {title_of(page)}\n\n| name | does |\n|---|---|\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def title(name):
    """Return a name as a user writes it."""
    return name if name.startswith("layers.") or name.partition(".")[0] == name[:1].upper() else f"mn.{name}"


def first_line(value):
    """Return the summary of a docstring, for a cell of a table."""
    return text((inspect.getdoc(value) or "").partition("\n")[0]).replace("|", "\\|")


def entry(name, value):
    """Return the part of a page about one name."""
    level = "###" if is_method(name) else "##"
    parts = [f"{level} `{title(name)}` {{ #{name.lower()} }}", f"```python\n{call(name, value)}\n```"]
    for section, body in sections_of(inspect.getdoc(value) or "").items():
        body = "\n".join(described(body)) if section in LISTS else text(body)
        parts += [f"**{section}**"] * bool(section) + [body.strip("\n")]
    return "\n\n".join(parts)


def is_method(name):
    """Return whether a dotted name is that of a method of a class."""
    return name.count(".") == 2 or (name[:1].isupper() and "." in name)


def owner(name):
    """Return the name of the class of a method, or the name itself."""
    return name.rpartition(".")[0] if is_method(name) else name


def call(name, value):
    """Return how it is called, without annotations, which the sections have."""
    word = name.rpartition(".")[2]
    if inspect.isclass(value) and not inspect.isfunction(value.__init__):
        return f"class {word}"
    signature = inspect.signature(value)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name != "self"]
    shown = str(signature.replace(parameters=bare, return_annotation=signature.empty))
    return word + re.sub(r"<(?:function|class) '?([\w.]+)[^>]*>", r"\1", shown)


def described(body):
    """Yield the lines of a list: an item for each "name : type", what is below it as its text."""
    for line in body.splitlines():
        if line and not line.startswith(" "):
            name, colon, kind = line.partition(" : ")
            yield f"\n- `{name}`" + f" : {text(kind)}" * bool(colon) + "\n"
        elif line:
            yield text(line)
        else:
            yield ""


def text(words):
    """Return words of a docstring as Markdown: signs that it would take as its own are escaped outside of code."""
    words = re.sub(r"^\.\. \[(\d+)\] ", r"\1. ", words, flags=re.MULTILINE)
    words = re.sub(r"(?m)^(?! *(?:- |\d+\. ))(.*\S.*)\n(?=(?:- |1\. ))", r"\1\n\n", words)
    parts = re.split(r"(``.*?``|`[^`]*`|^ {4}\S.*$)", words, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if number % 2 else re.sub(r"([*_<\[\]])", r"\\\1", part) for number, part in enumerate(parts))

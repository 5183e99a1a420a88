"""The house rules, read from the source alone: which way imports run, what the map names, how long things are.

A count is a question to the author; the limits here are where the question has only one answer.
"""
import ast
import io
import re
import tokenize
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from each import each

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minnet"
FLOORS = ["errors typing blas files readers cells features delimited csr arrays text", "kernels", "data", "engine",
          "threads", "fast", "model training", "formats", "models vgg", "pruning", "runtime", "estimators", "study",
          "report", "play", "testing", "cli"]  # imports run from right to left only
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}
FILE_LINES, FUNCTION_LINES, KERNEL_LINES, DEEPEST = 450, 40, 60, 4
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
RANDOM = {"default_rng", "Generator", "SeedSequence"}  # what of np.random is no global state
MAY_RAISE = {"AttributeError", "StopIteration", "SystemExit", "KeyboardInterrupt"}  # parts of Python's own protocols
PLACES = [f"/{place}/" for place in ("work", "root", "home", "Users")]
HOSTS = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("anaconda", "org"))]


@dataclass(frozen=True)
class Module:
    """One file of the package: its path in it, its text and its tree."""

    path: Path
    text: str
    tree: ast.Module

    def __str__(self):
        return str(self.path)

    @property
    def room(self):
        return self.path.parts[0].removesuffix(".py")

    @property
    def functions(self):
        """(dotted name, node, whether it is public) of all functions and methods, nested ones too."""
        yield from _functions(self.tree, "", True)

    def where(self, node):
        return f"{self.path}:{node.lineno}"


def _functions(node, prefix, public):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            shown = public and not child.name.startswith("_")
            if isinstance(child, ast.FunctionDef):
                yield prefix + child.name, child, shown
            yield from _functions(child, f"{prefix}{child.name}.", shown and isinstance(child, ast.ClassDef))
        else:
            yield from _functions(child, prefix, public)


def read(path):
    text = path.read_text(encoding="utf-8")
    return Module(path.relative_to(PACKAGE), text, ast.parse(text))


MODULES = [read(path) for path in sorted(PACKAGE.rglob("*.py"))]
by_file = each("module", MODULES)


# --- imports ---------------------------------------------------------------------------------------------------------


def imported(module):
    """(node, room) of every import of minnet's own, wherever it stands."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module.where(node)}: write `from minnet.room import name` in full"
            names = [f"minnet.{alias.name}" for alias in node.names] if node.module == "minnet" else [node.module]
        else:
            continue
        rooms = [name.split(".")[1] for name in names if name.startswith("minnet.")]
        yield from ((node, room) for room in rooms if room != "__version__")


@by_file
def test_imports_run_downwards(module):
    if module.room in ("__init__", "__main__"):
        return
    assert module.room in FLOOR, f"{module.path} is in no room: give it one in FLOORS and on the map"
    for node, room in imported(module):
        assert FLOOR[room] <= FLOOR[module.room], f"{module.where(node)}: {module.room} may not import {room}"


def test_no_two_modules_import_each_other():
    """At module level; a folder's __init__ may gather what the folder has."""
    names = {".".join(("minnet", *module.path.with_suffix("").parts)): module for module in MODULES}
    graph = {name: set() for name in names}
    for name, module in names.items():
        for node in module.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module in graph:
                graph[name].add(node.module)
            elif isinstance(node, ast.ImportFrom):
                graph[name] |= {f"{node.module}.{alias.name}" for alias in node.names} & set(graph)
    while graph:
        leaves = {name for name, targets in graph.items() if not targets & set(graph)}
        assert leaves, f"these import each other in a circle: {sorted(graph)}"
        graph = {name: targets for name, targets in graph.items() if name not in leaves}


# --- the map ---------------------------------------------------------------------------------------------------------


def mapped():
    """The paths that minnet/README.md names: rows that begin with a name, below a heading that names the folder."""
    folder, found = "", set()
    for line in (PACKAGE / "README.md").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ (?:`([\w/]+/)`)?", line):
            folder = heading[1] or ""
            found |= {folder} - {""}
        elif row := re.match(r"\| `([\w./]*\.\w+)` \|", line):
            found.add(folder + row[1])
    return found


def test_the_map_names_what_exists():
    """Every file and folder once, and none that is not there; a folder stands for its __init__.py."""
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file()]
    files = [path for path in files if path.suffix != ".pyc" and path.name != "README.md"]
    exists = {str(path) for path in files if path.name != "__init__.py" or len(path.parts) == 1}
    exists |= {f"{parent.as_posix()}/" for path in files for parent in path.parents if parent.parts}
    assert mapped() - exists == set(), "the map names what is not there"
    assert exists - mapped() == set(), "the map does not name these"


@by_file
def test_a_table_names_every_function_of_its_kind(module):
    """Where a file has a table {f.__name__: f for f in (...)}, a public function that takes what the entries take is
    one of them, or serves one."""
    functions = {node.name: node for node in module.tree.body if isinstance(node, ast.FunctionDef)}
    tables = [node.value for node in module.tree.body
              if isinstance(node, ast.Assign) and isinstance(node.value, ast.DictComp)]
    tables = [table for table in tables if "__name__" in ast.unparse(table.key)]
    listed = set().union(*[names_in(table.generators[0].iter) for table in tables])
    serving = set().union(*[names_in(functions[name]) for name in listed & set(functions)])
    kinds = {parameters(functions[name]) for name in listed & set(functions)}
    for name, node in functions.items():
        if not name.startswith("_") and parameters(node) in kinds:
            assert name in listed | serving, f"{module.where(node)}: {name} is not in the table at the foot"


def names_in(node):
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def parameters(function):
    """The names of its first two parameters."""
    return tuple(arg.arg for arg in function.args.args[:2])


# --- size and shape --------------------------------------------------------------------------------------------------


def lines_of(node):
    """Lines of a function without its docstring."""
    first = node.body[0]
    doc = first.end_lineno - first.lineno + 1 if ast.get_docstring(node, clean=False) is not None else 0
    return node.end_lineno - node.lineno + 1 - doc


def depth(node):
    """The deepest stack of blocks in a function; `elif` adds nothing, a function inside begins again."""
    deepest = 0
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, (*FUNCTIONS, ast.ClassDef)):
                elif_ = isinstance(node, ast.If) and name == "orelse" and isinstance(child, ast.If) and len(value) == 1
                deepest = max(deepest, depth(child) + (isinstance(child, BLOCKS) and not elif_))
    return deepest


@by_file
def test_size(module):
    lines = len(module.text.splitlines())
    assert lines <= FILE_LINES, f"{module.path} has {lines} lines"
    kernels = module.room == "kernels"
    for name, node, _ in module.functions:
        where = f"{module.where(node)} {name}"
        assert lines_of(node) <= (KERNEL_LINES if kernels else FUNCTION_LINES), f"{where} is too long"
        assert kernels or depth(node) <= DEEPEST, f"{where} nests {depth(node)} deep"


@by_file
def test_docstrings(module):
    """A file says what it is; so does every public function, class and method."""
    assert ast.get_docstring(module.tree), f"{module.path} has no docstring"
    undocumented = [f"{module.where(node)} {name}" for name, node, public in module.functions
                    if public and not ast.get_docstring(node) and not is_variant(node)]
    classes = [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    undocumented += [f"{module.where(node)} {node.name}" for node in classes if not ast.get_docstring(node)]
    assert not undocumented


def is_variant(node):
    """A setter, or one signature of an overloaded function: the function itself has the docstring."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(decorator == "overload" or decorator.endswith(".setter") for decorator in decorators)


# --- habits ----------------------------------------------------------------------------------------------------------


def raised(node):
    """The name of what a `raise` makes: InvalidValue in `raise InvalidValue(...)`; "" where it raises a variable."""
    made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return made.id if isinstance(made, ast.Name) else ""


@cache
def our_errors():
    """MinnetError and whatever derives from it, anywhere in the package."""
    classes = [node for module in MODULES for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    ours, before = {"MinnetError"}, 0
    while len(ours) > before:
        before = len(ours)
        ours |= {node.name for node in classes if {ast.unparse(base) for base in node.bases} & ours}
    return ours


def is_swallowed(handler):
    """`except Exception: pass`, or with no class at all."""
    broad = handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")
    return broad and all(isinstance(step, ast.Pass | ast.Continue | ast.Constant) for step in handler.body)


def habit(module, node):
    """What is wrong with one node, or None."""
    if isinstance(node, ast.Assert):
        return "assert vanishes under -O: raise an error of minnet.errors"
    if isinstance(node, ast.Global):
        return "no globals: pass it, or keep it in an object"
    if isinstance(node, ast.ExceptHandler) and is_swallowed(node):
        return "name the error that may be passed over, and say why"
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "print" and module.room != "cli":
        return "only the command line prints"
    if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in ("Any", "typing.Any"):
        return "no typing.Any"
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random" and node.attr not in RANDOM:
        return "randomness is an argument: take rng"
    forwards = any(ast.unparse(mark).startswith("wraps(") for mark in getattr(node, "decorator_list", ()))
    if isinstance(node, ast.FunctionDef) and node.args.kwarg and module.room != "cli" and not forwards:
        # the command line wraps argparse; a wrapper has the named arguments of the function that it wraps
        return "no **kwargs: name the arguments"
    if isinstance(node, FUNCTIONS):
        defaults = [default for default in (*node.args.defaults, *node.args.kw_defaults) if default]
        if any(isinstance(default, MUTABLE) for default in defaults):
            return "a mutable default is shared by all calls: use None"
    return None


@by_file
def test_habits(module):
    found = [(node, habit(module, node)) for node in ast.walk(module.tree)]
    assert not [f"{module.where(node)}: {what}" for node, what in found if what]


@pytest.mark.parametrize("source", [
    "assert x", "print(x)", "def f():\n    global x", "def f(**more): pass", "def f(x=[]): pass", "f = lambda x={}: x",
    "np.random.normal()", "x: typing.Any", "try:\n    f()\nexcept Exception:\n    pass",
    "try:\n    f()\nexcept:\n    pass",
])
def test_habits_are_seen(source):
    module = Module(Path("engine/dense.py"), source, ast.parse(source))
    assert any(habit(module, node) for node in ast.walk(module.tree))


def test_length_and_depth_are_seen():
    source = '''
def f(x):
    """One line.

    And another."""
    if x:
        pass
    elif x > 1:
        for i in x:
            with i:
                pass
    return x
'''
    function = ast.parse(source).body[0]
    assert (lines_of(function), depth(function)) == (8, 3)


@by_file
def test_errors_are_ours(module):
    """A public function raises MinnetErrors only; a private one may raise what its caller catches."""
    ours = our_errors() | MAY_RAISE
    for name, function, public in module.functions:
        raises = [node for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc]
        for node in raises if public and module.room != "cli" else ():
            made = raised(node)
            assert made in ours or not made[:1].isupper(), f"{module.where(node)}: {name} raises {made}"


def texts():
    """Every text file that is part of the repository."""
    folders = [ROOT / name for name in ("minnet", "tests", "examples", "bench", ".ci", "docs")]
    files = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.glob("*.*"))
    kinds = {".py", ".pyi", ".md", ".toml", ".html", ".css", ".js", ".json", ".c", ".h", ".txt", ".yml", ""}
    return [path for path in files if path.is_file() and path.suffix in kinds and path.name != ".git"]


def test_no_text_names_a_machine_or_an_index():
    """The repository is read and built anywhere."""
    found = []
    for path in texts():
        text = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(ROOT)}: {word}" for word in (*PLACES, *HOSTS) if word in text]
    assert not found


# --- the evening -----------------------------------------------------------------------------------------------------


ENGINE_ITEMS, PRUNING_ITEMS = (1, 2, 3), (4, 5)  # of the reading list "One evening"; what follows is by choice
CHOICE = ("pruning/criteria/", "pruning/recipes/", "pruning/penalties/")  # beyond the list, like layers
LAYER_BASES = {"Layer", "Linear", "FixedLinear", "Activation", "Container", "Branches", "Pool2d"}
EVENING = (1600, 2600, 2600)  # lines of code, at most: the engine's list, its closure, what pruning's adds
ROUNDED = 50  # the map rounds up to this, so that not every change of a line changes it
FILES = {str(module.path): module for module in MODULES}


def code_lines(module):
    """Lines of code: docstrings, comments and blank lines aside."""
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    code = {line for token in tokens if token.type not in layout for line in range(token.start[0], token.end[0] + 1)}
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(module.tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            code -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(code)


def imported_files(module):
    """The files that an import of this one loads, and the `__init__` of their folders: not what a function imports when
    it is called, nor what is there for type checkers alone."""
    for node in module.tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")[1:] if name.startswith("minnet.") else []
            folders = ["/".join([*parts[:i], "__init__.py"]) for i in range(1, len(parts) + 1)]
            yield from (path for path in ["/".join(parts) + ".py", *folders] if path in FILES)


def closure(paths, beyond=()):
    """These files and all that they import, directly or not; what is `beyond` is not followed."""
    seen, left = set(), list(paths)
    while left:
        path = left.pop()
        if path not in seen and (path in paths or path not in beyond):
            seen.add(path)
            left += imported_files(FILES[path])
    return seen


def reading_list(items):
    """The files that these items of "One evening" name."""
    text = (PACKAGE / "README.md").read_text(encoding="utf-8").partition("## One evening")[2]
    listed = {int(number): body for number, body in re.findall(r"^(\d+)\. (.*(?:\n {3}.*)*)", text, re.M)}
    return {path for item in items for path in re.findall(r"`([\w/]+\.py)`", listed[item])}


def evening():
    """Lines of code of: the engine's list, its closure, the pruning list's closure beyond that, choices aside."""
    listed, pruning = reading_list(ENGINE_ITEMS), reading_list(PRUNING_ITEMS)
    engine = closure(listed)
    choice = {path for path in FILES if path.startswith(CHOICE) or defines_layers(FILES[path])}
    more = closure(pruning, choice) - engine
    return [[(code_lines(FILES[path]), path) for path in sorted(paths)] for paths in (listed, engine, more)]


def defines_layers(module):
    """Whether a file of engine/ defines layers, or is their table."""
    bases = {ast.unparse(base) for node in module.tree.body if isinstance(node, ast.ClassDef) for base in node.bases}
    return module.room == "engine" and (bool(bases & LAYER_BASES) or module.path.name == "layers.py")


def test_the_evening_is_as_long_as_the_map_says():
    """The engine's reading list, all that it imports, and what pruning adds: at most so much code, and as printed."""
    text = " ".join((PACKAGE / "README.md").read_text(encoding="utf-8").split())
    printed = re.search(r"\(lines of code: ([\d,]+) .*?, ([\d,]+) .*?, ([\d,]+) ", text)
    counted = evening()
    assert "engine/layers.py" not in {path for _, path in counted[1]}, "the table of all layers is no import of Model"
    for files, most, said in zip(counted, EVENING, printed.groups(), strict=True):
        total = sum(lines for lines, _ in files)
        assert total <= most, f"{total} lines of code, at most {most}: {sorted(files, reverse=True)}"
        rounded = -(-total // ROUNDED) * ROUNDED
        message = f"the map says {said}; counted {total}, so it should say {rounded:,}"
        assert rounded == int(said.replace(",", "")), message

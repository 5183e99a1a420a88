"""--rule and --recipe FILE:FUNCTION: a criterion or a recipe in a Python file of the user; and options, NAME:KEY=VALUE.

The file is executed with the rights of the process: give only files that you trust.
"""
import contextlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from pathlib import Path

from minnet.cli.signals import Stopped
from minnet.errors import InvalidValue, MinnetError, file_error, quoted, unknown

RECIPE_TAKES = ("epochs", "schedule", "prune", "train", "rng")  # beside model, data and sparsity
WORDS = {"true": True, "false": False, "none": None}


def load_rule(text: str, option: str = "--rule") -> Callable:
    """Return the criterion that FILE:FUNCTION names.

    Its prints are redirected to standard error; an exception in it becomes an error of one line with the file and the
    line number. Raises InvalidValue, FileError or UnknownName.
    """
    function, path = load_function(text, option)

    @wraps(function)
    def rule(model, data):
        with _report_errors(path, f"in {function.__name__}"):
            return function(model, data)
    return rule


def load_recipe(text: str) -> Callable:
    """Return the recipe that FILE:FUNCTION names, a generator of steps as those of minnet; else as `load_rule`.

    What minnet itself raises in it, such as Diverged, stays as it is.
    """
    function, path = load_function(text, "--recipe")
    _check_protocol(function, text)
    report = partial(_report_errors, path, f"in {function.__name__}", (MinnetError,))

    from minnet.engine.state import Step

    def each(steps):
        while True:
            with report():
                step = next(steps, None)
            if step is None:
                return
            if not isinstance(step, Step):
                raise InvalidValue(f"{quoted(text)} yields {quoted(repr(step))}; wanted the steps of `train`, as in "
                                   "`yield from train(model, data, epochs=epochs, rng=rng)`")
            yield step

    @wraps(function)
    def recipe(model, data, sparsity, **protocol):
        with report():
            steps = function(model, data, sparsity, **protocol)
        if not isinstance(steps, Iterable):
            raise InvalidValue(f"{quoted(text)} returns {quoted(repr(steps))}; wanted the steps of `train`, as a "
                               "function with `yield from train(model, data, epochs=epochs, rng=rng)` gives them")
        return each(iter(steps))
    return recipe


def _check_protocol(function, text):
    """Refuse a recipe that cannot be called as recipes are, before anything is trained."""
    try:
        inspect.signature(function).bind(None, None, None, **dict.fromkeys(RECIPE_TAKES))
    except TypeError as error:
        raise InvalidValue(f"{quoted(text)}: {error}; wanted a function (model, data, sparsity, *, "
                           f"{', '.join(RECIPE_TAKES)}), or **options for those it does not use") from error


def load_function(text: str, option: str) -> tuple[Callable, Path]:
    """Execute the file of FILE:FUNCTION; return its function, and the file."""
    file, colon, name = text.rpartition(":")
    if not (colon and file and name):
        raise InvalidValue(f"{option} {quoted(text)}; wanted FILE:FUNCTION, as in my_rules.py:smallest")
    path = Path(file)
    if not path.is_file():
        raise file_error(path, "there is no such file", f"check the name after {option}")
    spec = importlib.util.spec_from_file_location(f"minnet_rule_{path.stem}", path)
    if spec is None:
        raise file_error(path, "is no Python file", "its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    with _report_errors(path, "while it was loaded"):
        spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise unknown(f"function in {quoted(str(path))}", name, [n for n, v in vars(module).items() if callable(v)])
    return function, path


def spelled(kind: str, text: str) -> str | Callable:
    """Return what --criterion or --recipe gives: NAME, NAME:KEY=VALUE,... with its options bound, or FILE:FUNCTION."""
    name, colon, rest = text.partition(":")
    if not colon:
        return text
    if "=" not in rest:
        if name in _table(kind) and not Path(text.rpartition(":")[0]).exists():
            raise InvalidValue(f"--{kind} {quoted(text)}; wanted NAME:KEY=VALUE,... after the name, got {quoted(rest)}")
        return load_recipe(text) if kind == "recipe" else load_rule(text, "--criterion")
    from minnet.pruning.recipes.keywords import with_options

    options: dict[str, object] = {}
    for part in rest.split(","):
        key, equals, value = part.partition("=")
        if not (key.strip() and equals):
            raise InvalidValue(f"--{kind} {quoted(text)}; wanted NAME:KEY=VALUE,... after the name, got {quoted(part)}")
        if key.strip() in options:
            raise InvalidValue(f"--{kind} {quoted(text)}; wanted each option once, got {key.strip()} twice")
        options[key.strip()] = _value(value.strip())
    return with_options(kind, name, _table(kind), options)


def _table(kind):
    """Return the table of what `kind` names, a criterion or a recipe."""
    from minnet.pruning.criteria import CRITERIA
    from minnet.pruning.recipes import RECIPES

    return RECIPES if kind == "recipe" else CRITERIA


def _value(text):
    """Return the value of an option: a number, true, false, none, or the text."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@contextlib.contextmanager
def _report_errors(path: Path, where: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Redirect print to standard error inside the block, and turn any exception but `passing` (or exit) into a line."""
    with contextlib.redirect_stdout(sys.stderr), _descriptor_redirected():
        try:
            yield
        except (Stopped, *passing):
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # the user's code may raise anything
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
            line = getattr(error, "lineno", None) or (lines[-1] if lines else "?")
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise InvalidValue(f"{quoted(str(path))}:{line}: {quoted(what)} ({where})") from error


@contextlib.contextmanager
def _descriptor_redirected() -> Iterator[None]:
    """Lead what the block writes to file descriptor 1, as child processes and C code do, to standard error."""
    try:
        kept = os.dup(1)
    except OSError:  # it is closed
        yield
        return
    _flush()
    try:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _flush():
    """Flush the process's own standard output."""
    if sys.__stdout__ is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.__stdout__.flush()

"""--rule FILE:FUNCTION: a criterion in a Python file of the user.

The file is executed with the rights of the process: give only files that you trust.
"""
import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path

from minnet.errors import InvalidValue, file_error, quoted, unknown


def load_rule(text: str) -> Callable:
    """Return the function that FILE:FUNCTION names.

    Its prints are redirected to standard error; an exception in it becomes an error of one line with the file and the
    line number. Raises InvalidValue, FileError or UnknownName.
    """
    file, colon, name = text.rpartition(":")
    if not (colon and file and name):
        raise InvalidValue(f"--rule {quoted(text)}; wanted FILE:FUNCTION, as in my_rules.py:smallest")
    path = Path(file)
    if not path.is_file():
        raise file_error(path, "there is no such file", "check the name after --rule")
    spec = importlib.util.spec_from_file_location(f"minnet_rule_{path.stem}", path)
    if spec is None:
        raise file_error(path, "is no Python file", "its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    with _report_errors(path, "while it was loaded"):
        spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise unknown(f"function in {quoted(str(path))}", name, [n for n, v in vars(module).items() if callable(v)])
    return _guarded(function, path)


def _guarded(function, path):
    """Wrap `function` so that its errors are reported in one line."""
    @wraps(function)
    def rule(model, data):
        with _report_errors(path, f"in {function.__name__}"):
            return function(model, data)
    return rule


@contextlib.contextmanager
def _report_errors(path: Path, where: str) -> Iterator[None]:
    """Redirect print to standard error inside the block, and turn any exception (or exit) into one line."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
            line = getattr(error, "lineno", None) or (lines[-1] if lines else "?")
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise InvalidValue(f"{quoted(str(path))}:{line}: {quoted(what)} ({where})") from error

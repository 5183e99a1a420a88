"""--rule FILE:FUNCTION: a criterion in a Python file of the user's own. It is run, with all that this may do."""
import contextlib
import importlib.util
import sys
import traceback
from functools import wraps
from pathlib import Path

from minnet.errors import InvalidValue, file_error, quoted, unknown


def load_rule(text):
    """The function that FILE:FUNCTION names. What it prints goes to standard error; what it raises becomes one line
    with the file and the line. Raises InvalidValue, FileError or UnknownName."""
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
    with _told(path, "while it was loaded"):
        spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise unknown(f"function in {quoted(str(path))}", name, [n for n, v in vars(module).items() if callable(v)])
    return _guarded(function, path)


def _guarded(function, path):
    """`function`, with its errors told in one line."""
    @wraps(function)
    def rule(model, data):
        with _told(path, f"in {function.__name__}"):
            return function(model, data)
    return rule


@contextlib.contextmanager
def _told(path, where):
    """Inside, print writes to standard error, and any error (or exit) becomes one line."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        except (Exception, SystemExit) as error:  # it is the user's code: whatever it raises is told
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
            line = getattr(error, "lineno", None) or (lines[-1] if lines else "?")
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise InvalidValue(f"{quoted(str(path))}:{line}: {quoted(what)} ({where})") from error

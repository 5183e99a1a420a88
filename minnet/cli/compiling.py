"""Compilation at the first command: announce it, and share it with a second process."""
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from minnet.cli.console import Console

COMPILING = "compiling kernels (once) ..."
EACH_TIME = "compiling kernels (each time: the user's cache folder is not writable) ..."
LAST = "run_program-*"  # the kernel that `minnet prune` needs last
AHEAD = Path(__file__).with_name("ahead.py")


def announce_compilation(console: Console, kept: str = "*") -> bool:
    """Tell the user if no compiled kernels (file names matching `kept`) exist; return True if they will be kept."""
    import numba

    from minnet import kernels
    from minnet.kernels.jit import code_folder

    if numba.config.DISABLE_JIT:
        return False
    folder = code_folder(Path(kernels.__file__).parent)
    if folder is None:
        console.info(EACH_TIME)
        return False
    first = not any(folder.glob(kept))
    if first:
        console.info(COMPILING)
    return first


@contextmanager
def compiling(console: Console) -> Iterator[Callable[[], object]]:
    """Compile in a second process the kernels that are needed last; provide a function that waits for it.

    The process is started if kernels have to be compiled and there is a second processor. Without it the results are
    the same, later.
    """
    from minnet.threads import n_threads

    two = n_threads() > 1  # first, so that a bad number of threads is reported before anything else
    helper = start_helper() if announce_compilation(console, LAST) and two else None
    if helper is None:
        yield lambda: None
        return
    with helper:
        try:
            yield helper.wait
        finally:
            helper.kill()


def start_helper() -> subprocess.Popen | None:
    """Start the second process with this process's import path; return None if none can be started."""
    if not sys.executable:  # Python is embedded in another program
        return None
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    silent = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
    try:
        return subprocess.Popen([sys.executable, "-P", str(AHEAD)], env=environment, **silent)  # noqa: S603 - a file of minnet's
    except OSError:
        return None

"""The first command ever compiles the kernels: that takes long enough to be told, and to be shared by two processes."""
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

COMPILING = "compiling kernels (once) ..."
EACH_TIME = "compiling kernels (each time: the user's cache folder is not writable) ..."
LAST = "run_program-*"  # what `minnet prune` needs when all else is done
AHEAD = Path(__file__).with_name("ahead.py")


def tell_compiling(talk, kept="*"):
    """Say so if no compiled kernels, of such names, are kept from an earlier process; returns whether they will be."""
    import numba

    from minnet import kernels
    from minnet.kernels.jit import code_folder

    if numba.config.DISABLE_JIT:
        return False
    folder = code_folder(Path(kernels.__file__).parent)
    if folder is None:
        talk.say(EACH_TIME)
        return False
    first = not any(folder.glob(kept))
    if first:
        talk.say(COMPILING)
    return first


@contextmanager
def compiling(talk):
    """Inside, where kernels have to be compiled and there is a second processor, a second process compiles those that
    are needed last; gives a function that waits for it. Without that process all is the same, but slower."""
    from minnet.threads import n_threads

    two = n_threads() > 1  # asked first: what is wrong with the number of threads is told before anything else
    helper = start_helper() if tell_compiling(talk, LAST) and two else None
    if helper is None:
        yield lambda: None
        return
    with helper:
        try:
            yield helper.wait
        finally:
            helper.kill()


def start_helper():
    """The second process, which imports from where this one does; None where none can be started."""
    if not sys.executable:  # Python is part of another program
        return None
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    silent = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
    try:
        return subprocess.Popen([sys.executable, "-P", str(AHEAD)], env=environment, **silent)
    except OSError:
        return None

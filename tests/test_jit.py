"""Compiled kernels are kept between processes, and whatever happens to the files, the answer is right.

Each test runs small scripts in processes of their own, with a cache folder and two kernels of their own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minnet.kernels.jit import DIGEST_BYTES, read_checked, write_checked

ROOT = Path(__file__).parent.parent
INNER = """
from minnet.kernels.jit import kernel

@kernel
def step(x, out):
    out[0] = x[0] + 1
"""
OUTER = """
from inner import step
from minnet.kernels.jit import kernel

@kernel
def double_step(x, out):
    step(x, out)
    step(out, out)
    if out[0] > 100:
        raise OverflowError("the kernel's own error")
"""
CALL = """
import numpy as np
from outer import double_step
out = np.zeros(1)
double_step(np.ones(1), out)
print(out[0], sum(double_step.stats.cache_hits.values()), double_step.stats.cache_path is not None)
"""
COMPILED, LOADED, WITHOUT_CACHE = "3.0 0 True\n", "3.0 1 True\n", "3.0 0 False\n"


@pytest.fixture
def work(tmp_path):
    """A folder with two modules of kernels, the second calling the first; scripts run in it by `run`."""
    (tmp_path / "inner.py").write_text(INNER)
    (tmp_path / "outer.py").write_text(OUTER)
    return tmp_path


def run(work, script=CALL, **environment):
    """What the script prints, run in the folder `work` with its cache there too."""
    done = start(work, script, **environment).communicate(timeout=120)
    assert done[1] == ""
    return done[0]


def start(work, script=CALL, **environment):
    settings = dict(os.environ, XDG_CACHE_HOME=str(work / "cache"), LOCALAPPDATA=str(work / "cache"), HOME=str(work))
    # Bytecode of a source that is edited within a second to as many bytes would be taken for that of the new one.
    settings.update(PYTHONPATH=os.pathsep.join([str(work), str(ROOT)]), PYTHONDONTWRITEBYTECODE="1", **environment)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", script], env=settings, cwd=work, **pipes)


def code_file(work):
    """The one file that holds the compiled `double_step`."""
    (path,) = work.rglob("double_step-*.code")
    return path


def test_a_second_process_compiles_nothing(work):
    assert run(work) == COMPILED
    assert run(work) == LOADED
    if os.name == "posix":
        assert code_file(work).parent.stat().st_mode & 0o777 == 0o700


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[DIGEST_BYTES + len(content) // 2] ^= 1
    path.write_bytes(content)


def put_a_folder(path):
    path.unlink()
    path.mkdir()


def name_what_is_gone(path):
    write_checked(path, b"cminnet.kernels.jit\nno_such_name\n.")  # a pickle of that name


DAMAGES = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "garbage": lambda path: path.write_bytes(b"garbage" * 1000),
    "one bit": flip_a_bit,
    "names what is gone": name_what_is_gone,
    "a folder": put_a_folder,
}


def test_a_damaged_file_is_made_anew(work):
    run(work)
    for name, damage in DAMAGES.items():
        damage(code_file(work))
        assert run(work) == COMPILED, name
        if name != "a folder":
            assert read_checked(code_file(work)), name
    code_file(work).rmdir()
    assert run(work) == COMPILED
    assert run(work) == LOADED


def test_an_edit_of_a_kernel_that_another_calls_is_seen(work):
    assert run(work) == COMPILED
    (work / "inner.py").write_text(INNER.replace("+ 1", "+ 7"))
    assert run(work) == "15.0 0 True\n"


def test_an_edit_between_import_and_call_is_seen_by_the_next_process(work):
    edit = f"import outer, pathlib; pathlib.Path('inner.py').write_text({INNER.replace('+ 1', '+ 7')!r})\n"
    assert run(work, edit + CALL) == COMPILED
    assert run(work) == "15.0 0 True\n"


@pytest.mark.skipif(os.name != "posix", reason="folders are refused by owner and mode on POSIX only")
def test_without_a_folder_of_our_own_nothing_is_kept(work):
    nowhere = {"XDG_CACHE_HOME": "/dev/null/x", "HOME": "/dev/null/x"}
    assert run(work, **nowhere) == WITHOUT_CACHE
    run(work)
    code_file(work).parent.chmod(0o777)
    assert run(work) == WITHOUT_CACHE


FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of file size are POSIX")
def test_a_full_disk_costs_the_cache_and_nothing_else(work):
    assert run(work, FULL_DISK + CALL) == COMPILED
    folder = next(work.rglob("kernels-*"))
    assert list(folder.iterdir()) == []


FAIL = """
import numpy as np
from outer import double_step
for _ in range(2):
    try:
        double_step(np.full(1, 100.0), np.zeros(1))
    except OverflowError as error:
        print(error, sum(double_step.stats.cache_hits.values()))
"""


def test_an_error_of_the_kernel_is_its_own(work):
    assert run(work, FAIL) == "the kernel's own error 0\n" * 2
    before = code_file(work).read_bytes()
    assert run(work, FAIL) == "the kernel's own error 1\n" * 2
    assert code_file(work).read_bytes() == before


IMPORT = """
import importlib, pkgutil
import numba
before = {name: value for name, value in vars(numba.config).items() if name.isupper()}
import minnet.kernels
for info in pkgutil.walk_packages(minnet.kernels.__path__, "minnet.kernels."):
    module = importlib.import_module(info.name)
    for value in vars(module).values():
        if getattr(value, "is_kernel", False):
            assert value.signatures == [], value
assert before == {name: value for name, value in vars(numba.config).items() if name.isupper()}
"""


def test_an_import_compiles_nothing_and_changes_no_setting(work):
    assert run(work, IMPORT) == ""
    assert list(work.rglob("kernels-*")) == []


def test_processes_that_start_at_once_do_not_disturb_each_other(work):
    running = [start(work) for _ in range(3)]
    results = [process.communicate(timeout=120) for process in running]
    assert all(result in [(COMPILED, ""), (LOADED, "")] for result in results)
    assert run(work) == LOADED


def test_settings_that_change_code_have_a_folder_of_their_own(work):
    assert run(work) == COMPILED
    assert run(work, NUMBA_BOUNDSCHECK="1") == COMPILED
    assert run(work, NUMBA_NUM_THREADS="1") == LOADED

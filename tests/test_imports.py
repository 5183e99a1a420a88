"""What `import minnet` loads, and when; the lazy names, their stub, and what happens to a name that is none."""
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from each import each

import minnet

HEAVY = ("numpy", "numba", "sklearn", "rich", "scipy.sparse", "scipy.linalg", "scipy.stats", "jinja2", "matplotlib",
         "h5py", "onnx")
PROBE = """
import sys

def loaded(step):
    print(step, *[name for name in HEAVY if name in sys.modules], file=sys.stderr)

import minnet
loaded("import")
dir(minnet), minnet.__version__, minnet.__doc__
loaded("dir")
from minnet.cli import main
for arguments in (["--help"], ["--version"], ["nonsense"]):
    try:
        main(arguments)
    except SystemExit:
        pass
loaded("help")
minnet.Dense
loaded("Dense")
minnet.Model, minnet.train
loaded("train")
model = minnet.models.mlp((3,), 2, rng=0)
for _ in minnet.train(model, ([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0]], [0, 1]), epochs=1): pass
minnet.prune(model, 0.5)
loaded("prune")
"""
STUB = Path(minnet.__file__).with_suffix(".pyi")
STUB_HEAD = '"""The names of minnet for editors and type checkers; written by `python -m tests.test_imports`."""'
ALLOWED = {"import": [], "dir": [], "help": [], "Dense": ["numpy", "numba"], "train": ["numpy", "numba"],
           "prune": ["numpy", "numba", "scipy.linalg"]}  # Numba takes BLAS for its np.dot from there


def test_what_is_loaded_when():
    """`import minnet` and `minnet --help` load neither numpy nor numba; the engine loads these and nothing heavy."""
    code = PROBE.replace("HEAVY", repr(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    steps = [line.split() for line in done.stderr.splitlines() if line.split()[0] in ALLOWED]
    assert {step: names for step, *names in steps} == ALLOWED


@each("name", minnet.__all__)
def test_lazy_names(name):
    """Each is there, is what its module calls so, and stays the same object; `dir` shows it."""
    value = getattr(minnet, name)
    assert name in dir(minnet) and getattr(minnet, name) is value
    if name in minnet._MODULES:
        assert value is importlib.import_module(minnet._MODULES[name])
    else:
        assert value is vars(importlib.import_module(minnet._HOME[name]))[name]


def test_names_are_given_once():
    assert len(minnet.__all__) == len(set(minnet.__all__))


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="minnet has no 'Dens'.*Dense"):
        minnet.Dens  # noqa: B018 - the look-up is the test
    assert not hasattr(minnet, "__wrapped__")
    with pytest.raises(ImportError):
        from minnet import Dens  # noqa: F401


def stub_text():
    """What the stub must hold: each name from the module that has it, as type checkers want it written."""
    shown = [(home, name, name) for name, home in minnet._HOME.items()]
    shown += [(*home.rsplit(".", 1), name) for name, home in minnet._MODULES.items()]
    lines = [f"from {home} import {found} as {name}" for home, found, name in shown]
    listed = "".join(f'    "{name}",\n' for name in minnet.__all__)
    return f"{STUB_HEAD}\n" + "\n".join(lines) + f"\n\n__version__: str\n__all__ = [\n{listed}]\n"


def test_the_stub_says_what_the_table_says():
    """minnet/__init__.pyi is what editors and type checkers read: the same names, from the same modules."""
    assert STUB.read_text(encoding="utf-8") == stub_text(), "write the stub again: python -m tests.test_imports"


if __name__ == "__main__":
    STUB.write_text(stub_text(), encoding="utf-8")

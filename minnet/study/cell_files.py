"""The folder of a sweep: one file for each finished cell, one for the dense nets of each seed, and the tables.

    with cell_folder("sweep", cells) as folder:     # one process at a time
        folder.found                                # {id: result} of the cells that are there
        folder.keep(cell, result)

A file is written whole or not at all and says what its cell is, so a sweep that was killed goes on where it was, and
cells of another sweep are refused.
"""
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path as FilePath

import numpy as np

from minnet import __version__
from minnet.errors import FileError, file_error, quoted
from minnet.files import check_writable, file_errors, opened, read_bounded, write_whole
from minnet.readers import read_npz
from minnet.study.cells import Cell, key_of
from minnet.study.folder import as_json
from minnet.study.job import Base
from minnet.study.schema import problem_of_cell, problem_of_dense
from minnet.study.workers import Dense
from minnet.typing import Path

CELLS, BASES, LOCK = "cells", "dense", ".minnet-sweep"
LARGEST = 2**24
MODE = 0o666

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        """Lock an open file, or raise OSError if another process has."""
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        """Lock an open file, or raise OSError if another process has."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class CellFolder:
    """The files of a sweep. Where there is no folder nothing is kept, and nothing is found.

    Parameters
    ----------
    folder : Path, optional
        The folder.
    cells : sequence of Cell
        The cells of the sweep.

    Raises
    ------
    FileError
        The folder has cells of another sweep, or a damaged file.
    """

    def __init__(self, folder: Path | None, cells: Sequence[Cell]) -> None:
        self.folder = None if folder is None else FilePath(folder)
        self.found: dict[str, dict] = {}
        if self.folder is None:
            return
        for name in (CELLS, BASES):
            check_writable(self.folder / name)
        self.found = self._read_cells({cell.id for cell in cells})

    def keep(self, cell: Cell, result: Mapping) -> None:
        """Write the result of a cell."""
        if self.folder is not None:
            record = {"cell": cell.identity, "base": cell.base, "result": result}
            write_whole(self.folder / CELLS / f"{cell.id}.json", as_json(record).encode())

    def keep_base(self, cell: Cell, dense: Dense) -> None:
        """Write the dense nets of a cell, and their figures; nothing where their training diverged."""
        if self.folder is not None and dense.base is not None:
            text = json.dumps({"base": cell.base_identity, "figures": dense.figures})
            write_whole(self.folder / BASES / f"{cell.base}.npz", lambda file: np.savez(
                file, trained=dense.base.trained, longer=dense.base.longer, text=np.array(text)))

    def base(self, cell: Cell) -> Dense | None:
        """Return the dense nets of a cell; None where they are not there."""
        path = None if self.folder is None else self.folder / BASES / f"{cell.base}.npz"
        if path is None or not path.exists():
            return None
        values, record = _read_dense(path)
        if record["base"] != cell.base_identity:
            raise _damaged(path)
        return Dense(values, record["figures"])

    def _read_cells(self, wanted):
        """Return {id: result} of all cells in the folder, each of which the sweep must have."""
        found, foreign = {}, []
        for path in sorted((self.folder / CELLS).glob("*.json")):
            record = _read(path)
            if path.stem != key_of(record["cell"]):
                raise _damaged(path)
            if path.stem not in wanted:
                foreign.append(record["cell"])
            found[path.stem] = record["result"]
        if foreign:
            raise file_error(self.folder, f"has {len(foreign)} cells of another sweep, {_difference(foreign[0])}",
                             "give another folder, or a grid that has them too")
        return found


@contextmanager
def cell_folder(folder: Path | None, cells: Sequence[Cell]) -> Iterator[CellFolder]:
    """Provide the folder of a sweep, which no second process may use until the block ends.

    Raises FileError where another sweep is running in it, and what `CellFolder` raises.
    """
    if folder is None:
        yield CellFolder(None, cells)
        return
    folder = FilePath(check_writable(folder))
    with file_errors(folder / LOCK):
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), MODE)
    try:
        try:
            _try_lock(descriptor)
        except OSError as error:
            raise file_error(folder, "another sweep is running in this folder",
                             "wait until it ends, or give another folder") from error
        yield CellFolder(folder, cells)
    finally:
        os.close(descriptor)


def _read(path):
    """Return the content of a cell's file."""
    return _checked(path, read_bounded(path, LARGEST), problem_of_cell)


def _read_dense(path):
    """Return the values of the dense nets in a file, and the record of what they are."""
    with opened(path):  # what is wrong with the file itself is said as it is
        pass
    try:
        trained, text = read_npz(path, "text", "trained")
        longer, _ = read_npz(path, "text", "longer")
    except FileError as error:
        raise _damaged(path) from error
    values = Base(trained, longer)
    if trained.ndim != 1 or trained.shape != longer.shape or not all(np.isfinite(each).all() for each in values):
        raise _damaged(path)
    return values, _checked(path, str(text), problem_of_dense)


def _checked(path, text, problem_of):
    """Return the record that a text of JSON is, if a sweep can use it."""
    try:
        record = json.loads(text)
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is no text that a page can hold
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    problem = problem_of(record)
    if problem:
        raise _damaged(path, f": {problem}")
    return record


def _damaged(path, why=""):
    return file_error(path, f"is damaged, or not of this sweep{why}", "remove it: its cell is run again")


def _difference(identity):
    """Return what a foreign cell is of."""
    if identity.get("minnet") != __version__:
        return f"of minnet {quoted(str(identity.get('minnet')))}"
    settings = identity.get("settings", {})
    names = ("criterion", "sparsity", "recipe", "epochs", "seed")
    return "such as " + quoted(", ".join(f"{name} {settings.get(name)}" for name in names))

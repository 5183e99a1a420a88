"""Replace several files of a folder as one: a crash or a power loss leaves all the old files or all the new ones.

    with replacing("minnet-out") as new:            # other processes that write there wait
        new.write("model.safetensors", data)
        new.write("result.json", text.encode())
        new.remove("model.onnx")                    # all three change at the end of the block, or none
    with reading("minnet-out"):                     # what is read here belongs together
        ...

One rename is atomic, several are not. So each step below but the fifth leaves what is read under every name as it is,
and the fifth changes all of it:

1. The new files are written to ``.minnet-change/new``.
2. ``.minnet-change/old`` gets hard links to the files that they replace; copies, where there are no hard links.
3. The symbolic link ``.minnet-change/current`` is made; it leads to ``old``.
4. Each NAME is replaced by a symbolic link to ``.minnet-change/current/NAME``; a new NAME leads nowhere yet.
5. ``current`` is replaced by a link to ``new``.
6. Each NAME is replaced by the file that it leads to, or removed if there is none; then ``.minnet-change`` is removed.

The disk has each step before the next begins (fsync of files and folders). A process that is killed between them leaves
links, which read as the old files or as the new ones; `finish` then does step 6, for either. So the folder holds plain
files only, except during a change, whatever else the user keeps in it, and even if it is the current directory: that is
why not the folder itself is exchanged for another. A NAME that is a link of the user's is replaced; where it leads,
nothing changes.

Where a system has no symbolic links, or does not replace them atomically (Windows), and where a single file is
changed, a journal takes the place of steps 2 to 5: ``.minnet-change/journal`` lists the names, and `finish` does what
it says. There, if several files are changed, a process that is killed in step 6 leaves a mix of files until `finish`
is called, as `replacing`, `reading` and every command do that use the folder.

The lock ends with its process: it is on the folder itself, or, on a system that cannot lock folders, on a file
``.minnet-lock`` in it, which stays.
"""
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minnet.errors import FileError, InvalidValue, file_error, quoted
from minnet.files import (
    MODE,
    bytes_of,
    file_errors,
    read_bounded,
    refuse_special,
    sync_folder,
    write_new,
    write_whole,
)

CHANGE, LOCK = ".minnet-change", ".minnet-lock"
OLD, NEW, USERS = "old", "new", "users"  # folders in CHANGE: contents before and after, and links of the user's
CURRENT, JOURNAL, SPARE = "current", "journal", "spare"
LARGEST_JOURNAL = 2**20
NO_LINKS = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
NO_LOCKS = NO_LINKS | {errno.EBADF, errno.ENOLCK}

Folder = str | os.PathLike

if sys.platform == "win32":
    import msvcrt

    def _wait_for(descriptor: int, shared: bool) -> None:
        """Lock an open file; after ten seconds OSError is raised."""
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _wait_for(descriptor: int, shared: bool) -> None:
        """Lock an open file or folder."""
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


class Change:
    """The files that a block of `replacing` writes and removes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[str] = []
        self.removed: list[str] = []

    def write(self, name: str, content: bytes | Callable[[BinaryIO], object]) -> None:
        """Write `content` (bytes, or a function that writes to the binary file it is given) to the new file `name`."""
        self._check(name)
        data = bytes_of(content)
        with file_errors(self.folder / name):
            write_new(self.folder / CHANGE / NEW / name, data)
        self.written.append(name)

    def remove(self, name: str) -> None:
        """Remove the file `name`; it need not exist."""
        self._check(name)
        self.removed.append(name)

    def _check(self, name):
        """Raise an error unless a file of this name can be changed, and is not changed already."""
        if not _is_plain(name):
            raise InvalidValue(f"{quoted(repr(name))} is no name of a file in a folder: give one without separators")
        if name in (*self.written, *self.removed):
            raise InvalidValue(f"{quoted(name)} is written or removed twice: do it once")
        refuse_special(self.folder / name)


@contextmanager
def replacing(folder: Folder) -> Iterator[Change]:
    """Change files of `folder` as one at the end of the block; after an error in it they are what they were.

    The block has the folder to itself: it must not call `replacing` or `reading` for it again. Raises FileError if the
    files cannot be written; they are then what they were, or all new if only the last step failed.
    """
    folder = Path(folder)
    with _locked(folder):
        with file_errors(folder):
            _settle(folder)
        try:
            with file_errors(folder):
                os.mkdir(folder / CHANGE)
                os.mkdir(folder / CHANGE / NEW)
            change = Change(folder)
            yield change
            with file_errors(folder):
                _commit(change)
                _settle(folder)
        except BaseException:
            with suppress(OSError):  # what is left is read as it should be, and `finish` removes it
                _settle(folder)
            raise


@contextmanager
def reading(folder: Folder) -> Iterator[None]:
    """Keep the files of `folder` as they are during the block: processes that use `replacing` wait."""
    with suppress(OSError):  # a folder that may not be written to
        finish(folder)
    with _locked(Path(folder), shared=True):
        yield


def finish(folder: Folder) -> None:
    """Finish or undo the change that a killed process has begun in `folder`; wait for one that is still at it."""
    folder = Path(folder)
    if os.path.lexists(folder / CHANGE):
        with _locked(folder), file_errors(folder):
            _settle(folder)


def _is_plain(name):
    return isinstance(name, str) and name not in ("", ".", "..") and os.path.basename(name) == name


def _commit(change):
    """Do steps 2 to 5, or write the journal."""
    folder, aside = change.folder, change.folder / CHANGE
    sync_folder(aside / NEW)
    names = [*change.written, *change.removed]
    if len(names) < 2 or not _can_link(aside):
        sync_folder(aside)
        sync_folder(folder)
        text = json.dumps({"written": change.written, "removed": change.removed})
        write_whole(aside / JOURNAL, text.encode(), about=folder)
        return
    _keep_old(folder, names)
    for path in (aside / OLD, aside, folder):
        sync_folder(path)
    for name in names:
        _link(_target(name), folder / name, aside / SPARE)
    sync_folder(folder)
    _link(NEW, aside / CURRENT, aside / SPARE)
    sync_folder(aside)


def _can_link(aside):
    """Make the link `current` and return True, if this system has symbolic links and replaces them atomically."""
    if sys.platform == "win32":
        return False
    try:
        os.symlink(OLD, aside / CURRENT)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    return True


def _keep_old(folder, names):
    """Make `old`, in which each name reads as it does in the folder."""
    aside = folder / CHANGE
    os.mkdir(aside / OLD)
    os.mkdir(aside / USERS)
    for name in names:
        path = folder / name
        if path.is_symlink():
            os.symlink(os.path.realpath(path), aside / OLD / name)
            os.symlink(os.readlink(path), aside / USERS / name)
        elif path.exists():
            _link_or_copy(path, aside / OLD / name)


def _link_or_copy(path, to):
    try:
        os.link(path, to)
    except OSError:  # such as a file system without hard links
        write_new(to, path.read_bytes())
        shutil.copystat(path, to)


def _target(name):
    return os.path.join(CHANGE, CURRENT, name)


def _link(target, path, spare):
    """Replace `path` by a symbolic link in one step."""
    os.symlink(target, spare)
    os.replace(spare, path)


def _settle(folder):
    """Do step 6 of a change that was begun, under the lock."""
    aside = folder / CHANGE
    if not os.path.lexists(aside):
        return
    if not aside.is_dir() or any(path.is_symlink() for path in (aside, aside / OLD, aside / NEW, aside / USERS)):
        raise file_error(aside, "was not made by minnet", "remove it")
    if os.path.lexists(aside / JOURNAL):
        _apply_journal(folder)
    elif (aside / CURRENT).is_symlink():
        _replace_links(folder, os.readlink(aside / CURRENT))
    sync_folder(folder)
    with suppress(FileNotFoundError):
        os.unlink(aside / JOURNAL)  # first, so that it is not applied again
    shutil.rmtree(aside, ignore_errors=True)
    sync_folder(folder)


def _apply_journal(folder):
    """Put the new files into the folder and remove what is to be removed, even if it was done already in part."""
    aside = folder / CHANGE
    try:
        names = json.loads(read_bounded(aside / JOURNAL, LARGEST_JOURNAL, about=folder))
        written, removed = names["written"], names["removed"]
        plain = all(_is_plain(name) for name in (*written, *removed))
    except (ValueError, LookupError, TypeError, RecursionError):
        plain = False
    if not plain:
        raise file_error(aside / JOURNAL, "is damaged", f"remove the folder {CHANGE}")
    for name in written:
        if os.path.lexists(aside / NEW / name):  # else it was moved before the process was killed
            _put(aside / NEW / name, folder / name, aside / SPARE)
    for name in removed:
        with suppress(FileNotFoundError):
            os.unlink(folder / name)


def _replace_links(folder, side):
    """Replace each link of step 4 by the file that it leads to in `side`; remove those that lead nowhere."""
    aside = folder / CHANGE
    if side not in (OLD, NEW):
        raise file_error(aside / CURRENT, "leads elsewhere", f"remove the folder {CHANGE}")
    for name in os.listdir(folder):
        path = folder / name
        if not path.is_symlink() or os.readlink(path) != _target(name):
            continue
        if side == OLD and os.path.lexists(aside / USERS / name):
            os.replace(aside / USERS / name, path)
        elif os.path.lexists(aside / side / name):
            _put(aside / side / name, path, aside / SPARE)
        else:
            os.unlink(path)


def _put(source, path, spare):
    """Replace `path` by the file `source`, which stays.

    A reader may just have followed a link to it, and a power loss may split a rename from one folder to another.
    """
    with suppress(FileNotFoundError):
        os.unlink(spare)
    try:
        os.link(source, spare)
    except OSError:  # such as a file system without hard links
        spare = source
    os.replace(spare, path)


@contextmanager
def _locked(folder, shared=False):
    """Hold the lock of the folder, waiting for it; readers share it, and do without it where there is none."""
    descriptor = _lock(folder, shared)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def _lock(folder, shared):
    """Return the descriptor whose closing ends the lock; None for a reader where there can be no lock."""
    try:
        with file_errors(folder):
            return _lock_folder(folder, shared) if not os.path.exists(folder / LOCK) else _lock_file(folder, shared)
    except FileError:
        if not shared:
            raise
        return None


def _lock_folder(folder, shared):
    """Lock the folder itself, or the file LOCK in it on a system that cannot lock folders, as Windows and NFS."""
    try:
        return _acquired(os.open(folder, os.O_RDONLY), shared)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return _lock_file(folder, shared)


def _lock_file(folder, shared):
    return _acquired(os.open(folder / LOCK, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, MODE), shared)


def _acquired(descriptor, shared):
    try:
        _wait_for(descriptor, shared)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor

"""Several files of a folder are replaced as one, whatever fails and whenever the process is killed."""
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from minnet import files
from minnet.errors import FileError, InvalidValue
from minnet.study import transaction
from minnet.study.transaction import CHANGE, LOCK, finish, reading, replacing

RUN = {"model": b"old model" * 40, "result": b"old result", "onnx": b"old onnx"}
NEXT = {"model": b"new model" * 50, "result": b"new result", "page": b"new page"}
MINE = {"thesis": b"not minnet's", "model.bak": b"mine too"}
CALLS = ("mkdir", "open", "write", "fsync", "close", "symlink", "link", "replace", "unlink")


class Killed(BaseException):
    """The process is dead: nothing that it would do after this is done."""


class FailingOs:
    """`os`, and of `shutil` what removes folders, for a process that is killed, or fails once, at the n-th call.

    Nothing waits for the disk, since a test of thousands of calls would wait for minutes.
    """

    def __init__(self, n=0, code=None):
        self.n, self.code, self.calls = n, code, 0

    def __getattr__(self, name):
        call = getattr(shutil, name) if name in ("rmtree", "copystat") else getattr(os, name)
        return self.counted(name, call) if name in (*CALLS, "rmtree") else call

    def counted(self, name, call):
        def wrapped(*args, **kwargs):
            self.calls += 1
            fails = self.n and (self.calls == self.n if self.code else self.calls >= self.n)
            if name == "close" or not (fails or name == "fsync"):
                result = call(*args, **kwargs)  # a close that fails gives the descriptor back all the same
            if fails and name == "rmtree":
                self.remove_half(args[0])
            if fails and self.code is None:
                raise Killed
            if fails and name != "rmtree":  # which passes over errors
                raise OSError(self.code, os.strerror(self.code))
            return None if fails or name == "fsync" else result
        return wrapped

    def remove_half(self, folder):
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_symlink() or path.is_file())
        for path in paths[: (len(paths) + self.calls % 2) // 2] if self.calls == self.n else ():
            path.unlink()


@pytest.fixture
def failing(monkeypatch):
    """failing(n, code): from now on the n-th call fails; failing() counts only, which is also how each test begins."""
    def patch(n=0, code=None):
        fake = FailingOs(n, code)
        for module, name in ((files, "os"), (transaction, "os"), (transaction, "shutil")):
            monkeypatch.setattr(module, name, fake)
        return fake
    patch()
    return patch


@pytest.fixture(params=["links", "journal", "copies"])
def way(request, monkeypatch):
    """With symbolic and hard links; without the first; without the second."""
    if request.param == "journal":
        monkeypatch.setattr(transaction, "_can_link", lambda aside: False)
    if request.param == "copies":
        def link(*args):
            raise OSError(errno.EPERM, "no hard links here")
        monkeypatch.setattr(os, "link", link)
    return request.param


def plain_folder(root):
    folder = root / "out"
    folder.mkdir()
    for name, content in (RUN | MINE).items():
        (folder / name).write_bytes(content)
    return folder, RUN


def linked_folder(root):
    """The old model is a link of the user's."""
    folder, _ = plain_folder(root)
    (root / "elsewhere").write_bytes(RUN["model"])
    (folder / "model").unlink()
    (folder / "model").symlink_to("../elsewhere")
    return folder, RUN


def first_run(root):
    folder, _ = plain_folder(root)
    for name in RUN:
        (folder / name).unlink()
    return folder, {}


FOLDERS = [plain_folder, linked_folder, first_run]


def change(folder):
    with replacing(folder) as new:
        for name, content in NEXT.items():
            new.write(name, content)
        new.remove("onnx")


def read(folder):
    """What a reader finds that knows nothing of minnet: the content of each name, through whatever link."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {name: found.pop(name, None) for name in MINE} == MINE
    found.pop(LOCK, None)
    return found


def check_at_rest(folder):
    """Plain files only, except for a link of the user's, in a folder where nothing was changed."""
    found = read(folder)
    links = {path.name for path in folder.iterdir() if path.is_symlink()}
    assert {path.name for path in folder.iterdir()} == {*found, *MINE}
    assert not links or (links == {"model"} and os.readlink(folder / "model") == "../elsewhere" and found == RUN)


def clear(root):
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def each_fault(root, failing, make, code=None):
    """Yield (folder, what it held before, n) after a change in which the n-th call failed, for n = 1, 2, ..."""
    n = 0
    while True:
        n += 1
        clear(root)
        folder, before = make(root)
        fake = failing(n, code)
        try:
            change(folder)
        except Killed:
            assert code is None
        except FileError as error:
            assert str(error).isprintable() and str(error).startswith(str(folder))
            assert CHANGE not in str(error), "the user knows the folder, not what is in it for a moment"
        failing()
        yield folder, before, n
        if fake.calls < n:
            assert read(folder) == NEXT and n > 20, "the loop did not reach the calls"
            return


@pytest.mark.parametrize("make", FOLDERS)
def test_all_is_changed_and_nothing_else(tmp_path, failing, way, make):
    folder, _ = make(tmp_path)
    change(folder)
    assert read(folder) == NEXT
    check_at_rest(folder)
    if make is linked_folder:
        assert (tmp_path / "elsewhere").read_bytes() == RUN["model"]


@pytest.mark.parametrize("make", FOLDERS)
def test_a_process_killed_at_any_call_leaves_the_old_files_or_the_new_ones(tmp_path, failing, way, make):
    seen = []
    for folder, before, n in each_fault(tmp_path, failing, make):
        found = read(folder)
        finish(folder)
        if way != "journal":
            assert read(folder) == found, n
        seen.append(read(folder))
        assert seen[-1] in (before, NEXT), n
        check_at_rest(folder)
    assert before in seen


@pytest.mark.parametrize("make", FOLDERS)
def test_any_call_that_fails_leaves_the_old_files_or_the_new_ones(tmp_path, failing, way, make):
    for folder, before, n in each_fault(tmp_path, failing, make, errno.ENOSPC):
        assert read(folder) in (before, NEXT), n
        finish(folder)
        assert read(folder) in (before, NEXT), n
        check_at_rest(folder)


def state(folder):
    """All that is in a folder, links as links."""
    return sorted((str(path.relative_to(folder)), os.readlink(path) if path.is_symlink() else
                   path.is_file() and path.read_bytes()) for path in folder.rglob("*"))


@pytest.mark.parametrize("way", ["links", "journal"], indirect=True)
def test_a_process_that_finishes_a_change_may_be_killed_too(tmp_path, failing, way):
    """At any call, in each state that a kill at any call leaves."""
    kept, seen = tmp_path.with_name(tmp_path.name + "-kept"), []
    for folder, before, _ in each_fault(tmp_path, failing, plain_folder):
        if (folder / CHANGE).exists() and state(folder) not in seen:
            seen.append(state(folder))
            shutil.copytree(folder, kept, symlinks=True)
            check_finishing(folder, kept, failing, before, always=way == "links")
            shutil.rmtree(kept)
    assert len(seen) > 10


def check_finishing(folder, kept, failing, before, always):
    """Kill `finish` at the m-th call, for m = 1, 2, ..., in a folder as `kept`."""
    found, m, calls = read(folder), 0, 1
    while m < calls:
        m += 1
        shutil.rmtree(folder)
        shutil.copytree(kept, folder, symlinks=True)
        fake = failing(m)
        with suppress(Killed):
            finish(folder)
        failing()
        calls = fake.calls
        if always:
            assert read(folder) == found, m
        finish(folder)
        assert read(folder) in (before, NEXT), m
        check_at_rest(folder)


@pytest.mark.parametrize("space", [0, 1, 200, 449, 450, 451, 459, 460, 467, 468, 500])
def test_a_disk_that_is_full_after_some_bytes(tmp_path, monkeypatch, failing, way, space):
    folder, _ = plain_folder(tmp_path)
    left = [space]

    def write(descriptor, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[:left[0]]
        left[0] -= len(data)
        return real(descriptor, data)
    real = os.write
    monkeypatch.setattr(os, "write", write)
    with suppress(FileError):
        change(folder)
    needed = sum(map(len, NEXT.values()))
    if space < needed:
        assert read(folder) == RUN
    elif way == "links":
        assert read(folder) == NEXT
    assert read(folder) in (RUN, NEXT)
    check_at_rest(folder)


def test_an_error_in_the_block_changes_nothing(tmp_path, failing, way):
    folder, _ = plain_folder(tmp_path)

    def writer(file):
        file.write(b"half")
        raise KeyError("in the middle")
    with pytest.raises(KeyError), replacing(folder) as new:
        new.write("model", b"new")
        new.write("result", writer)
    assert read(folder) == RUN
    check_at_rest(folder)


class Order(FailingOs):
    """The calls in their order, with the names of what they are about."""

    def __init__(self):
        super().__init__()
        self.order, self.open_files = [], {}

    def counted(self, name, call):
        def wrapped(*args, **kwargs):
            about = self.open_files.get(args[0], args[0]) if name in ("fsync", "write") else args[-1]
            if name == "open":
                about = args[0]
            self.order.append((name, Path(about).name if not isinstance(about, int) else about))
            result = None if name == "fsync" else call(*args, **kwargs)
            if name == "open":
                self.open_files[result] = args[0]
            return result
        return wrapped


def test_the_disk_has_each_step_before_the_next(tmp_path, monkeypatch):
    folder, _ = plain_folder(tmp_path)
    fake = Order()
    for module, name in ((files, "os"), (transaction, "os"), (transaction, "shutil")):
        monkeypatch.setattr(module, name, fake)
    change(folder)
    steps = [step for step in fake.order if step[0] in ("fsync", "replace", "rmtree")]
    names = [*NEXT, "onnx"]
    syncs = [("fsync", name) for name in (*NEXT, "new", "old", CHANGE, "out")]
    links = [("replace", name) for name in names]
    assert steps[: len(syncs) + len(links) + 3] == [
        *syncs, *links, ("fsync", "out"), ("replace", "current"), ("fsync", CHANGE)]
    rest = steps[len(syncs) + len(links) + 3:]
    assert sorted(rest[:-3]) == [("replace", name) for name in sorted(NEXT)]
    assert rest[-3:] == [("fsync", "out"), ("rmtree", CHANGE), ("fsync", "out")] or rest[-3][0] == "fsync"


CHILD = """
import os, signal, sys
from minnet.study import transaction
from its_change import change
left = int(sys.argv[2])
real = os.replace
def replace(*args):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
os.replace = replace
change(sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("n", [1, 3, 5, 6, 8])
def test_a_real_process_that_is_killed(tmp_path, n):
    folder, _ = plain_folder(tmp_path)
    (tmp_path / "its_change.py").write_text(
        "from minnet.study.transaction import replacing\n"
        f"NEXT = {NEXT!r}\n"
        "def change(folder):\n"
        "    with replacing(folder) as new:\n"
        "        for name, content in NEXT.items():\n"
        "            new.write(name, content)\n"
        "        new.remove('onnx')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ended = subprocess.run([sys.executable, "-c", CHILD, folder, str(n)], env=environment, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert read(folder) == (RUN if n <= 5 else NEXT)  # four links, then the one step
    change(folder)  # the lock ended with the process
    assert read(folder) == NEXT
    check_at_rest(folder)


def test_writers_take_turns_and_readers_see_one_run(tmp_path, failing):
    seen, rounds = [], 20
    change(plain_folder(tmp_path)[0])

    def write(letter):
        for _ in range(rounds):
            with replacing(tmp_path / "out") as new:
                new.write("model", letter * 100)
                new.write("result", letter)

    def look():
        for _ in range(rounds):
            with reading(tmp_path / "out"):
                both = [(tmp_path / "out" / name).read_bytes()[:1] for name in ("model", "result")]
            seen.append(both)
    threads = [threading.Thread(target=write, args=[letter]) for letter in (b"a", b"b")]
    threads += [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2 * rounds and all(first == second for first, second in seen)
    check_at_rest(tmp_path / "out")


@pytest.mark.parametrize("own", [True, False])
def test_a_system_that_cannot_lock_folders_gets_a_file(tmp_path, monkeypatch, own):
    """As NFS and Windows; whoever comes later takes the file too, even from a system that could lock the folder."""
    fcntl = pytest.importorskip("fcntl")
    folder, _ = plain_folder(tmp_path)
    real = transaction._wait_for

    def wait_for(descriptor, shared):
        if os.path.isdir(f"/dev/fd/{descriptor}") or os.fstat(descriptor).st_mode & 0o170000 == 0o040000:
            raise OSError(errno.EBADF, "not here")
        real(descriptor, shared)
    with monkeypatch.context() as patch:
        patch.setattr(transaction, "_wait_for", wait_for)
        change(folder)
        assert (folder / LOCK).exists() and read(folder) == NEXT
    held = []
    with replacing(folder) if own else reading(folder), open(folder / LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.append(file)
    assert held


def test_what_cannot_be_replaced_is_refused_before_anything_is_changed(tmp_path):
    folder, _ = plain_folder(tmp_path)
    (folder / "page").mkdir()
    with pytest.raises(FileError, match="page: is no regular file"):
        change(folder)
    with pytest.raises(FileError, match="no such file"):
        change(tmp_path / "nowhere")
    for name in ("", ".", "..", "a/b", os.sep, 3):
        with pytest.raises(InvalidValue, match="name of a file"), replacing(folder) as new:
            new.write(name, b"")
    with pytest.raises(InvalidValue, match="twice"), replacing(folder) as new:
        new.write("model", b"")
        new.remove("model")
    assert read(folder) == RUN and not (folder / CHANGE).exists()


def made_by_others(folder, root):
    """Folders such as an archive from a stranger may hold; each would have a file outside moved or removed."""
    (root / "precious").mkdir()
    (root / "precious" / "model").write_bytes(b"precious")
    aside = folder / CHANGE
    yield lambda: aside.symlink_to("../precious")

    def leads_elsewhere(name):
        aside.mkdir()
        (aside / "current").symlink_to(name)
        (folder / "model").unlink()
        (folder / "model").symlink_to(f"{CHANGE}/current/model")
    yield lambda: leads_elsewhere("../../precious")

    def is_link():
        leads_elsewhere("new")
        (aside / "new").symlink_to("../../precious")
    yield is_link

    def journal(names):
        aside.mkdir()
        (aside / "journal").write_text(names)
    for names in (json.dumps({"written": [], "removed": ["../precious/model"]}), "[" * 10**5, "{}", "[]", "\0",
                  json.dumps({"written": ["../precious/model"], "removed": []})):
        yield lambda names=names: journal(names)


@pytest.mark.parametrize("number", range(9))
def test_a_folder_from_a_stranger_reaches_nothing_outside(tmp_path, number):
    folder, _ = plain_folder(tmp_path)
    list(made_by_others(folder, tmp_path))[number]()
    for use in (finish, change):
        with pytest.raises(FileError, match="remove"):
            use(folder)
    with reading(folder):
        pass
    assert (tmp_path / "precious" / "model").read_bytes() == b"precious"
    assert len(list((tmp_path / "precious").iterdir())) == 1


def test_a_folder_that_may_not_be_written_to_is_read(tmp_path, failing):
    """After a kill at each call, by a reader that cannot finish the change."""
    for folder, before, n in each_fault(tmp_path, failing, plain_folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transaction, "_settle", lambda folder: os.mkdir("/nowhere/at/all"))
            with reading(folder):
                assert read(folder) in (before, NEXT), n

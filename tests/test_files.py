"""Files are written whole or not at all, read within bounds, and told apart by content."""

import errno
import os
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from contextlib import suppress

import h5py
import numpy as np
import onnx
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from minnet import files
from minnet.errors import FileError, InvalidType
from minnet.files import KINDS, check_writable, opened, read_bounded, sniff, write_whole

OLD, NEW = b"old" * 1000, b"new" * 2000
CALLS = ("open", "write", "fsync", "close", "replace")
FAULTS = (errno.ENOSPC, errno.EIO, errno.EINTR)


class FailingOs:
    """`os`, but the n-th of the calls that write fails, as on a full or broken disk."""

    def __init__(self, n, code):
        self.left, self.code = n, code

    def __getattr__(self, name):
        call = getattr(os, name)
        return self.counted(call) if name in CALLS else call

    def counted(self, call):
        def wrapped(*args, **kwargs):
            self.left -= 1
            if self.left == 0:
                if call is os.close:
                    call(*args)  # a failing close gives the descriptor back all the same
                raise OSError(self.code, os.strerror(self.code))
            return call(*args, **kwargs)
        return wrapped


HAS_PROC = os.path.isdir("/proc/self/fd")
only_with_proc = pytest.mark.skipif(not HAS_PROC, reason="this system has no /proc")


def open_descriptors():
    return sorted(os.listdir("/proc/self/fd")) if HAS_PROC else []


@pytest.mark.parametrize("code", FAULTS)
def test_each_failing_call_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch, code):
    """SQLite's loop: make the n-th call fail, for n = 1, 2, ..., until a run succeeds."""
    path, failures = tmp_path / "model", 0
    while True:
        path.write_bytes(OLD)
        before = open_descriptors()
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", FailingOs(failures + 1, code))
            try:
                write_whole(path, NEW)
                break
            except FileError as error:
                assert os.strerror(code).lower() in str(error) and str(path) in str(error)
        failures += 1
        assert path.read_bytes() in (OLD, NEW)
        assert os.listdir(tmp_path) == ["model"]
        assert open_descriptors() == before
    assert path.read_bytes() == NEW
    assert failures >= len(CALLS), "the loop did not reach the calls"


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    class ShortWrites(FailingOs):
        def write(self, descriptor, data):
            return os.write(descriptor, data[:7])

    monkeypatch.setattr(files, "os", ShortWrites(0, 0))
    write_whole(tmp_path / "f", NEW)
    assert (tmp_path / "f").read_bytes() == NEW


def test_the_folder_is_synced_after_the_move(tmp_path, monkeypatch):
    order = []

    class Spy(FailingOs):
        def __getattr__(self, name):
            order.append(name)
            return getattr(os, name)

    monkeypatch.setattr(files, "os", Spy(0, 0))
    write_whole(tmp_path / "f", NEW)
    calls = [name for name in order if name in CALLS]
    assert calls == ["open", "write", "fsync", "close", "replace", "open", "fsync", "close"]


def test_a_writer_that_raises_changes_nothing(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(OLD)

    def writer(file):
        file.write(NEW)
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        write_whole(path, writer)
    assert path.read_bytes() == OLD and os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("content", [NEW, bytearray(NEW), memoryview(NEW), np.frombuffer(NEW, "<u4").data,
                                     lambda file: file.write(NEW)])
def test_all_kinds_of_content_are_written(tmp_path, content):
    write_whole(tmp_path / "f", content)
    assert (tmp_path / "f").read_bytes() == NEW


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o777, 0o000)])
def test_the_umask_is_kept(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "f", NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_bytes(OLD)
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", NEW)
    assert (tmp_path / "real").read_bytes() == NEW and (tmp_path / "link").is_symlink()


def test_readers_see_only_whole_files(tmp_path):
    path, stop = tmp_path / "f", threading.Event()
    path.write_bytes(OLD)

    def write():
        while not stop.is_set():
            write_whole(path, NEW)
            write_whole(path, OLD)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {path.read_bytes() for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert seen <= {OLD, NEW}


SAVER = """
import sys
from minnet.files import write_whole
while True:
    for letter in (b"a", b"b"):
        write_whole(sys.argv[1], letter * 100_000)
        print(flush=True)
"""


@pytest.mark.parametrize("saves", [1, 2, 5, 8, 13, 40])
def test_a_killed_process_leaves_a_whole_file(tmp_path, saves):
    path = tmp_path / "f"
    with subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE) as child:
        for _ in range(saves):
            child.stdout.readline()
        child.kill()
    assert path.read_bytes() in (b"a" * 100_000, b"b" * 100_000)


# --- places where nothing can be written ------------------------------------------------------------------------------

def folder(tmp_path):
    return tmp_path


def in_missing_folder(tmp_path):
    return tmp_path / "no" / "such" / "f"


def below_a_file(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    return tmp_path / "file" / "f"


def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def device(tmp_path):
    return "/dev/null"


def link_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path / "loop" / "f"


def long_name(tmp_path):
    return tmp_path / ("x" * 300)


def nul_in_name(tmp_path):
    return str(tmp_path / "a\0b")


def surrogate_in_name(tmp_path):
    return str(tmp_path / "a\ud800b")


def on_proc(tmp_path):
    return "/proc/minnet"


UNWRITABLE = [folder, in_missing_folder, below_a_file, pipe, device, link_to_itself, long_name, nul_in_name,
              surrogate_in_name, pytest.param(on_proc, marks=only_with_proc)]
UNREADABLE = [folder, in_missing_folder, below_a_file, pipe, device, link_to_itself, long_name, nul_in_name,
              surrogate_in_name]


@pytest.mark.parametrize("place", UNWRITABLE)
def test_write_refuses_in_one_line(tmp_path, place):
    path = place(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(FileError) as caught:
        write_whole(path, NEW)
    assert str(caught.value).isprintable() and "(" in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("place", UNREADABLE)
@pytest.mark.parametrize("read", [lambda path: read_bounded(path, 100), sniff])
def test_read_refuses_in_one_line_and_does_not_wait(tmp_path, place, read):
    before = open_descriptors()
    with pytest.raises(FileError) as caught:
        read(place(tmp_path))
    assert str(caught.value).isprintable()
    assert open_descriptors() == before


@pytest.mark.parametrize("place", [below_a_file, pipe, device, long_name, nul_in_name,
                                   pytest.param(on_proc, marks=only_with_proc)])
def test_check_writable_refuses_in_one_line(tmp_path, place):
    with pytest.raises(FileError) as caught:
        check_writable(place(tmp_path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("given", [None, 3.5, object()])
def test_what_is_no_path_is_refused(given):
    for call in (check_writable, sniff, lambda path: write_whole(path, b"")):
        with pytest.raises(InvalidType):
            call(given)


def test_check_writable_makes_folders_and_leaves_nothing(tmp_path):
    made = check_writable(str(tmp_path / "a" / "b"))
    assert made == tmp_path / "a" / "b" and os.listdir(made) == []


def test_check_writable_removes_what_a_killed_process_left(tmp_path):
    old, young, other = (tmp_path / name for name in (".minnet-0123.tmp", ".minnet-4567.tmp", "notes.tmp"))
    for path in (old, young, other):
        path.write_bytes(b"")
    for path in (old, other):
        os.utime(path, (time.time() - 2 * files.STALE_SECONDS,) * 2)
    check_writable(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [young.name, other.name]


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "os", FailingOs(2, errno.ENOSPC))  # the write
    with pytest.raises(FileError, match="no space left"):
        check_writable(tmp_path)
    assert os.listdir(tmp_path) == []


# --- reading ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 5000])
def test_the_limit_is_a_number_of_bytes(tmp_path, size):
    (tmp_path / "f").write_bytes(b"x" * size)
    if size <= 100:
        assert read_bounded(tmp_path / "f", 100) == b"x" * size
    else:
        with pytest.raises(FileError, match=f"{size:,} bytes; at most 100"):
            read_bounded(tmp_path / "f", 100)


@only_with_proc
def test_a_file_that_has_no_size_is_bounded_too():
    """Files in /proc say that they have 0 bytes."""
    with pytest.raises(FileError, match="at most 3 are read"):
        read_bounded("/proc/self/status", 3)


def test_an_error_while_reading_names_the_file(tmp_path):
    (tmp_path / "f").write_bytes(OLD)
    with pytest.raises(FileError, match="f: input/output error"), opened(tmp_path / "f"):
        raise OSError(errno.EIO, "Input/output error")


def test_names_cannot_reach_the_terminal(tmp_path):
    with pytest.raises(FileError) as caught:
        sniff(tmp_path / "\x1b[31mred\u202e")
    assert str(caught.value).isprintable() and r"\x1b[31mred\u202e" in str(caught.value)


# --- what is it? ------------------------------------------------------------------------------------------------------

def save_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


def save_onnx(path):
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    onnx.save(onnx.helper.make_model(graph), path)


def save_hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)


def save_npy(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


def save_npz(path):
    with open(path, "wb") as file:
        np.savez(file, X=np.zeros(3))


def writes(content):
    return lambda path: path.write_bytes(content)


SAMPLES = [
    ("empty", writes(b"")),
    ("safetensors", lambda path: safetensors.numpy.save_file({"x": np.zeros(3, np.float32)}, path)),
    ("onnx", save_onnx),
    ("hdf5", save_hdf5),
    ("keras", lambda path: save_zip(path, "metadata.json", "config.json", "model.weights.h5")),
    ("npz", save_npz),
    ("npy", save_npy),
    ("idx", writes(b"\0\0\x08\x01\0\0\0\x02ab")),
    ("pickle", writes(b"\x80\x04\x95\x10")),
    ("pickle", lambda path: save_zip(path, "archive/data.pkl", "archive/version")),
    ("zip", lambda path: save_zip(path, "a.txt")),
    ("zip", writes(b"PK\x03\x04 and no more")),
    ("gzip", writes(b"\x1f\x8b\x08\x00")),
    ("html", writes(b"\n<!DOCTYPE html><html></html>")),
    ("utf-16", writes("1,2\n".encode("utf-16"))),
    ("text", writes(b"1,2,a\n3,4,b\n")),
    ("text", writes(b"\xef\xbb\xbf1,2,a\r\n")),
    ("text", writes(("x" * (files.HEAD_BYTES - 1) + "é").encode())),
    ("unknown", writes(b"\xff\xd8\xff\xe0 a picture")),
    ("unknown", writes(b"caf\xe9")),
    ("unknown", writes(b"\x1b[31m")),
    ("unknown", writes((2**63).to_bytes(8, "little") + b"{")),
]


@pytest.mark.parametrize("kind, save", SAMPLES, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(SAMPLES)])
@pytest.mark.parametrize("name", ["f", "f.safetensors", "f.csv"])
def test_content_tells_the_kind_and_the_name_does_not(tmp_path, kind, save, name):
    path = tmp_path / name
    save(path)
    assert sniff(path) == kind


def test_every_kind_has_a_sample_and_words():
    assert {kind for kind, _ in SAMPLES} == set(KINDS)


@given(st.binary(max_size=100))
def test_any_bytes_have_a_kind(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    assert sniff(path) in KINDS


@given(st.text(max_size=30))
def test_any_name_is_answered(name):
    with suppress(FileError):
        sniff("/no such folder/" + name)


def test_reading_sets_aside_what_the_file_has_not_what_it_may_have(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 572)
    tracemalloc.start()
    try:
        read_bounded(tmp_path / "f", 2**27)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()

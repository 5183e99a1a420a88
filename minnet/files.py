"""Write files whole or not at all, read them within bounds, and tell them apart by content.

    write_whole("m.safetensors", data)      # the old file or the new one, never a part of it
    check_writable("out")                   # before an hour of training, not after
    read_bounded("m.safetensors", 2**30)    # a regular file of at most 1 GiB
    sniff("m.safetensors")                  # "safetensors", whatever the name says

Every problem is a `FileError` that reads `FILE: what is wrong (what to do)`.
"""

import errno
import hashlib
import io
import os
import secrets
import stat
import time
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

from minnet.errors import FileError, InvalidType, file_error, quoted

TEMPORARY = ".minnet-{}.tmp"
TOKEN_BYTES = 8
MODE = 0o666  # less the umask, as for any file
STALE_SECONDS = 3600  # a temporary file not written to for an hour is left over from a process that died
HEAD_BYTES = 4096
LONGEST_CHARACTER = 4  # bytes, in UTF-8
SAFETENSORS_HEAD = 8  # bytes of the header's length, before the header's "{"
FROM_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
TO_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
OTHER_HINT = "try again, or use another file or folder"
HINTS = {
    errno.ENOENT: "check the name; the folder must exist",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EACCES: "give a place that you may use, or change its permissions",
    errno.EPERM: "give a place that you may use, or change its permissions",
    errno.EROFS: "give another folder",
    errno.ENOSPC: "free some space, or give another folder",
    errno.EFBIG: "a limit on the size of files is set (ulimit -f): raise it",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its link leads to itself",
}


def write_whole(path, content, about=None):
    """Write `content` (bytes, or a function that writes to the binary file it is given) to `path`, whole or not at all.

    The bytes are written to a temporary file in the same folder, flushed to the disk, and moved to `path` in one step;
    a link is followed. After a failure `path` is what it was before, or the new file if only the last step (to wait for
    the disk) failed; the temporary file is removed. Raises `FileError`, about `path` or the path that is given instead.
    """
    data = bytes_of(content)
    about = _as_path(path) if about is None else about
    path = Path(os.path.realpath(_as_path(path)))
    temporary = path.with_name(TEMPORARY.format(secrets.token_hex(TOKEN_BYTES)))
    try:
        refuse_special(path)
        write_new(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _problem(about, error) from error
    finally:
        with suppress(OSError):  # after a success there is none
            os.unlink(temporary)


def check_writable(folder):
    """Make `folder` if it is missing, prove that a file can be written there, and return it as a `Path`.

    Temporary files that a killed process left there more than an hour ago are removed. Raises `FileError`.
    """
    folder = _as_path(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        _remove_stale(folder)
        probe = folder / TEMPORARY.format(secrets.token_hex(TOKEN_BYTES))
        try:
            write_new(probe, b"minnet was here")
        finally:
            with suppress(OSError):
                os.unlink(probe)
    except FileExistsError as error:
        raise file_error(folder, "is a file, not a folder", fix="give another folder") from error
    except OSError as error:
        raise _problem(folder, error) from error
    return folder


@contextmanager
def file_errors(path):
    """Raise an OSError of the block as a `FileError` about `path`."""
    try:
        yield
    except OSError as error:
        raise _problem(path, error) from error


@contextmanager
def opened(path, about=None):
    """Open the regular file `path` for reading bytes; refuse a folder, pipe or device, without waiting for it.

    An OSError inside the block becomes a `FileError` too, about `path` or the path that is given instead.
    """
    path = _as_path(path)
    with file_errors(path if about is None else about), os.fdopen(_open_regular(path), "rb") as file:
        yield file


def read_bounded(path, limit, about=None):
    """Return all bytes of the regular file `path`, if they are no more than `limit`; else `FileError`."""
    with opened(path, about) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1) if size <= limit else b""  # what is asked for is set aside at once
        if size < len(data) <= limit:  # it grows meanwhile, or has no size, as in /proc
            data += file.read(limit + 1 - len(data))
        if max(size, len(data)) > limit:
            raise file_error(path, f"has {size:,} bytes; at most {limit:,} are read", fix="is it the right file?")
    return data


def file_digest(path):
    """Return the SHA-256 digest of a file's content, by which it is known again under any name."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sniff(path):
    """Return what `path` holds, told by its content alone: a key of `KINDS`."""
    with opened(path) as file:
        head = file.read(HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        if head.startswith(b"PK"):
            return _sniff_zip(file)
    for kind, matches in SIGNATURES.items():
        if matches(head, size):
            return kind
    return "unknown"


def _as_path(path):
    """Return `path` as a `Path`, if a file can have this name at all."""
    try:
        name = os.fsencode(path)
    except TypeError as error:
        raise InvalidType(f"{quoted(repr(path))} is no path: give a string or a Path") from error
    except UnicodeEncodeError:
        name = b"\0"
    if b"\0" in name:
        raise file_error(path, "no file can have this name", fix="check the name")
    return Path(os.fsdecode(name))


def _open_regular(path):
    """Open the regular file `path` for reading; O_NONBLOCK, since opening a pipe would wait for its writer."""
    descriptor = os.open(path, FROM_FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise file_error(path, "is no regular file", fix="give a file, not a folder, pipe or device")
    return descriptor


def bytes_of(content):
    """Return `content` if it is bytes; else the bytes that the function `content` writes to a file in memory."""
    if isinstance(content, bytes | bytearray | memoryview):
        return content
    file = io.BytesIO()
    content(file)
    return file.getbuffer()


def write_new(path, data):
    """Write `data` to the new file `path` and wait until the disk has it; raises OSError."""
    descriptor = os.open(path, TO_NEW_FILE, MODE)
    try:
        view = memoryview(data).cast("B")
        while len(view):
            view = view[os.write(descriptor, view):]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_special(path):
    """Refuse to replace a folder, pipe or device by a file."""
    if path.exists() and not path.is_file():
        raise file_error(path, "is no regular file", fix="give the name of a file")


def sync_folder(folder):
    """Wait until the disk has the folder's entries too; some file systems cannot, and need not. Raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _remove_stale(folder):
    for path in folder.glob(TEMPORARY.format("*")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()


def _problem(path, error):
    """Return `error` as a `FileError` about `path`."""
    if isinstance(error, FileError):
        return error
    what = (error.strerror or str(error) or type(error).__name__).lower()
    return file_error(path, what, fix=HINTS.get(error.errno, OTHER_HINT))


def _sniff_zip(file):
    """Return what a zip archive is, by the names in it."""
    try:
        names = zipfile.ZipFile(file).namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeError):
        return "zip"
    if any(name.endswith("data.pkl") for name in names):
        return "pickle"
    if "model.weights.h5" in names:
        return "keras"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "zip"


def _is_safetensors(head, size):
    length = int.from_bytes(head[:SAFETENSORS_HEAD], "little")
    return head[SAFETENSORS_HEAD:].startswith(b"{") and SAFETENSORS_HEAD + length <= size


def _is_idx(head, _):
    """Test for two zero bytes, a code for the dtype, and the number of dimensions (see readers.py)."""
    return len(head) > 3 and head[:2] == b"\0\0" and head[2] in b"\x08\x09\x0b\x0c\x0d\x0e" and head[3] > 0


def _is_onnx(head, _):
    """Test for protobuf with a small version of the format in field 1, then the field of a string or of the graph."""
    return len(head) > 2 and head[0] == 0x08 and head[1] < 0x20 and head[2] in b"\x12\x1a\x22\x28\x32\x3a\x42"


def _is_text(head, _):
    """Test for UTF-8 without control characters; the last character may be cut off."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) - error.start >= LONGEST_CHARACTER or len(head) < HEAD_BYTES:
            return False
        text = head[: error.start].decode()
    return not any(ord(c) < ord(" ") and c not in "\t\n\r\f" for c in text)


# what a file may be, in words for a message: f"{path} is {KINDS[kind]}"
KINDS = {
    "empty": "empty",
    "safetensors": "a safetensors file",
    "onnx": "an ONNX model",
    "hdf5": "an HDF5 file",
    "keras": "a Keras archive",
    "npz": "a NumPy archive",
    "npy": "a NumPy array",
    "idx": "an IDX array",
    "pickle": "a Python pickle, as PyTorch and joblib write",
    "zip": "a zip archive",
    "gzip": "compressed by gzip",
    "html": "a web page",
    "utf-16": "text in UTF-16",
    "text": "a text file",
    "unknown": "of an unknown format",
}

# in this order: a later test may hold for an earlier kind too
SIGNATURES = {
    "empty": lambda head, size: not head,
    "safetensors": _is_safetensors,
    "hdf5": lambda head, size: head.startswith(b"\x89HDF\r\n\x1a\n"),
    "npy": lambda head, size: head.startswith(b"\x93NUMPY"),
    "gzip": lambda head, size: head.startswith(b"\x1f\x8b"),
    "pickle": lambda head, size: head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"),
    "idx": _is_idx,
    "onnx": _is_onnx,
    "html": lambda head, size: head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")),
    "utf-16": lambda head, size: head.startswith((b"\xff\xfe", b"\xfe\xff")),
    "text": _is_text,
}

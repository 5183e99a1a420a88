"""The decorator that compiles every kernel, and the folder where compiled kernels are kept between processes.

    @kernel
    def add(x, y, out):
        for i in range(out.size):
            out[i] = x[i] + y[i]

Numba has a cache of its own. It is not used, because it loads stale code when a kernel that another one calls is
edited, ignores most of Numba's settings, fails the call when a file in it is damaged or the disk is full, and crashes
the process when a bit in a file has flipped. Here a file holds a digest of its content, is dropped when that is wrong,
and is in a folder whose name depends on all that the code depends on. Where no folder is writable nothing is kept.
"""

import hashlib
import os
import pickle
import stat
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

# NaN and infinity stay visible (no "nnan", "ninf") and so does the sign of zero (no "nsz").
FASTMATH = {"reassoc", "contract", "arcp"}

# The settings of Numba that change the code it makes.
SETTINGS = (
    "BOUNDSCHECK",
    "CPU_FEATURES",
    "CPU_NAME",
    "DEBUGINFO_DEFAULT",
    "DISABLE_INTEL_SVML",
    "DISABLE_JIT",
    "ENABLE_AVX",
    "ENABLE_PROFILING",
    "EXTEND_VARIABLE_LIFETIMES",
    "LLVM_REFPRUNE_FLAGS",
    "LLVM_REFPRUNE_PASS",
    "LOOP_VECTORIZE",
    "OPT",
    "SLP_VECTORIZE",
    "USING_SVML",
)

# What unpickling raises where a class that the code names is no longer there, or is another.
OUTDATED = (AttributeError, ImportError, TypeError, ValueError, pickle.UnpicklingError)

KERNELS = Path(__file__).parent
DIGEST_BYTES = hashlib.sha256().digest_size
NAME_CHARACTERS = 16  # of a hash, in the name of a file or folder
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def kernel(function):
    """Compile `function` with Numba at its first call with arrays of new types, or load what was compiled before.

    The compiled function runs without the interpreter's lock, divides by zero as NumPy does, and may reorder sums.
    With NUMBA_DISABLE_JIT=1 the function stays as it is. Either way it gets the attribute `is_kernel`.
    """
    with suppress(OSError):  # now, not at the first call: sources that are edited in between are not what is compiled
        sources_digest(sources_of(Path(function.__code__.co_filename)))
    compiled = numba.njit(nogil=True, error_model="numpy", fastmath=FASTMATH)(function)
    if compiled is not function:
        compiled._cache = KernelCache(function)
    compiled.is_kernel = True
    return compiled


class KernelCache(NullCache):
    """Numba's cache of one kernel: asked for compiled code before it compiles, and given it afterwards.

    A file per combination of argument types: the digest of what follows, then the pickled code. Only files in a folder
    that belongs to the user alone are read, since unpickling runs code.
    """

    def __init__(self, function):
        self.function = function

    @property
    def cache_path(self):
        """Return the folder of the compiled kernels, or None."""
        return code_folder(sources_of(Path(self.function.__code__.co_filename)))

    def load_overload(self, sig, target_context):
        """Return the compiled code for argument types `sig`, or None; a damaged file is deleted."""
        target_context.refresh()
        path = self.file(sig, target_context.codegen())
        payload = read_checked(path) if path else None
        if payload is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(payload))
        except OUTDATED:
            return None  # compiled again, and written over by `save_overload`

    def save_overload(self, sig, cres):
        """Keep the compiled code, if there is a folder for it."""
        path = self.file(sig, cres.codegen)
        if path and not cres.library.has_dynamic_globals:
            write_checked(path, dumps(cres._reduce()))

    def file(self, sig, codegen):
        """Return the path of the file for argument types `sig` on this processor, or None without a folder."""
        folder = self.cache_path
        key = repr((self.function.__module__, sig, codegen.magic_tuple()))
        return folder and folder / f"{self.function.__qualname__}-{short_hash(key.encode())}.code"


def read_checked(path):
    """Return the content of a file written by `write_checked`, or None; a damaged file is deleted."""
    try:
        content = path.read_bytes()
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if digest == hashlib.sha256(payload).digest():
            return payload
        path.unlink()
    except OSError:  # there is none, or it cannot be read: the kernel is compiled again
        pass
    return None


def write_checked(path, payload):
    """Write digest and `payload`, whole or not at all; a full disk costs the file and nothing else."""
    written = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix="new-", delete=False) as file:
            written = file.name
            file.write(hashlib.sha256(payload).digest() + payload)
        os.replace(written, path)
        written = None
    except OSError:  # the next process compiles again
        pass
    finally:
        if written is not None:
            Path(written).unlink(missing_ok=True)


def sources_of(path):
    """Return the folder whose sources decide the code of kernels in the file `path`: minnet/kernels, or its own."""
    return KERNELS if KERNELS in path.parents else path.parent


@cache
def code_folder(sources):
    """Return the folder for code compiled from the Python files below `sources`; None if none is to be had.

    It is below the user's cache folder, belongs to the user, and only the user may write there.
    """
    try:
        folder = user_cache() / "minnet" / f"kernels-{code_key(sources)}"
        folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        facts = folder.lstat()
        with tempfile.TemporaryFile(dir=folder):  # a folder on a disk mounted read-only says it is writable
            pass
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return None
    if not stat.S_ISDIR(facts.st_mode):
        return None
    if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & OTHERS_MAY_WRITE):
        return None
    return folder


def user_cache():
    """Return the cache folder of the user, by the conventions of the system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".cache"


def code_key(sources):
    """Return a short hash of all that compiled code depends on: sources, versions, processor, Numba's settings."""
    parts = [sys.version, numba.__version__, llvmlite.__version__, np.__version__]
    parts += [llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_process_triple()]
    parts += [f"{name}={getattr(numba.config, name, None)!r}" for name in SETTINGS]
    return short_hash("\n".join(parts).encode() + sources_digest(sources))


@cache
def sources_digest(sources):
    """Return the SHA-256 of the Python files below `sources`, as they are at the first call of this process."""
    digest = hashlib.sha256()
    for path in sorted(sources.rglob("*.py")):
        digest.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()


def short_hash(data):
    """Return the first characters of the SHA-256 of `data`, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()[:NAME_CHARACTERS]

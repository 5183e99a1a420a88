"""Real kills and full disks while a command replaces what an older one wrote: what is in the folder then.

    python -m bench faults                         # 40 kills and six sizes of disk for each command; some minutes
    python -m bench.faults --only prune --kills 100

Each kill (SIGKILL) comes just before a call of the system that changes the folder, half-way through it if it writes:
one run of the command for each of 40 calls that are spread over all of them, or for every call where there are fewer. A
full disk is a small file system in memory, where the user may mount one; a limit on the size of files is a second kind
of fault. The folder is then read by its plain names alone, without minnet, and compared with two whole runs: the old
one, byte for byte, and the new one, byte for byte but for times: its result must name the digests of the models beside
it and the seed, and the page must be that of this result. All else is mixed, or lost where a file is missing. At last,
`minnet inspect`, `evaluate` and `report` have to read what was found, to leave plain files, and to keep the run or
finish the new one; and where a command stores its stages, in a folder `stages`, the same command with `--resume` has to
end in the new run, without that folder. A `.minnet-*.tmp` may stay for an hour: it was written to see whether the
folder can be written to.
"""
import argparse
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout, suppress
from fnmatch import fnmatch
from pathlib import Path

from minnet.cli import main as minnet
from minnet.cli.options import STAGES
from minnet.files import TEMPORARY
from minnet.report.page import page
from minnet.study.folder import DENSE_MODEL, MODEL, PAGE, RESULT, UNFINISHED

NOTE = "notes.txt"  # of the user
KILLS, SIZES, BLOCK = 40, 6, 4096
SPARE = 4 * BLOCK  # a result that is longer, and the file that is written to see whether one can be
STAGED = 3  # the stages of a run, with two vectors of its optimizer, beside its files
QUICK = {"kills": 3, "sizes": 1, "only": ["export"]}
FIRST = ("open", "mkdir", "unlink", "rmdir", "write", "fsync")  # calls whose first argument is what they change
SECOND = ("symlink", "link", "replace", "rename")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
MOUNT = ["unshare", "-rm", "sh", "-c"]
ON_SMALL_DISK = ('mount -t tmpfs -o size="$SIZE" none "$DISK" && cp -a "$OLD/." "$DISK" || exit 99; '
                 '"$@"; code=$?; cp -a "$DISK/." "$FOUND"; exit $code')
RESUMED = ("prune", "train")  # commands that have --resume
OUTCOMES = ("old run", "new run", "mixed", "lost", "not at rest")
PRUNE = "prune digits --model mlp --epochs 1 --quiet"
CASES = {  # what is measured: (commands that write what is old, command that is killed)
    "prune": ([f"{PRUNE} --seed 0"], f"{PRUNE} --seed 1"),
    "prune, after prune of an ONNX file": (["prune {onnx} --data digits --epochs 1 --quiet"], f"{PRUNE} --seed 1"),
    "train": ([f"{PRUNE} --seed 0"], "train digits --model mlp --epochs 1 --seed 1 --quiet"),
    "import": ([f"{PRUNE} --seed 0"], "import {onnx} --quiet"),
    "export": ([f"{PRUNE} --seed 0", "export {model} --to onnx --quiet"], "export {other} --to onnx --quiet"),
    "sensitivity": ([f"{PRUNE} --seed 0", "sensitivity {model} --data digits --sparsity 0.5 --quiet"],
                    "sensitivity {other} --data digits --sparsity 0.5 --sparsity 0.9 --quiet"),
}


def arguments(command, out, inputs):
    """The arguments of a command of CASES."""
    return [*(word.format(**inputs) for word in command.split()), "--out", str(out)]


def run(argv, before=None, after=None):
    """The exit code of `minnet ARGV` in a process of its own, a copy of this one, which calls `before` and `after`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        made = before() if before else None
        code = minnet(argv)
        if after:
            after(made)
    finally:
        os._exit(code)


def done(argv):
    """Run a command that has to succeed, in this process, so that its copies need not load and compile it again."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as errors:
        code = minnet(argv)
    if code:
        raise SystemExit(f"`minnet {' '.join(argv)}` ended with exit code {code}: {errors.getvalue()}")


def watch(folder, kill_at=0):
    """Count the calls of `os` that change something in `folder`, and end this process at number `kill_at`."""
    state = {"calls": 0, "open": set()}
    for name in (*FIRST, *SECOND):
        setattr(os, name, watched(name, getattr(os, name), os.path.abspath(folder), state, kill_at))
    return state


def watched(name, call, folder, state, kill_at):
    """`call`, counted."""
    def wrapped(*args, **kwargs):
        about = args[name in SECOND]
        ours = "dir_fd" in kwargs or about in state["open"] if isinstance(about, int) else (
            kwargs.get("dir_fd") is not None or os.path.abspath(about).startswith(folder))
        changes = bool(ours and (name != "open" or args[1] & WRITES))
        state["calls"] += changes
        if changes and state["calls"] == kill_at:
            if name == "write":
                call(args[0], args[1][: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*args, **kwargs)
        if name == "open":
            (state["open"].add if ours else state["open"].discard)(result)
        return result
    return wrapped


def contents(folder):
    """{name: bytes} of the files, as a reader finds them who knows nothing of minnet."""
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if path.is_file() and not fnmatch(path.name, TEMPORARY.format("*"))}


def outcome(found, old, new):
    """One of OUTCOMES; `old` and `new` are two whole runs."""
    if found == old:
        return "old run"
    try:
        if found.keys() == new.keys() and all(is_whole(name, found, new) for name in new):
            return "new run"
    except (ValueError, LookupError):
        return "lost"
    return "mixed" if found.keys() >= old.keys() & new.keys() else "lost"


def is_whole(name, found, new):
    """Whether a file is that of the new run, which takes other times than another with the same seed."""
    if name not in (RESULT, PAGE) or found[name] == new[name]:
        return found[name] == new[name]
    result = json.loads(found[RESULT])
    if name == PAGE:
        return found[PAGE] == page(result).encode()
    fits = all(hashlib.sha256(found[model]).hexdigest() == result["sha256"][model] for model in (MODEL, DENSE_MODEL))
    return fits and result["seed"] == json.loads(new[RESULT])["seed"]


def is_plain(path):
    """Whether a path is a file, or the folder of the stages of a run that was stopped, which has nothing but files."""
    return not path.is_symlink() and (path.is_file() or (path.name == STAGES and all(map(is_plain, path.iterdir()))))


def is_at_rest(folder, old, new, again):
    """Whether the next commands read what is there, leave plain files, keep the run; and `again` ends in the new."""
    before = outcome(contents(folder), old, new)
    read = run(["inspect", str(folder / MODEL)]) + run(["evaluate", str(folder / MODEL), "--data", "digits"])
    has_result = (folder / RESULT).exists()
    reported = run(["report", str(folder)])  # which needs a result, and finishes or undoes a change without one too
    plain = all(map(is_plain, folder.iterdir()))
    kept = outcome(contents(folder), old, new) in (before, "new run")
    finished = run(again) == 0 and outcome(contents(folder), old, new) == "new run" and not (folder / STAGES).exists()
    return read == 0 and (reported == 0) == has_result and plain and kept and finished


def copied(old, folder):
    """`folder`, holding what `old` holds."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(old, folder)
    return folder


def kills(n, old, argv, folder):
    """Yield what is done before each of n kills of the command; `folder` is what is found after it."""
    count = folder.with_name("calls")
    run(argv, lambda: watch(copied(old, folder)), lambda state: count.write_text(str(state["calls"])))
    calls = int(count.read_text())
    for at in sorted({1 + round(i * (calls - 1) / max(1, n - 1)) for i in range(n)}):
        copied(old, folder)
        if run(argv, lambda at=at: watch(folder, at)) != -signal.SIGKILL:
            raise SystemExit(f"`minnet {' '.join(argv)}` was not killed at call {at} of {calls}")
        yield f"call {at} of {calls}"


def pages(folder):
    """The bytes that files take on a disk."""
    return sum(-(-len(data) // BLOCK) * BLOCK for data in contents(folder).values())


def can_mount():
    """Whether a small file system may be mounted here, in a namespace of its own."""
    with tempfile.TemporaryDirectory() as place:
        argv = [*MOUNT, 'mount -t tmpfs none "$1"', "sh", place]
        return shutil.which("unshare") is not None and subprocess.run(argv, capture_output=True).returncode == 0


def full_disks(n, old, argv, folder):
    """Yield the bytes left on each of n small file systems; `folder` is what is found there."""
    disk = folder.with_name("disk")
    disk.mkdir(exist_ok=True)
    room = STAGED * pages(folder.with_name("new")) + SPARE
    argv = [str(disk) if word == str(folder) else word for word in argv]
    for left in (room * i // max(1, n - 1) for i in range(n)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        size = pages(old) + left // BLOCK * BLOCK
        environment = os.environ | {"SIZE": str(size), "OLD": str(old), "DISK": str(disk), "FOUND": str(folder)}
        ended = subprocess.run([*MOUNT, ON_SMALL_DISK, "sh", sys.executable, "-m", "minnet", *argv], env=environment,
                               capture_output=True)
        yield f"{left:,} bytes left: exit code {ended.returncode}"


def limits_on_files(n, old, argv, folder):
    """Yield each of n limits on the size of files; `folder` is what is found after the command."""
    largest = STAGED * max(map(len, contents(folder.with_name("new")).values())) + SPARE
    for limit in (largest * i // max(1, n - 1) for i in range(n)):
        copied(old, folder)
        code = run(argv, lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        yield f"files of at most {limit:,} bytes: exit code {code}"


def measure(case, faults, n, place, inputs):
    """Count the outcomes of n faults in one of CASES, and print each."""
    old, new, folder = (place / name for name in ("old", "new", "out"))
    befores, command = CASES[case]
    for path in (old, new):
        shutil.rmtree(path, ignore_errors=True)
    for before in befores:
        done(arguments(before, folder, inputs))
    (folder / NOTE).write_text("the user's")
    shutil.move(folder, old)
    argv = arguments(command, copied(old, folder), inputs)
    done(argv)
    done(["evaluate", str(folder / MODEL), "--data", "digits"])
    shutil.move(folder, new)
    counts, wanted = Counter(), (contents(old), contents(new))
    again = argv + ["--resume"] * (argv[0] in RESUMED)
    for fault in faults(n, old, argv, folder):
        with suppress(FileNotFoundError):
            os.unlink(folder / UNFINISHED)  # what a full disk kept of a trained model
        found, at_rest = outcome(contents(folder), *wanted), is_at_rest(folder, *wanted, again)
        counts.update(("faults", found, *([] if at_rest else ["not at rest"])))
        print(f"  {case}: {fault}: {found}{'' if at_rest else ', not at rest'}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return counts


def row(case, faults, counts):
    """One row of the table."""
    cells = (case, f"{counts['faults']} {faults.__name__.replace('_', ' ')}", *(counts[name] for name in OUTCOMES))
    return f"| {' | '.join(map(str, cells))} |"


def inputs_in(place):
    """Three models that commands take, by the names that CASES has for them."""
    for seed, name in enumerate(("first", "second")):
        done(["train", "digits", "--model", "mlp", "--epochs", "1", "--seed", str(seed), "--out", str(place / name)])
    done(["export", str(place / "first" / MODEL), "--to", "onnx", "--out", str(place / "first")])
    return {"model": place / "first" / MODEL, "other": place / "second" / MODEL, "onnx": place / "first/model.onnx"}


def main(argv=(), quick=False):
    """Run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--sizes", type=int, default=SIZES)
    parser.add_argument("--only", action="append", choices=CASES)
    parser.set_defaults(**QUICK if quick else {})
    options = parser.parse_args(argv)
    os.environ["MINNET_NUM_THREADS"] = "1"  # a process with threads cannot be copied
    rows, kinds = [], {kills: options.kills, limits_on_files: options.sizes}
    if can_mount():
        kinds[full_disks] = options.sizes
    with tempfile.TemporaryDirectory() as place:
        inputs = inputs_in(Path(place))
        for case in options.only or CASES:
            rows += [row(case, faults, measure(case, faults, n, Path(place), inputs)) for faults, n in kinds.items()]
    heads = "| command | faults | old run | new run | mixed | lost | not at rest after the next commands |"
    print("\n".join(["", heads, "|---" * 7 + "|", *rows]))


if __name__ == "__main__":
    main(sys.argv[1:])

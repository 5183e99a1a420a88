"""Faults beside kills and full disks of one command: what the command says, what is left, and what goes on from it.

    python -m bench.other_faults                # some minutes; prints a table
    python -m bench.other_faults --only "two runs in one folder"

Each row is a real command in processes of its own, on digits. A sweep that lost a process is run again by the same
command, and has to end with the table of one that nothing happened to, byte for byte.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from minnet.study.folder import DENSE_MODEL, MODEL, RESULT

SWEEP = ("compare", "digits", "--model", "mlp", "--epochs", "1", "--criteria", "magnitude,random", "--sparsities",
         "0.5", "--seeds", "2", "--quiet")
PRUNE = ("prune", "digits", "--model", "mlp", "--epochs", "2", "--quiet")


def started(*words, **environment):
    """A command in a process group of its own."""
    return subprocess.Popen([sys.executable, "-m", "minnet", *map(str, words)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, start_new_session=True,
                            env=os.environ | {"MINNET_NUM_THREADS": "1"} | environment)


def ended(process):
    """The exit code, and the lines of standard error."""
    _, errors = process.communicate()
    return process.returncode, errors.strip().splitlines()


def said(process):
    """The exit code, and the last line, without which nobody knows what to do."""
    code, lines = ended(process)
    traceback = any(line.startswith("Traceback") for line in lines)
    return f"exit code {code}{', with a traceback' if traceback else ''}: {lines[-1][-160:] if lines else 'no word'}"


def swept(out):
    """What a finished sweep found, without the command, in which its folder is."""
    record = json.loads((out / "sweep.json").read_text())
    record.pop("command", None)
    return record, (out / "cells.csv").read_bytes()


def whole(folder):
    """Whether the models in a folder are those of its result."""
    result = json.loads((folder / RESULT).read_text())
    return all(sha256((folder / name).read_bytes()).hexdigest() == result["sha256"][name]
               for name in (MODEL, DENSE_MODEL))


def children(pid):
    """The processes that a process started, of all generations."""
    found = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return found + [inner for child in found for inner in children(child)]


def killed_worker(place):
    """kill -9 of one of the processes that a sweep started."""
    plain, out = place / "plain", place / "out"
    ended(started(*SWEEP, "--jobs", "1", "--out", plain))
    process, victims = started(*SWEEP, "--jobs", "2", "--out", out), []
    while process.poll() is None and not victims:
        time.sleep(0.2)
        victims = [pid for pid in children(process.pid) if b"loky" in Path(f"/proc/{pid}/cmdline").read_bytes()
                   and b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    if victims:
        os.kill(victims[-1], signal.SIGKILL)
    words = said(process)
    ended(started(*SWEEP, "--jobs", "1", "--out", out))
    return f"{words}; the same command ends with the same table: {swept(out) == swept(plain)}"


def read_only_folder(place):
    """A folder in which nobody may write: of the system, since the user may be root."""
    start = time.monotonic()
    words = said(started(*PRUNE, "--out", "/proc/minnet-out"))
    return f"after {time.monotonic() - start:.0f} s, before training: {words}"


def vanishing_folder(place):
    """The folder is removed while the command trains."""
    out = place / "out"
    process = started(*PRUNE, "--out", out)
    while process.poll() is None and not out.exists():
        time.sleep(0.05)
    shutil.rmtree(out, ignore_errors=True)
    words = said(process)
    return f"{words}; a whole run is there: {(out / RESULT).exists() and whole(out)}"


def two_runs(place):
    """Two commands write to one folder at the same time."""
    out = place / "out"
    both = [started(*PRUNE, "--seed", seed, "--out", out) for seed in (0, 1)]
    words = "; ".join(map(said, both))
    return f"{words}; the folder has one whole run: {whole(out)}"


def two_sweeps(place):
    """A second sweep begins in the folder of one that is running."""
    out = place / "out"
    first = started(*SWEEP, "--jobs", "1", "--out", out)
    while first.poll() is None and not (out / ".minnet-sweep").exists():
        time.sleep(0.05)
    words = said(started(*SWEEP, "--jobs", "1", "--out", out))
    return f"the second: {words}; the first: exit code {ended(first)[0]}"


FAULTS = {"a worker of a sweep is killed": killed_worker, "a folder that may not be written to": read_only_folder,
          "the folder vanishes": vanishing_folder, "two runs in one folder": two_runs,
          "two sweeps in one folder": two_sweeps}


def main(argv=()):
    """Run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.other_faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=FAULTS)
    options = parser.parse_args(argv)
    print("| fault | what came of it |\n|---|---|", flush=True)
    for name in options.only or FAULTS:
        with tempfile.TemporaryDirectory() as place:
            print(f"| {name} | {FAULTS[name](Path(place)).replace(place, '')} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

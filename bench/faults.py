"""Real kills and full disks while `minnet prune digits --epochs 1` replaces an older run: what is in the folder then.

    python -m bench.faults                         # 40 kills, six sizes of disk; a few minutes
    python -m bench.faults --kills 100

Each kill (SIGKILL) comes at a random moment between the first byte that is written to the folder and the time that a
whole change takes. A full disk is a small file system in memory, where the user may mount one, else a limit on the size
of files. The folder is then read by its plain names alone, without minnet: the old run is its four files, byte for
byte; the new one is a result of the new seed, both models with the digests that the result names, and the page of this
result. All else is lost or mixed. At last a minnet command has to make plain files of what a kill left behind.
"""
import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from minnet.report.page import page
from minnet.study.folder import DENSE_MODEL, MODEL, PAGE, RESULT, UNFINISHED
from minnet.study.transaction import CHANGE

NAMES = (MODEL, DENSE_MODEL, RESULT, PAGE)
NOTE = "notes.txt"  # of the user
KILLS, SIZES, BLOCK = 40, 6, 4096
SPARE = 4 * BLOCK  # a result that is longer, and the file that is written to see whether one can be
REST = 0.0002  # seconds between two looks
MOUNT = ["unshare", "-rm", "sh", "-c"]
ON_SMALL_DISK = ('mount -t tmpfs -o size="$SIZE" none "$DISK" && cp -a "$OLD/." "$DISK" || exit 99; '
                 '"$@"; code=$?; cp -a "$DISK/." "$FOUND"; exit $code')
OUTCOMES = ("old run", "new run", "mixed", "lost")


def command(seed, out):
    """The arguments of a run."""
    return [sys.executable, "-m", "minnet", "prune", "digits", "--epochs", "1", "--seed", str(seed), "--quiet",
            "--out", str(out)]


def start(argv, **more):
    """A process whose output is nobody's."""
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def contents(folder):
    """{name: bytes} of the four files and the user's, as a reader finds them."""
    return {name: (folder / name).read_bytes() for name in (*NAMES, NOTE) if (folder / name).is_file()}


def outcome(folder, old, seed):
    """One of OUTCOMES."""
    found = contents(folder)
    if found == old:
        return "old run"
    if found.keys() != old.keys() or found[NOTE] != old[NOTE]:
        return "lost"
    result = json.loads(found[RESULT])
    fits = all(hashlib.sha256(found[name]).hexdigest() == result["sha256"][name] for name in (MODEL, DENSE_MODEL))
    return "new run" if fits and result["seed"] == seed and found[PAGE] == page(result).encode() else "mixed"


def is_at_rest(folder):
    """Whether the next command leaves plain files only, and what is read stays what it was."""
    before = contents(folder)
    subprocess.run([sys.executable, "-m", "minnet", "report", str(folder)], check=True, capture_output=True)
    plain = {path.name for path in folder.iterdir() if not path.is_symlink()}
    return contents(folder) == before and plain == {*NAMES, NOTE}


def wait_for(path, process):
    """Wait until `path` exists; False if the process ended before."""
    while not os.path.lexists(path):
        if process.poll() is not None:
            return False
        time.sleep(REST)
    return True


def copied(old, folder):
    """`folder`, holding what `old` holds."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(old, folder)
    return folder


def seconds_of_a_change(old, folder):
    """How long `.minnet-change` exists in a run that is left alone."""
    with start(command(1, copied(old, folder))) as process:
        wait_for(folder / CHANGE, process)
        begun = time.perf_counter()
        while os.path.lexists(folder / CHANGE):
            time.sleep(REST)
        return time.perf_counter() - begun


def kill_at_random(old, folder, n, rng):
    """Count the outcomes of n kills, and of the commands after them."""
    counts, kept = Counter(), contents(old)
    longest = seconds_of_a_change(old, folder)
    while sum(counts[name] for name in OUTCOMES) < n:
        with start(command(1, copied(old, folder))) as process:
            if not wait_for(folder / CHANGE, process):
                raise SystemExit("a run ended without a change: does `minnet prune digits --epochs 1` work here?")
            time.sleep(rng.uniform(0, longest))
            process.send_signal(signal.SIGKILL)
        found = outcome(folder, kept, 1)
        counts[found] += 1
        print(f"  kill {sum(counts[name] for name in OUTCOMES)}: {found}", flush=True)
        counts["in a change"] += os.path.lexists(folder / CHANGE)
        counts["not at rest"] += not is_at_rest(folder)
    return counts, longest


def can_mount():
    """Whether a small file system may be mounted here, in a namespace of its own."""
    with tempfile.TemporaryDirectory() as place:
        argv = [*MOUNT, 'mount -t tmpfs none "$1"', "sh", place]
        return shutil.which("unshare") is not None and subprocess.run(argv, capture_output=True).returncode == 0


def pages(files):
    """The bytes that files take on a disk."""
    return sum(-(-len(data) // BLOCK) * BLOCK for data in files.values())


def small_disks(old, new, folder):
    """Yield (bytes left on the disk, exit code) of runs on six small file systems; `folder` is what is found there."""
    disk = folder.with_name("disk")
    disk.mkdir()
    room = pages(contents(new)) + SPARE
    for left in (room * i // (SIZES - 1) for i in range(SIZES)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        size = pages(contents(old)) + left // BLOCK * BLOCK
        environment = os.environ | {"SIZE": str(size), "OLD": str(old), "DISK": str(disk), "FOUND": str(folder)}
        with start([*MOUNT, ON_SMALL_DISK, "sh", *command(1, disk)], env=environment) as process:
            pass
        yield left, process.returncode


def limits_on_files(old, new, folder):
    """Yield (largest file allowed, exit code) of runs under six limits; `folder` is what is found there."""
    largest = max(map(len, contents(new).values()))
    for limit in (largest * i // (SIZES - 1) for i in range(SIZES)):
        copied(old, folder)
        bounded = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        with start(command(1, folder), preexec_fn=bounded) as process:
            pass
        yield limit, process.returncode


def fill(faults, old, new, folder):
    """Count the outcomes of the runs in `faults`, and print each."""
    counts = Counter()
    for size, code in faults(old, new, folder):
        found = outcome(folder, contents(old), 1)
        counts[found] += 1
        counts["not at rest"] += {path.name for path in folder.iterdir()} - {UNFINISHED} != {*NAMES, NOTE}
        print(f"  {faults.__name__}: {size:,} bytes, exit code {code}: {found}", flush=True)
    return counts


def row(name, counts):
    """One row of the table."""
    return " | ".join(["", name, *(str(counts[outcome]) for outcome in (*OUTCOMES, "not at rest")), ""]).strip()


def main(argv=None):
    """Run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(argv)
    os.environ["MINNET_NUM_THREADS"] = "1"  # threads that wait for each other take long where other processes run
    with tempfile.TemporaryDirectory() as place:
        old, new, folder = (Path(place) / name for name in ("old", "new", "out"))
        for seed, path in enumerate((old, new)):
            subprocess.run(command(seed, path), check=True, capture_output=True)
            (path / NOTE).write_text("the user's")
        killed, longest = kill_at_random(old, folder, options.kills, random.Random(options.seed))
        rows = [row(f"{options.kills} kills within {longest * 1e3:.0f} ms", killed)]
        print(f"  {killed['in a change']} of the kills left a change to be finished", flush=True)
        for faults in ([small_disks] if can_mount() else []) + [limits_on_files]:
            rows.append(row(f"{SIZES} {faults.__name__.replace('_', ' ')}", fill(faults, old, new, folder)))
    print("\n".join(["", "| fault | old run | new run | mixed | lost | not plain files after the next command |",
                     "|---|---|---|---|---|---|", *rows]))


if __name__ == "__main__":
    main()

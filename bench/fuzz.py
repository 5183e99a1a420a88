"""Files changed at random, for every reader: each is read whole or refused by a MinnetError in one line.

    python -m bench fuzz                                # 50,000 cases; a quarter of an hour
    python -m bench.fuzz --cases 500 --seed 3
    python -m bench.fuzz --only ONNX --case 1234        # one case again, with its traceback

A case is a number: with the seed it decides the reader, the valid file that is changed, and the changes. It fails if
another exception is raised, the process crashes, it takes more than 5 s, or the memory in use grows by more than 4
times the file and 64 MB. Cases run in a process with a limit on its address space; a case that ends it is reported by
its number and what ended it, and a case that takes too long counts if it does so again, alone. Nothing is stored.
"""
import argparse
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

CASES, SEED = 50_000, 0
SECONDS = 5.0           # of the processor that a case may take
ASLEEP = 60.0           # that it may take where it waits
STARTING = 900.0        # that the process may take before its first case
MOST_MEMORY = 4, 64 * 2**20  # times the file, and bytes
ADDRESSES = 4 * 2**30   # bytes of address space beside what the process has at the start
LONGEST_MESSAGE = 3000
OUTCOMES = ("read", "refused", "exception", "crash", "hang", "memory")
FAILURES = OUTCOMES[2:]


# --- the process that reads ------------------------------------------------------------------------------------------

def work(first, last, seed, only, step=1, show=False):
    """Run cases first, first + step, ... and print a line before and after each; in a process of its own."""
    from bench.fuzz_readers import readers_in

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "seeds").mkdir()
        readers = {name: reader for name, reader in readers_in(Path(place) / "seeds").items() if only in (None, name)}
        for name, reader in readers.items():
            # what is compiled or imported once is not of a case
            if not any(read(reader, files, Path(place)) == ("read", "") for files in reader.seeds):
                raise SystemExit(f"no valid file of {name} is read")
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if LINUX else 0
        if size:
            resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESSES,) * 2)
        for number in range(first, last, step):
            print(f"begin {number}", flush=True)
            print("\t".join(map(str, ("end", number, *run(readers, seed, number, Path(place), show)))), flush=True)


def run(readers, seed, number, place, show=False):
    """Run a case: return its reader, outcome, milliseconds, bytes of memory, and words."""
    import numpy as np

    from bench.mutations import mutated

    rng = np.random.default_rng([seed, number])
    weights = np.array([reader.weight for reader in readers.values()], float)
    name = list(readers)[int(rng.choice(len(readers), p=weights / weights.sum()))]
    reader = readers[name]
    files = dict(reader.seeds[int(rng.integers(len(reader.seeds)))])
    first = next(iter(files))
    files[first] = mutated(files[first], rng)
    before = peak(fresh=True)
    start = time.perf_counter()
    outcome, words = read(reader, files, place, show)
    seconds = time.perf_counter() - start
    used = max(0, peak() - before)
    if outcome in ("read", "refused") and used > MOST_MEMORY[0] * sum(map(len, files.values())) + MOST_MEMORY[1]:
        outcome = "memory"
    return name, outcome, round(1000 * seconds, 2), used, words


def read(reader, files, place, show=False):
    """Write the files, read them, and return the outcome and words about it."""
    from minnet.errors import MinnetError

    folder = place / "case"
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    try:
        reader.load(folder)
    except MinnetError as error:
        fits = str(error).isprintable() and len(str(error)) < LONGEST_MESSAGE
        if show:
            print(error)
        return ("refused", "") if fits else ("exception", f"a message that is no line: {str(error)[:200]!r}")
    except Exception as error:
        if show:
            traceback.print_exc()
        at = traceback.extract_tb(error.__traceback__)[-1]
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/minnet/" in frame.filename]
        where = f"{Path((ours or [at])[-1].filename).name}:{(ours or [at])[-1].lineno}"
        return "exception", f"{type(error).__name__} at {where}: {str(error)[:100]!r}"
    return "read", ""


def peak(fresh=False):
    """Return the most memory that this process had, in bytes; `fresh`: from now on."""
    if not LINUX:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if fresh:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text()
    return int(lines.partition("VmHWM:")[2].split()[0]) * 1024


LINUX = sys.platform == "linux"


# --- the process that counts -----------------------------------------------------------------------------------------

@dataclass
class Count:
    """What the cases of one reader gave."""

    outcomes: Counter = field(default_factory=Counter)
    slowest: float = 0.0
    memory: int = 0


def fuzz(cases=CASES, seed=SEED, only=None):
    """Run the cases and return {reader: Count} and the failures, [(number, reader, outcome, words), ...]."""
    counts, failures, first = {}, [], 0
    while first < cases:
        number = None
        for number, ending in watched(first, cases, seed, only):
            if ending[1] == "hang":
                (_, ending), = watched(number, number + 1, seed, only)
            name, outcome, milliseconds, memory, words = ending
            count = counts.setdefault(name, Count())
            count.outcomes[outcome] += 1
            count.slowest, count.memory = max(count.slowest, milliseconds), max(count.memory, memory)
            if outcome in FAILURES:
                failures.append((number, name, outcome, words))
                print(f"case {number}: {name}: {outcome}: {words}", flush=True)
            first = number + 1
            if first % 5000 == 0:
                print(f"{first} of {cases}", flush=True)
        if number is None:
            raise SystemExit("the process that reads did not begin")
        first = number + 1
    return counts, failures


def watched(first, last, seed, only):
    """Yield (number, what `run` returns) of cases, until the process that runs them ends or is ended."""
    argv = [sys.executable, "-m", "bench.fuzz", "--work", str(first), "--cases", str(last), "--seed", str(seed),
            *(["--only", only] if only else [])]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    try:
        current, patience = None, [STARTING]
        for line in lines_of(process, patience):
            word, _, rest = line.partition("\t") if line.startswith("end") else line.partition(" ")
            patience[0] = SECONDS
            if word == "begin":
                current = int(rest)
            elif word == "end":
                number, name, outcome, milliseconds, memory, words = rest.split("\t", 5)
                current = None
                yield int(number), (name, outcome, float(milliseconds), int(memory), words)
        hung = process.poll() is None and current is not None
        process.kill()
        code = process.wait()
        if current is not None:
            name = f"{only or reader_of(current, seed)}"
            yield current, (name, "hang" if hung else "crash", 1000 * SECONDS * hung, 0,
                            "more than 5 s" if hung else ended(code))
        elif code not in (0, -signal.SIGKILL):
            raise SystemExit(f"the process that reads {ended(code)} between two cases")
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def lines_of(process, patience):
    """Yield lines of the output until it ends, or none comes though the process had `patience[0]` s of the processor.

    On a machine that has much to do 5 s pass while a process gets a fraction of one.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        rest, used, since = b"", processor_seconds(process.pid), time.monotonic()
        while True:
            if not selector.select(1.0):
                waited = time.monotonic() - since
                if processor_seconds(process.pid) - used > patience[0] or waited > ASLEEP + patience[0]:
                    return
                continue
            used, since = processor_seconds(process.pid), time.monotonic()
            found = os.read(process.stdout.fileno(), 2**16)
            if not found:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(SECONDS)
                return
            *lines, rest = (rest + found).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)


def processor_seconds(pid):
    """Return the processor time of a process and of what it started and ended; infinite where the system tells none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("inf")
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def reader_of(number, seed):
    """Return the name of a case's reader."""
    import numpy as np

    from bench.fuzz_readers import readers_in

    with tempfile.TemporaryDirectory() as place:
        readers = readers_in(Path(place))
    weights = np.array([reader.weight for reader in readers.values()], float)
    return list(readers)[int(np.random.default_rng([seed, number]).choice(len(readers), p=weights / weights.sum()))]


def ended(code):
    """What ended a process."""
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def table(counts):
    """Return the table of the counts."""
    heads = ("reader", "cases", "read", "refused", "other exceptions", "crashes", "hangs", "too much memory",
             "slowest, ms", "most memory, MB")
    rows = [[name, sum(count.outcomes.values()), *(count.outcomes[outcome] for outcome in OUTCOMES),
             f"{count.slowest:.0f}", f"{count.memory / 1e6:.0f}"] for name, count in sorted(counts.items())]
    total = ["all", *(sum(row[i] for row in rows) for i in range(1, 8)), "", ""]
    lines = [f"| {' | '.join(map(str, row))} |" for row in (heads, *rows, total)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def main(argv=(), quick=False):
    """Run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=500 if quick else CASES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", metavar="READER")
    parser.add_argument("--case", type=int, help="this case alone, with its traceback")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.case is not None:
        work(options.case, options.case + 1, options.seed, options.only, show=True)
    elif options.work is not None:
        work(options.work, options.cases, options.seed, options.only)
    else:
        counts, failures = fuzz(options.cases, options.seed, options.only)
        print(f"\n{table(counts)}")
        raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main(sys.argv[1:])

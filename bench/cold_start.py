"""Cold starts: how long a new process takes until it is useful, with compiled kernels kept or without.

Each line is a process of its own, started by the Python that runs this. "The first time ever" has an empty cache
folder, so kernels are compiled and the machine's rates measured. The limit beside is a process that imports NumPy and
Numba, or does nothing.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Result, duration

ROUNDS, QUICK_ROUNDS = 5, 1
FIRST, AFTER = "the first time ever", "kernels compiled before"
PREDICT = """
import numpy as np
import minnet as mn
fast = mn.freeze(mn.load({path!r}))
fast.predict(np.zeros((1, *fast.input_shape), np.float32))
"""
WORK = (  # what, command, seconds at most with an empty cache, seconds at most after, the limit, what takes the rest
    ("import minnet", ["-c", "import minnet"], None, 0.5, "pass", "what minnet imports at once"),
    ("minnet prune digits", ["-m", "minnet", "prune", "digits", "--quiet", "--out", "{folder}"], 45.0, 10.0,
     "import numpy, numba", "compilation where the cache is empty, then training"),
    ("load, freeze and predict one row", ["-c", PREDICT], None, 1.5, "import numpy, numba", "reading kept kernels"),
)


def process_seconds(arguments, cache):
    """How long a new Python takes, its caches below the folder `cache`."""
    environment = dict(os.environ, XDG_CACHE_HOME=str(cache), HOME=str(cache), LOCALAPPDATA=str(cache))
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def result(work, times, target, limit, rest):
    """One line: against a time."""
    ours, ratios = statistics.median(times), sorted(target / t for t in times)
    quarter = len(ratios) // 4
    return Result(work, "the target", ours, target, statistics.median(ratios), ratios[quarter], ratios[-1 - quarter],
                  1.0, limit, f"it took {duration(ours)}; beyond the limit: {rest}")


def measure(quick=False):
    """Results for each kind of work, with an empty cache where that is asked, and with a full one."""
    rounds, results = QUICK_ROUNDS if quick else ROUNDS, []
    with tempfile.TemporaryDirectory() as folder:
        cache, path = Path(folder) / "cache", str(Path(folder) / "out" / "model.safetensors")
        for work, arguments, first, after, least, rest in WORK:
            bare = statistics.median(process_seconds(["-c", least], cache) for _ in range(rounds))
            arguments = [part.format(folder=Path(path).parent, path=path) for part in arguments]
            limit = f"{duration(bare)}: {'a process that does nothing' if least == 'pass' else least}"
            empty = process_seconds(arguments, cache)
            if first is not None:
                results.append(result(f"{work}, {FIRST}", [empty], first, limit, rest))
            times = [process_seconds(arguments, cache) for _ in range(rounds)]
            results.append(result(f"{work}, {AFTER}", times, after, limit, rest))
    return results

"""Cold starts: how long a new process takes until it is useful, with compiled kernels kept or without.

Each line is a process of its own, started by the Python that runs this. "The first time ever" has an empty cache
folder, so kernels are compiled and the machine's rates measured. Importing NumPy and Numba stands beside as the limit.
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
WORK = (  # what, command, seconds at most with an empty cache, seconds at most after, what nobody can be faster than
    ("import minnet", ["-c", "import minnet"], None, 0.5, ""),
    ("minnet prune digits", ["-m", "minnet", "prune", "digits", "--quiet", "--out", "{folder}"], 45.0, 10.0,
     "import numpy, numba"),
    ("load, freeze and predict one row", ["-c", PREDICT], None, 1.5, "import numpy, numba"),
)


def process_seconds(arguments, cache):
    """How long a new Python takes, its caches below the folder `cache`."""
    environment = dict(os.environ, XDG_CACHE_HOME=str(cache), HOME=str(cache), LOCALAPPDATA=str(cache))
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def result(work, times, target, limit):
    """One line: against a time."""
    ours, ratios = statistics.median(times), sorted(target / t for t in times)
    quarter = len(ratios) // 4
    return Result(work, "the target", ours, target, statistics.median(ratios), ratios[quarter], ratios[-1 - quarter],
                  1.0, limit, f"it took {duration(ours)}; the rest of its time is compilation or training")


def measure(quick=False):
    """Results for each kind of work, with an empty cache where that is asked, and with a full one."""
    rounds, results = QUICK_ROUNDS if quick else ROUNDS, []
    with tempfile.TemporaryDirectory() as folder:
        cache, path = Path(folder) / "cache", str(Path(folder) / "out" / "model.safetensors")
        imports = statistics.median(process_seconds(["-c", "import numpy, numba"], cache) for _ in range(rounds))
        for work, arguments, first, after, limit in WORK:
            arguments = [part.format(folder=Path(path).parent, path=path) for part in arguments]
            limit = f"{duration(imports)}: {limit}" if limit else ""
            empty = process_seconds(arguments, cache)
            if first is not None:
                results.append(result(f"{work}, {FIRST}", [empty], first, limit))
            times = [process_seconds(arguments, cache) for _ in range(rounds)]
            results.append(result(f"{work}, {AFTER}", times, after, limit))
    return results

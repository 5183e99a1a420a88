"""A sweep at a real Dask scheduler with two workers on the loopback, one of which is killed in the middle.

    python -m bench dask_sweep [--quick]

The scheduler and the workers are processes of their own. Once a third of the cells is done one worker gets SIGKILL. At
the end every cell must be in the folder, none may have run twice for the caller, and table, .csv and JSON must be those
of the same sweep in one process, byte for byte. Needs the extra "dask".
"""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import minnet as mn

GRID = {"data": "digits", "recipe": "one_shot", "sparsity": [0.9, 0.95, 0.98], "criterion": ["magnitude", "random",
                                                                                          "obd"], "epochs": 8}
QUICK = GRID | {"epochs": 1, "sparsity": [0.9, 0.95], "criterion": ["magnitude", "random"], "seed": range(2)}
PATIENCE, PAUSE = 60, 0.1  # seconds
LOOPBACK = ["--host", "127.0.0.1"]


def main(quick=False):
    """Run it, and say what was found."""
    found = measured(QUICK if quick else GRID)
    for name, value in found.items():
        print(f"{name:<28}{value}")
    if not found["same as in one process"] or found["cells that ran twice"]:
        raise SystemExit("the sweep at the scheduler is another one")


def measured(grid):
    """What is true after the sweep, by name."""
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as (address, workers):
        calls, start = [], time.perf_counter()

        def progress(description, done, total):
            calls.append(description)
            if done * 3 >= total and len(workers) == 2:
                workers.pop().send_signal(signal.SIGKILL)

        first = mn.sweep(grid, Path(folder) / "out", scheduler=address, progress=progress)
        seconds = time.perf_counter() - start
        cells = list((Path(folder) / "out" / "cells").iterdir())
        survivors = len(workers)
    alone = mn.sweep(grid, jobs=1)
    return {"cells": len(first.rows), "files": len(cells), "workers left of 2": survivors,
            "cells that ran twice": len(calls) - len(set(calls)),
            "same as in one process": (first.record(), first.csv(), str(first)) == (
                alone.record(), alone.csv(), str(alone)),
            "seconds at the scheduler": round(seconds, 1)}


@contextlib.contextmanager
def started(folder):
    """Start a scheduler and two workers; give its address and the workers, and end them all."""
    file, processes = folder / "scheduler.json", []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def start(*arguments):
        with (folder / "log").open("ab") as log:
            processes.append(subprocess.Popen([sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
                                              env=environment, cwd=folder, stdout=log, stderr=log))
        return processes[-1]

    try:
        start("scheduler", *LOOPBACK, "--port", "0", "--scheduler-file", str(file))
        wait_for(file.exists)
        address = json.loads(file.read_text())["address"]
        yield address, [start("worker", address, *LOOPBACK, "--nthreads", "1", "--no-nanny") for _ in range(2)]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for(ready):
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise SystemExit("the Dask scheduler did not start: is the extra dask installed?")
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()

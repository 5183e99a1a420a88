"""Time this checkout beside another one, in turns: `python -m bench.against OTHER_PYTHON [ROUNDS [WORD ...]]`.

OTHER_PYTHON is the interpreter of an environment in which the other commit is installed. Both run the same worker,
against_worker.py, one job a process, alternately; a row shows both medians and the ratio other / ours with its
quartiles: 1 means as fast, below 1 slower. With words, only the jobs whose names hold one of them are timed.
"""
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WORKER = Path(__file__).with_name("against_worker.py")


def timed(python, job):
    """Return the median seconds of a job by one interpreter, run in a folder that holds no minnet."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([python, str(WORKER), job], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[job]


def main(other, rounds=5, *words):
    """Print a row for each job; at least two rounds."""
    jobs = subprocess.run([sys.executable, "-c", f"import runpy; print(*runpy.run_path({str(WORKER)!r})['JOBS'], "
                           "sep='\\n')"], capture_output=True, text=True, check=True).stdout.splitlines()
    print("| work | ours | other | other / ours (quartiles) |\n|---|---|---|---|")
    for job in [job for job in jobs if not words or any(word in job for word in words)]:
        pairs = [(timed(sys.executable, job), timed(other, job)) for _ in range(int(rounds))]
        ratios = [theirs / ours for ours, theirs in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4)
        ours, theirs = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
        print(f"| {job} | {ours:.2f} ms | {theirs:.2f} ms | {middle:.2f}x ({low:.2f}-{high:.2f}) |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Run by the Python of DeepSparse's own environment: times one net whenever a line comes.

    python deepsparse_worker.py net.onnx X.npy threads        # each line on standard input is a number of calls

Answers with the outputs' file first, then for each line with the median seconds of those calls.
"""
import statistics
import sys
import time

import numpy as np
from deepsparse import Engine


def main(path, rows, threads):
    """Compile, say hello with the outputs, answer lines until there are none."""
    X = np.load(rows)
    engine = Engine(model=path, batch_size=len(X), num_cores=int(threads))
    np.save(path + ".out.npy", engine.run([X])[0])
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            engine.run([X])
            times.append(time.perf_counter() - start)
        print(statistics.median(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

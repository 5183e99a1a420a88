"""Run by the Python of DeepSparse's own environment: times one net whenever a line comes.

    python deepsparse_worker.py net.onnx X.npy batch threads   # each line on standard input is a number of calls

Answers when the outputs' file is there, then for each line with the median seconds of those calls, each of which takes
the next batch.
"""
import statistics
import sys
import time
from itertools import cycle

import numpy as np
from deepsparse import Engine


def main(path, rows, batch, threads):
    """Compile, say hello with the outputs, answer lines until there are none."""
    X, batch = np.load(rows), int(batch)
    batches = [[X[i : i + batch]] for i in range(0, len(X), batch)]
    engine = Engine(model=path, batch_size=batch, num_cores=int(threads))
    np.save(path + ".out.npy", np.concatenate([engine.run(inputs)[0] for inputs in batches]))
    ready = cycle(batches)
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            inputs = next(ready)
            start = time.perf_counter()
            engine.run(inputs)
            times.append(time.perf_counter() - start)
        print(statistics.median(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

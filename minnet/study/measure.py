"""Nets side by side: how good, how large, how fast, measured on the nets as they would be used.

    figures = compare_nets({"before": dense, "after": small}, data)
    figures["after"]["latency_us"]

All times of one comparison are taken in turns, since a machine's speed drifts: one call of each net, round by round.
"""
import statistics
import tempfile
import time
from itertools import cycle
from pathlib import Path

import numpy as np

from minnet.engine.metrics import evaluate
from minnet.formats.storage import save
from minnet.runtime.predictor import freeze

BATCH = 1024           # rows of a call whose throughput is measured
BATCH_MACS = 2**33     # of a large net fewer rows, so that a call stays within a second or so
MOST_ROUNDS = 2000
FEWEST_ROUNDS = 51
SECONDS = 0.6          # for one of the two measurements, all nets together
RESTED_ROUNDS = 7      # of turns of different libraries:
REST = 0.02            # seconds before each turn, as often as needed: BLAS's threads look for work for several of them
IDLE = 0.05            # share of a rest; where threads run for less, those of who had the last turn have fallen asleep
MOST_RESTS = 25        # or they never will
TURN = 0.05            # seconds of calls in one
MICRO = 1e6


def compare_nets(nets, data, precision=None):
    """{name: figures} for `nets`, {name: Model}, on the test part: accuracy, recall_macro, f1_macro and loss of the
    frozen net, and its plan; parameters (those that live), macs; and the speeds, which the same plan gives. With a
    `precision` (see `freeze`) also the accuracy with such weights, and what both frozen nets take in memory."""
    times, figures = speeds(nets, data.X_test), {}
    for name, net in nets.items():
        fast = freeze(net)
        figures[name] = {**evaluate(fast, data.X_test, data.y_test), "parameters": net.n_parameters, "macs": net.macs,
                         **times[name], "plan": fast.plan}
        if precision is not None:
            rounded = freeze(net, weights=precision)
            accuracy = evaluate(rounded, data.X_test, data.y_test)["accuracy"]
            figures[name] |= {f"accuracy_{precision}": accuracy, "bytes_frozen": fast.nbytes,
                              f"bytes_frozen_{precision}": rounded.nbytes}
    return figures


def speeds(nets, X):
    """{name: {"latency_us", "throughput_per_s"}} of `nets`, {name: Model}, each frozen with the plan that is best for
    one sample and with the one that is best for BATCH of them (fewer of a large net); medians, on rows of X."""
    size = batch_for(nets.values())
    latency = median_times({name: freeze(net, batch_size=1) for name, net in nets.items()}, rows_of(X, 1))
    span = median_times({name: freeze(net, batch_size=size) for name, net in nets.items()}, rows_of(X, size))
    return {name: {"latency_us": latency[name] * MICRO, "throughput_per_s": size / span[name]} for name in nets}


def batch_for(nets):
    """Rows of a call whose throughput is measured: fewer where a net is large."""
    return max(1, min(BATCH, BATCH_MACS // max(1, *(net.macs for net in nets))))


def saved(model, made=None):
    """The bytes of the file that `save` writes for `model`; `made` is how it came to be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save(model, path, made=made)
        return path.read_bytes()


def rows_of(X, n):
    """Batches of n rows, contiguous: those of X, from the start again where it has fewer."""
    whole = np.resize(X, (max(n, len(X) // n * n), *X.shape[1:]))
    return [np.ascontiguousarray(whole[start : start + n]) for start in range(0, len(whole), n)]


def median_times(predictors, batches):
    """{name: median seconds of one call}; the predictors take turns on the same batches."""
    for predictor in predictors.values():
        predictor(batches[0])  # warm: buffers are made, kernels compiled
    times = {name: [] for name in predictors}
    end = time.perf_counter() + SECONDS
    for turn in range(MOST_ROUNDS):
        if turn >= FEWEST_ROUNDS and time.perf_counter() > end:
            break
        rows = batches[turn % len(batches)]
        for name, predictor in predictors.items():
            start = time.perf_counter()
            predictor(rows)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def rested_times(contestants, batches):
    """{name: median seconds of one call} of {name: (call, around)}, which may be of different libraries: their threads
    go on looking for work after a call, and would take a processor from whoever comes next. So all come to rest before
    each turn, which has many calls, within `around()`; the medians are of the turns' medians."""
    times = {name: [] for name in contestants}
    for _ in range(RESTED_ROUNDS):
        for name, (call, around) in contestants.items():
            come_to_rest()
            with around():
                times[name].append(turn_of(call, batches))
    return {name: statistics.median(taken) for name, taken in times.items()}


def come_to_rest():
    """Wait until the threads of this process have fallen asleep."""
    for _ in range(MOST_RESTS):
        before = time.process_time()
        time.sleep(REST)
        if time.process_time() - before <= IDLE * REST:
            return


def turn_of(call, batches):
    """Median seconds of the calls of one turn; the first warms up."""
    call(batches[0])
    times, end = [], time.perf_counter() + TURN
    for rows in cycle(batches):
        start = time.perf_counter()
        call(rows)
        times.append(time.perf_counter() - start)
        if time.perf_counter() > end:
            return statistics.median(times)

"""Measurements of models: scores, size and speed, taken on the models as they would be used.

    figures = compare_nets({"before": dense, "after": small}, data)
    figures["after"]["latency_us"]

All times of one comparison are taken in turns, one call of each model per round, since a machine's speed drifts.
"""
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from itertools import cycle
from typing import TypeVar

import numpy as np

from minnet.csr import is_sparse
from minnet.data import Dataset
from minnet.engine.answers import Answers, answers
from minnet.engine.attacks import attacked
from minnet.engine.metrics import evaluate, scores
from minnet.engine.quantise import INT8
from minnet.engine.sample import part_of
from minnet.errors import InvalidValue
from minnet.model import Model
from minnet.pruning.one_layer import deciding_part
from minnet.runtime.freeze import freeze
from minnet.study.change import change
from minnet.study.guard import ROBUST
from minnet.study.paired import judged

BATCH = 1024           # rows of a call whose throughput is measured
BATCH_MACS = 2**33     # multiply-adds of such a call at most, about a second: a large model gets fewer rows
MAX_ROUNDS = 2000
MIN_ROUNDS = 51
SECONDS = 0.6          # duration of one measurement of all models
RESTED_ROUNDS = 7      # rounds in which different libraries are timed
REST = 0.02            # seconds of one wait before a turn; BLAS threads spin for several of them after a call
IDLE = 0.05            # fraction of a wait: if the process used less processor time, all its threads sleep
MAX_RESTS = 25         # waits before a turn at most
TURN = 0.05            # seconds of calls in one turn
MICRO = 1e6
ATTACK, EPSILON = "pgd", 0.1  # of robust_accuracy: ten steps, each number moved by so much at most
MOST_CONFUSED = 200    # classes above which a result leaves the confusion matrix out
Key = TypeVar("Key")


def compare_nets(nets: Mapping[str, Model], data: Dataset, precision: str | None = None) -> dict[str, dict]:
    """Return {name: figures} for `nets`, {name: Model}, on the test part.

    The figures are what `evaluate` returns for the frozen model, its plan, parameters (nonzero), macs, and the speeds
    with that plan; the confusion matrix is None for more than MOST_CONFUSED classes. With int8 as `precision` they
    include the accuracy (of numbers r2) with such weights and the memory of both frozen models.
    """
    rows = {name: taken_by(net, data.X_test, data) for name, net in nets.items()}
    times, figures = speeds(nets, rows), {}
    for name, net in nets.items():
        fast = freeze(net)
        figures[name] = {**evaluate(fast, rows[name], data.y_test), "parameters": net.n_parameters, "macs": net.macs,
                         **times[name], "plan": fast.plan}
        if len(figures[name].get("confusion", ())) > MOST_CONFUSED:
            figures[name]["confusion"] = None
        if precision == INT8:
            rounded = freeze(net, precision=precision)
            score, value = next(iter(scores(rounded, rows[name], data.y_test).items()))  # accuracy or r2
            figures[name] |= {f"{score}_{precision}": value, "bytes_frozen": fast.nbytes,
                              f"bytes_frozen_{precision}": rounded.nbytes}
    return figures


def taken_by(net: Model, X: np.ndarray, data: Dataset) -> np.ndarray:
    """Return raw rows of an encoded table, as `data` has them, with the columns alone that a net still takes."""
    known, own = (None if of is None else of.encoding for of in (data.signature, net.signature))
    if known is None or own is None or own.places == known.places:
        return X
    return X[:, [known.places.index(place) for place in own.places]]


def guarded(limits: Mapping[str, float], nets: Mapping[str, Model], data: Dataset, part: str | None = None, *,
            binding: bool = False) -> dict[str, object]:
    """Return what guards decide by, as result.json has it; the test part is not read unless it is asked for.

    Parameters
    ----------
    limits : mapping of str to float
        The largest loss allowed of each score.
    nets : mapping of str to Model
        The models "before" and "after", which are frozen.
    data : Dataset
        The data.
    part : str, optional
        The part whose rows are taken. Default: "valid", or "train" of data without validation rows.
    binding : bool
        The bounds of the losses count too.

    Returns
    -------
    dict of str to object
        "part", "samples", how many rows it has, "binding", and what `paired.judged` returns.
    """
    part = part or deciding_part(data)
    found = [answers_on(nets[name], data, part) for name in ("before", "after")]
    labels = None if data.classes is None else data.classes.tolist()
    moved = [answers_on(nets[name], data, part, attack=True) for name in ("before", "after") if ROBUST in limits]
    return {"part": part, "samples": len(found[0].targets), "binding": binding,
            **judged(limits, *found, labels, moved)}


def answers_on(net: Model, data: Dataset, part: str | None = None, *, attack: bool = False) -> Answers:
    """Return the Answers of a net, frozen, on a part of the data: by default the one that decides.

    With `attack` the rows are moved by ATTACK first, of this very net.
    """
    part = part or deciding_part(data)
    if attack:
        (X, y), net = part_of(net, data, part), net.without_signature()
        return answers(net, attacked(ATTACK, net, X[:], y, epsilon=EPSILON, rng=0), y)
    return answers(freeze(net), taken_by(net, getattr(data, f"X_{part}"), data), getattr(data, f"y_{part}"))


def check_attackable(net: Model, data: Dataset) -> None:
    """Raise InvalidValue where the rows that decide lie outside [0, 1], in which attacks move them."""
    X, _ = part_of(net, data, deciding_part(data))
    low, high = X[:].min(initial=0), X[:].max(initial=0)
    if low < 0 or high > 1:
        raise InvalidValue(f"a guard on {ROBUST} attacks rows in [0, 1], and those that decide run from {low:g} to "
                           f"{high:g}: take data in the range of the training part, scaled by unit, or leave it out")


def change_between(before: Model, after: Model, data: Dataset) -> dict[str, dict]:
    """Return what `study.change.change` finds between two models, frozen, on the test part."""
    return change(*(answers_on(net, data, "test") for net in (before, after)))


def speeds(nets: Mapping[str, Model], X: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return {name: {"latency_us", "throughput_per_s"}} of `nets`, {name: Model}: medians, on rows of X or its own.

    Latency is that of one row, throughput that of BATCH rows (fewer for a large model), each with the plan that is
    best for it. The rows are scaled before.
    """
    rows = X if isinstance(X, Mapping) else dict.fromkeys(nets, X)
    inputs = {name: net.inputs(rows[name][:BATCH]) for name, net in nets.items()}  # a net may take some features only
    nets = {name: net.without_signature() for name, net in nets.items()}
    size = batch_for(nets.values())
    latency, span = (median_times({name: freeze(net, batch_size=rows) for name, net in nets.items()},
                                  {name: rows_of(inputs[name], rows) for name in nets}) for rows in (1, size))
    return {name: {"latency_us": latency[name] * MICRO, "throughput_per_s": size / span[name]} for name in nets}


def batch_for(nets: Iterable[Model]) -> int:
    """Return the rows of a call whose throughput is measured: fewer for a large model."""
    return max(1, min(BATCH, BATCH_MACS // max(1, *(net.macs for net in nets))))


def rows_of(X: np.ndarray, n: int) -> list[np.ndarray]:
    """Return contiguous batches of n rows of X, repeated if it has fewer; of sparse X some rows, made dense."""
    X = X[: max(n, BATCH)] if is_sparse(X) else X
    whole = np.resize(X, (max(n, len(X) // n * n), *X.shape[1:]))
    return [np.ascontiguousarray(whole[start : start + n]) for start in range(0, len(whole), n)]


def median_times(predictors: Mapping[str, Callable],
                 batches: list[np.ndarray] | Mapping[str, list[np.ndarray]]) -> dict[str, float]:
    """Return {name: median seconds of one call}; the predictors alternate on the same batches, or each on its own."""
    own = batches if isinstance(batches, Mapping) else dict.fromkeys(predictors, batches)
    for name, predictor in predictors.items():
        predictor(own[name][0])  # warm up: buffers are allocated, kernels compiled
    times = {name: [] for name in predictors}
    end = time.perf_counter() + SECONDS
    for turn in range(MAX_ROUNDS):
        if turn >= MIN_ROUNDS and time.perf_counter() > end:
            break
        for name, predictor in predictors.items():
            rows = own[name][turn % len(own[name])]
            start = time.perf_counter()
            predictor(rows)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def rested_times(contestants: Mapping[Key, tuple[Callable, Callable[[], AbstractContextManager]]],
                 batches: list[np.ndarray]) -> dict[Key, float]:
    """Return {name: median seconds of one call} of {name: (call, around)}, calls of different libraries.

    The threads of a library spin for a while after a call and would take processor time from the next one. So each
    turn, many calls within `around()`, begins after all threads have fallen asleep; the medians are of the turns'
    medians.
    """
    times = {name: [] for name in contestants}
    for _ in range(RESTED_ROUNDS):
        for name, (call, around) in contestants.items():
            wait_until_idle()
            with around():
                times[name].append(turn_time(call, batches))
    return {name: statistics.median(taken) for name, taken in times.items()}


def wait_until_idle() -> None:
    """Wait until the threads of this process have fallen asleep."""
    for _ in range(MAX_RESTS):
        before = time.process_time()
        time.sleep(REST)
        if time.process_time() - before <= IDLE * REST:
            return


def turn_time(call: Callable, batches: list[np.ndarray]) -> float:
    """Return the median seconds of the calls of one turn, after one call to warm up."""
    call(batches[0])
    times, end = [], time.perf_counter() + TURN
    for rows in cycle(batches):
        start = time.perf_counter()
        call(rows)
        times.append(time.perf_counter() - start)
        if time.perf_counter() > end:
            return statistics.median(times)

"""The program of a frozen net: a table of steps for the compiled interpreter, and how threads divide them.

    program = emit(nodes, kernels, tile, dtype)          # emit.py
    program.run_serial(X, 0, len(X), out)                # one thread

A program is compiled by emit.py, and run by `run_program` in kernels/program/interpreter.py.
"""
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from minnet import threads
from minnet.kernels.program.interpreter import (
    LAST,
    ROW,
    STOP,
    TASK_COLUMNS,
    TILE,
    run_at,
    run_program,
    run_shared,
    step_addresses,
)
from minnet.kernels.simd.addresses import address_of, data_of, entry_of, table_of

CACHE_LINE = 64       # bytes
MACS_AT_ONCE = 2**29  # multiply-adds of one compiled call: some hundredths of a second, so that Ctrl-C is noticed
COPIES_AT_ONCE = 2**26  # the same in values copied, of one step, and for each thread of a shared call
SPIN_LIMIT = 100_000  # times that an idle thread looks for work before it ends: about a tenth of a millisecond
SHARED_CALLS = np.zeros(1, np.int64)  # the number of shared calls so far, of all Predictors of this process


@dataclass(frozen=True)
class Span:
    """The steps of one node, `first` to `last` - 1; `nbytes` are those of its values and indices.

    Of a linear layer also its kernel, the fraction of its weights that are live, and its multiply-adds on a tile.
    """

    name: str
    first: int
    last: int
    nbytes: int
    kernel: str = ""
    density: float = 0.0
    macs: int = 0


class Program:
    """Steps, indices and values for tiles of `tile` samples; several threads may run it at once.

    `code` has a row for each step, `spans` one Span for each node, `splits` the steps that are split into tasks (see
    Emitter). A workspace is an array of `workspace_size` values, the memory of one run for its tensors.
    """

    def __init__(self, tile: int, code: np.ndarray, index: np.ndarray, weights: np.ndarray, value: np.ndarray,
                 spans: Sequence[Span], workspace_size: int, outputs: int,
                 splits: Sequence[tuple[list[int], float]] = ()) -> None:
        self.tile = tile
        self.code = code
        self.index = index
        self.weights = weights
        self.value = value
        self.numbers = index, weights, value  # as the kernels take them
        self.spans = spans
        self.workspace_size = workspace_size
        self.outputs = outputs
        self.macs = sum(span.macs for span in spans)
        self.splits = splits
        self.calls = self.cut(0, len(code))
        self.task_lists = self.build_task_lists() if splits else []
        self.last_tasks: tuple[tuple[int, int] | None, np.ndarray | None] = None, None  # of the last call: rows, tasks
        self.workspaces: list[np.ndarray] = []  # idle ones
        self.rows_at_once = tile * max(1, MACS_AT_ONCE // max(self.macs, 1))
        self.rows_in_one_call = self.rows_at_once if len(self.calls) == 1 else 0

    @cached_property
    def steps(self) -> np.ndarray:
        """Return the addresses of the compiled kernels of the steps, see `step_addresses`."""
        return step_addresses(self.code, *self.numbers)

    @cached_property
    def address(self) -> int:
        """Return the address of the compiled `run_program`."""
        rows = self.value.reshape(1, -1)  # of the type of X and of `out`; `value` itself has that of a workspace
        return address_of(run_program, (self.code, *self.numbers, rows, 0, 0, 0, self.value, rows, self.steps))

    def table(self, work: np.ndarray) -> np.ndarray:
        """Return the table of `run_at` for runs in the workspace `work`."""
        arrays = self.code, *self.numbers, work, self.steps
        sizes = [array.size for array in arrays[:-1]]
        return table_of([self.address, *map(data_of, arrays), *sizes, self.weights.itemsize])

    @cached_property
    def entry(self) -> Callable[[np.ndarray, np.ndarray, int, int, np.ndarray], float]:
        """Return `run_at`, as it is called with a table, X, row, stop and `out`, of exactly the right types."""
        rows = self.value.reshape(1, -1)
        return entry_of(run_at, (self.table(self.value), rows, 0, 0, rows))

    def __getstate__(self) -> dict:
        """Return what is copied or pickled: all but the addresses, which are valid in this process only."""
        return {name: value for name, value in vars(self).items() if name not in ("steps", "address", "entry")}

    def cut(self, first: int, last: int) -> list[tuple[int, int]]:
        """Divide steps first, ..., last - 1 into calls (first step, end), each of about MACS_AT_ONCE or less."""
        cuts, macs = set(), 0
        for span in self.spans:
            macs += span.macs
            if macs > MACS_AT_ONCE:
                cuts.add(span.first)
                macs = span.macs
            if span.macs > MACS_AT_ONCE:
                cuts.update(edge for edges, _ in self.splits for edge in edges if span.first < edge < span.last)
        edges = [first, *sorted(cut for cut in cuts if first < cut < last), last]
        return list(pairwise(edges))

    def build_task_lists(self) -> list[np.ndarray]:
        """Divide all steps into tasks for threads (see run_shared), in one array (m, 3) for each call.

        A task is (first step, end, number of tasks that must be done before).
        """
        calls, end, done, together = [[]], 0, 0, threads.n_threads()
        for edges, work in [*self.splits, ([len(self.code)] * 2, 0)]:
            for stage in ([(end, edges[0])], pairwise(edges)):
                needs = len(calls[-1])
                for i, (first, last) in enumerate(stage):
                    if i % together == 0 and done + work * together > COPIES_AT_ONCE * together and calls[-1]:
                        calls.append([])
                        done = needs = 0
                    if last > first:
                        calls[-1].append((first, last, needs))
                        done += work
            end = edges[-1]
        return [np.array(call) for call in calls if call]

    def workspace(self) -> np.ndarray:
        """Allocate a workspace, aligned so that tensors begin at cache lines."""
        raw = np.zeros(self.workspace_size + CACHE_LINE, self.value.dtype)
        start = -raw.ctypes.data % CACHE_LINE // raw.itemsize
        return raw[start : start + self.workspace_size]

    @property
    def nbytes(self) -> int:
        """Return the bytes of steps, values and indices."""
        return sum(array.nbytes for array in (self.code, self.index, self.weights, self.value))

    def run(self, X: np.ndarray, row: int, stop: int, work: np.ndarray, out: np.ndarray) -> float:
        """Write the logits of rows row, ..., stop - 1 of X (n, features) to `out`, with the workspace `work`.

        Returns a sum that is NaN or infinite if a value of these rows or a logit is.
        """
        if stop - row <= self.rows_in_one_call:
            return run_program(self.code, *self.numbers, X, row, stop, self.tile, work, out, self.steps)
        total, rows = 0.0, self.rows_at_once if len(self.calls) == 1 else self.tile
        for begin in range(row, stop, rows):
            total += self.run_calls(self.calls, X, begin, min(begin + rows, stop), work, out)
        return total

    def run_serial(self, X: np.ndarray, row: int, stop: int, out: np.ndarray) -> float:
        """Run as `run` does, in an idle workspace."""
        workspace = self.take_workspace()
        total = self.run(X, row, stop, workspace, out)
        self.workspaces.append(workspace)
        return total

    def take_workspace(self) -> np.ndarray:
        """Return an idle workspace, or a new one; the caller appends it to `workspaces` after use."""
        try:
            return self.workspaces.pop()
        except IndexError:
            return self.workspace()

    def run_layers(self, X: np.ndarray, row: int, stop: int, out: np.ndarray, workers: int) -> float:
        """Run one tile on up to `workers` threads, which divide each layer, in one workspace."""
        total, workspace = 0.0, self.take_workspace()
        for steps in self.task_lists:
            tasks = np.full((len(steps), TASK_COLUMNS), (0, 0, 0, row, stop, self.tile))
            tasks[:, : steps.shape[1]] = steps
            total += self.share(tasks, X, out, workers, workspace)
        self.workspaces.append(workspace)
        return total

    def run_tiles(self, X: np.ndarray, row: int, stop: int, out: np.ndarray, workers: int) -> float:
        """Run several tiles on up to `workers` threads, each in a workspace of its own."""
        total, rows = 0.0, self.rows_at_once * workers
        for begin in range(row, stop, rows):
            ends = begin, min(begin + rows, stop)
            known, tasks = self.last_tasks
            if known != ends or tasks is None:  # batches are often of one size
                tasks = tile_tasks(*ends, self.tile, len(self.code))
                self.last_tasks = ends, tasks
            total += self.share(tasks, X, out, workers)
        return total

    def share(self, tasks: np.ndarray, X: np.ndarray, out: np.ndarray, workers: int,
              workspace: np.ndarray | None = None) -> float:
        """Run `tasks` (see the kernel run_shared) on up to `workers` threads, in one workspace or each in its own."""
        counters, totals = np.zeros(2, np.int64), np.zeros(len(tasks))

        def take_part(first):
            work = self.take_workspace() if workspace is None else workspace
            patience = 0 if first else SPIN_LIMIT
            run_shared(tasks, counters, SHARED_CALLS, patience, self.code, self.numbers, X, work, out, totals,
                       self.address, self.steps)
            if workspace is None:
                self.workspaces.append(work)

        threads.share(take_part, min(len(tasks), workers))
        return sum(totals.tolist())

    def run_calls(self, calls: Sequence[tuple[int, int]], X: np.ndarray, row: int, stop: int, work: np.ndarray,
                  out: np.ndarray) -> float:
        """Run some calls (see `cut`) on one tile."""
        total = 0.0
        for first, last in calls:
            total += run_program(self.code[first:last], *self.numbers, X, row, stop, self.tile, work, out, self.steps)
        return total


def tile_tasks(row: int, stop: int, tile: int, steps: int) -> np.ndarray:
    """Divide rows row, ..., stop - 1 into tasks of a tile each: (tiles, TASK_COLUMNS), see the kernel run_shared."""
    tasks = np.zeros((-(-(stop - row) // tile), TASK_COLUMNS), np.int64)
    tasks[:, LAST], tasks[:, ROW], tasks[:, TILE] = steps, np.arange(row, stop, tile), tile
    tasks[:, STOP] = np.minimum(tasks[:, ROW] + tile, stop)
    return tasks


def median_seconds(program: Program, calls: Sequence[tuple[int, int]], X: np.ndarray, rounds: int,
                   repeats: int) -> float:
    """Measure the median time of `calls` (see `cut`) on the first tile of X (n, features), after a run of all steps."""
    work, rows = program.workspace(), min(len(X), program.tile)
    out = np.zeros((rows, program.outputs), X.dtype)
    program.run(X, 0, rows, work, out)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            program.run_calls(calls, X, 0, rows, work, out)
        times.append((time.perf_counter() - start) / repeats)
    return statistics.median(times)

"""A program: what a frozen net does, as a table of steps for the compiled interpreter.

    program = emit(nodes, kernels, tile, dtype)          # emit.py
    program.run_alone(X, 0, len(X), out)
"""
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minnet import threads
from minnet.kernels.program.interpreter import LAST, ROW, STOP, TASK_COLUMNS, TILE, run_program, run_shared

CACHE_LINE = 64       # bytes
MACS_AT_ONCE = 2**29  # multiply-adds of one compiled call: some hundredths of a second, so that Ctrl-C is heard
COPIES_AT_ONCE = 2**26  # the same in numbers copied, of one step, and for each thread of a call that several share
PATIENCE = 100_000    # looks of a thread that has nothing to do: about a tenth of a millisecond
BEGUN = np.zeros(1, np.int64)  # how often threads were asked to share, in all Predictors of this process


@dataclass(frozen=True)
class Span:
    """The steps of one node; of a linear layer also its kernel, the fraction of its weights that live, and its
    multiply-adds on a tile. `nbytes` are those of its numbers and indices."""

    name: str
    first: int
    last: int
    nbytes: int
    kernel: str = ""
    density: float = 0.0
    macs: int = 0


class Program:
    """Steps and numbers for tiles of `tile` samples. Threads may share it, each with a room of its own.

    `spans` has one Span for each node.
    """

    def __init__(self, tile, code, index, weights, value, spans, room_size, outputs, parted=()):
        self.tile = tile
        self.code = code
        self.index = index
        self.weights = weights
        self.value = value
        self.spans = spans
        self.room_size = room_size
        self.outputs = outputs
        self.macs = sum(span.macs for span in spans)
        self.parted = parted
        self.calls = self.cut(0, len(code))
        self.shared = self.turns() if parted else []
        self.tiles = None, None  # rows that came last, and the tasks that they are
        self.rooms = []  # those that no thread has
        self.rows_at_once = tile * max(1, MACS_AT_ONCE // max(self.macs, 1))

    def cut(self, first, last):
        """Steps first, ..., last - 1 as calls (first step, last step), none of which does too much."""
        cuts, macs = set(), 0
        for span in self.spans:
            macs += span.macs
            if macs > MACS_AT_ONCE:
                cuts.add(span.first)
                macs = span.macs
            if span.macs > MACS_AT_ONCE:
                cuts.update(edge for edges, _ in self.parted for edge in edges if span.first < edge < span.last)
        edges = [first, *sorted(cut for cut in cuts if first < cut < last), last]
        return list(pairwise(edges))

    def turns(self):
        """All steps as ranges that threads take in turn (see run_shared), in arrays for one call each."""
        calls, end, done, together = [[]], 0, 0, threads.n_threads()
        for edges, work in [*self.parted, ([len(self.code)] * 2, 0)]:
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

    def room(self):
        """Memory for one thread, where tensors begin at cache lines."""
        raw = np.zeros(self.room_size + CACHE_LINE, self.value.dtype)
        start = -raw.ctypes.data % CACHE_LINE // raw.itemsize
        return raw[start : start + self.room_size]

    @property
    def nbytes(self):
        """Bytes of steps, numbers and indices."""
        return sum(array.nbytes for array in (self.code, self.index, self.weights, self.value))

    def run(self, X, row, stop, work, out):
        """Logits of rows row, ..., stop - 1 of X (n, features) to `out`; returns a sum: finite if those rows are."""
        if len(self.calls) == 1 and stop - row <= self.rows_at_once:
            return run_program(self.code, 0, len(self.code), self.index, self.weights, self.value, X, row, stop,
                               self.tile, work, out)
        total, rows = 0.0, self.rows_at_once if len(self.calls) == 1 else self.tile
        for begin in range(row, stop, rows):
            total += self.run_calls(self.calls, X, begin, min(begin + rows, stop), work, out)
        return total

    def run_alone(self, X, row, stop, out):
        """The same, in a room of its own."""
        room = self.take_room()
        total = self.run(X, row, stop, room, out)
        self.rooms.append(room)
        return total

    def take_room(self):
        """A room that nobody else has, until it is back in `rooms`."""
        try:
            return self.rooms.pop()
        except IndexError:
            return self.room()

    def run_layers(self, X, row, stop, out, workers):
        """The same as `run` on one tile, by so many threads in one room."""
        total, room = 0.0, self.take_room()
        for steps in self.shared:
            tasks = np.full((len(steps), TASK_COLUMNS), (0, 0, 0, row, stop, self.tile))
            tasks[:, : steps.shape[1]] = steps
            total += self.share(tasks, X, out, workers, room)
        self.rooms.append(room)
        return total

    def run_tiles(self, X, row, stop, out, workers):
        """The same on several tiles, each thread in a room of its own."""
        total, rows = 0.0, self.rows_at_once * workers
        for begin in range(row, stop, rows):
            ends = begin, min(begin + rows, stop)
            known, tasks = self.tiles
            if known != ends:  # mostly batches are of one size
                tasks = tile_tasks(*ends, self.tile, len(self.code))
                self.tiles = ends, tasks
            total += self.share(tasks, X, out, workers)
        return total

    def share(self, tasks, X, out, workers, room=None):
        """All `tasks` (see the kernel run_shared), by so many threads or fewer, in one room or each in its own."""
        counters, totals = np.zeros(2, np.int64), np.zeros(len(tasks))

        def take_part(first):
            work = self.take_room() if room is None else room
            patience = 0 if first else PATIENCE
            run_shared(tasks, counters, BEGUN, patience, self.code, self.index, self.weights, self.value, X, work, out,
                       totals)
            if room is None:
                self.rooms.append(work)

        threads.share(take_part, min(len(tasks), workers))
        return sum(totals.tolist())

    def run_calls(self, calls, X, row, stop, work, out):
        """Some of the calls, on one tile."""
        total = 0.0
        for first, last in calls:
            total += run_program(self.code, first, last, self.index, self.weights, self.value, X, row, stop, self.tile,
                                 work, out)
        return total


def tile_tasks(row, stop, tile, steps):
    """Rows row, ..., stop - 1 as tasks of a tile each: (tiles, TASK_COLUMNS), see the kernel run_shared."""
    tasks = np.zeros((-(-(stop - row) // tile), TASK_COLUMNS), np.int64)
    tasks[:, LAST], tasks[:, ROW], tasks[:, TILE] = steps, np.arange(row, stop, tile), tile
    tasks[:, STOP] = np.minimum(tasks[:, ROW] + tile, stop)
    return tasks


def median_seconds(program, calls, X, rounds, repeats):
    """Median time of `calls` (see `cut`) on the first tile of X (n, features), once the whole program ran on it."""
    work, rows = program.room(), min(len(X), program.tile)
    out = np.zeros((rows, program.outputs), X.dtype)
    program.run(X, 0, rows, work, out)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            program.run_calls(calls, X, 0, rows, work, out)
        times.append((time.perf_counter() - start) / repeats)
    return statistics.median(times)

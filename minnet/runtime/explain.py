"""Measure where a frozen net spends its time: a row for each linear layer, and one for everything else.

    print(predictor.explain())           # or read its rows: .rows[0].kernel, .seconds, .share

`Predictor.explain` calls `explain`, that of a model with stages `explain_stages`.
"""
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from minnet.errors import InvalidValue
from minnet.runtime.program import Program, median_seconds
from minnet.text import aligned

HEAD = ("layer", "kernel", "density", "FLOPs", "bytes", "time", "share")
ROUNDS, REPEATS = 7, 3
MICRO = 1e6
FORWARD, SAMPLES = "forward", 64  # the "kernel" of a stage without kernels, and rows that are timed


@dataclass(frozen=True)
class Row:
    """One layer: its kernel, the fraction of its weights that are live, FLOPs of a sample, bytes, seconds of a call."""

    name: str
    kernel: str
    density: float
    flops: int
    nbytes: int
    seconds: float
    share: float


class Explanation:
    """The measured rows of a Predictor; `str` makes a table.

    Parameters
    ----------
    rows : list of Row
        One for each linear layer, and one for everything else.
    samples : int
        Rows of `X` that a call was measured with.
    tile : int
        Rows that the program processes at a time.
    """

    def __init__(self, rows: list[Row], samples: int, tile: int) -> None:
        self.rows = rows
        self.samples = samples
        self.tile = tile

    def __str__(self) -> str:
        """Return the table."""
        cells = [HEAD] + [(row.name, row.kernel, f"{row.density:.1%}" if row.kernel else "", f"{row.flops:,}",
                           f"{row.nbytes:,}", f"{row.seconds * MICRO:.1f} µs", f"{row.share:.0%}") for row in self.rows]
        return "\n".join([f"time of {self.samples} rows, {self.tile} at a time", *aligned(cells, left=2)])


def explain_stages(stages: Sequence, run: Callable[..., np.ndarray], features: int, dtype: np.dtype,
                   X: np.ndarray | None = None) -> Explanation:
    """Measure a net of several stages: the rows of each Predictor, and one row for each other stage.

    `run(stage, x)` returns the outputs of a stage. Raises InvalidValue if X has no rows.
    """
    if X is None:
        X = np.random.default_rng(0).random((SAMPLES, features)).astype(dtype)
    if not len(X):
        raise InvalidValue("X has 0 rows, and there is nothing to time: give a row or more")
    lines, x = [], X
    for stage in stages:
        y = run(stage, x)
        if hasattr(stage, "programs"):
            lines += stage.explain(x.reshape(len(x), *stage.input_shape)).rows
        else:
            seconds = median_time(lambda stage=stage, x=x: run(stage, x))
            name = " ".join(stage.layers)
            lines.append(Row(name, FORWARD, stage.density, 2 * stage.macs, stage.values.nbytes, seconds, 0.0))
        x = y
    total = sum(line.seconds for line in lines)
    return Explanation([replace(line, share=line.seconds / total) for line in lines], len(X), len(X))


def median_time(call: Callable[[], object]) -> float:
    """Measure the median seconds of a few calls."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def explain(programs: Mapping[int, Program], features: int, X: np.ndarray | None = None) -> Explanation:
    """Measure one tile, or one row if X has one or there is no program for tiles.

    Raises InvalidValue if X has no rows.
    """
    rows = max(programs) if X is None else len(X)
    if not rows:
        raise InvalidValue("X has 0 rows, and there is nothing to time: give a row or more")
    tile = max(programs) if rows > 1 else min(programs)
    program = programs[tile]
    if X is None:
        X = np.random.default_rng(0).random((tile, features)).astype(program.value.dtype)
    spans = [span for span in program.spans if span.last > span.first]
    times = [median_seconds(program, program.cut(span.first, span.last), X, ROUNDS, REPEATS) for span in spans]
    lines, others, rest, total = [], 0, 0.0, sum(times)
    for span, seconds in zip(spans, times, strict=True):
        if span.kernel:
            flops = 2 * span.macs // tile
            lines.append(Row(span.name, span.kernel, span.density, flops, span.nbytes, seconds, seconds / total))
        else:
            others, rest = others + span.nbytes, rest + seconds
    lines.append(Row("all else", "", 0.0, 0, others, rest, rest / total))
    return Explanation(lines, min(len(X), tile), tile)

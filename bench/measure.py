"""How things are timed here: in one process, in turns, warmed up alike; medians, quartiles and the ratio.

A machine's speed drifts, so two contestants take turns and the ratio is the one to read. Each round of turns gives one
ratio; the median of those is quoted.
"""
import os
import re
import statistics
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

PROBES = 3  # calls of each form that a contestant may have, to find the fastest


@dataclass(frozen=True)
class Result:
    """One line of a table: the work, both medians in seconds, the ratio peer / ours, its quartiles, target, limit."""

    work: str
    peer: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    target: float | None = None
    limit: str = ""
    note: str = ""

    @property
    def verdict(self):
        """"reached", "missed" or nothing where there is no target."""
        return "" if self.target is None else "reached" if self.ratio >= self.target else "missed"

    def as_dict(self):
        """For JSON."""
        return asdict(self) | {"verdict": self.verdict}

    @classmethod
    def of(cls, row):
        """The Result of such a dictionary."""
        return cls(**{name: value for name, value in row.items() if name != "verdict"})


def seconds(function):
    """How long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@contextmanager
def using(threads):
    """minnet uses so many threads within."""
    before = os.environ.get("MINNET_NUM_THREADS", "")  # nothing means all
    os.environ["MINNET_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        os.environ["MINNET_NUM_THREADS"] = before


def thread_counts():
    """One, and all that this process may use."""
    from minnet.threads import n_threads

    return sorted({1, n_threads()})


def memory(which="VmHWM"):
    """Bytes of memory that this process held at its peak, or ("VmRSS") holds now. Where there is no /proc it is the
    peak of `getrusage`, which on Linux begins with that of the process that started this one."""
    try:
        found = re.search(rf"{which}:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def plural(threads):
    """So many threads, in words."""
    return f"{threads} thread{'s' * (threads > 1)}"


def turns(contestants, rounds=5, warmup=1, rest=False):
    """Time {name: function} in turns; returns {name: [seconds of each round]}.

    With `rest` the threads of this process fall asleep before each turn: those that go on looking for work after a call
    would take the processors from whoever comes next.
    """
    from minnet.study.measure import wait_until_idle

    for _ in range(warmup):
        for function in contestants.values():
            function()
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, function in contestants.items():
            if rest:
                wait_until_idle()
            times[name].append(seconds(function))
    return times


def fastest(choices):
    """Which of {choice: function} is the fastest: warmed up, in turns, the best of PROBES calls each."""
    times = turns(choices, PROBES, rest=True)
    return min(times, key=lambda choice: min(times[choice]))


def compare(work, peer, ours, theirs, target=None, limit="", note=""):
    """The Result of two lists of times taken in turns."""
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    quarter = len(ratios) // 4
    return Result(work, peer, statistics.median(ours), statistics.median(theirs), statistics.median(ratios),
                  ratios[quarter], ratios[-1 - quarter], target, limit, note)


def table(results):
    """Results as a Markdown table."""
    lines = ["| work | peer | minnet | peer's time | peer / minnet (quartiles) | target | limit |", "|---" * 7 + "|"]
    for r in results:
        target = "" if r.target is None else f">= {r.target:.3g}x: {r.verdict}"
        ratio = f"{r.ratio:.2f}x ({r.low:.2f}-{r.high:.2f})"
        cells = (r.work, r.peer, duration(r.ours), duration(r.theirs), ratio, target, r.limit)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def duration(t):
    """Seconds as a person reads them."""
    return f"{t:.2f} s" if t >= 1 else f"{t * 1e3:.2f} ms" if t >= 1e-3 else f"{t * 1e6:.1f} us"

"""The result of a main job: the dict that result.json holds, and its one line in plain words.

Numbers that JSON cannot hold (NaN, infinity) become null.
"""
import math
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from minnet import __version__, threads
from minnet.pruning.paths import effective_sparsity

LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "scikit-learn")
PERCENT = 100
NOTICEABLE = 1.05  # a ratio below this is told as "as large", "as fast"


def result_of(job, figures):
    """What result.json holds, of a Job that has run, and `figures`, {"before": ..., "after": ...}."""
    settings = job.settings.record()
    main = {name: settings.pop(name) for name in ("model", "seed", "criterion", "structure", "recipe")}
    settings |= {"optimizer": repr(job.arguments["optimizer"]), "batch_size": job.arguments["batch_size"],
                 "lr_schedule": job.arguments["lr_schedule"], "sparse_before": job.dense.sparsity > 0}
    unit = job.rehearsal.units.unit
    of_units = unit != "weight"
    gone = f"{job.reached:.1%} of the {unit}s"
    reached = {"reached_weights": job.model.sparsity, "effective": effective_sparsity(job.model),
               "reached_units": job.reached if of_units else units_gone(job.whole(job.dense), job.small)}
    return plain({
        "minnet": __version__, "data": job.data.name, **main, "threads": threads.n_threads(),
        "sparsity": {"asked": job.sparsity, "of": "units" if of_units else "weights", **reached},
        "words": in_words(gone, figures["before"], figures["after"]), **figures,
        "layers": layers_of(job.model), "start": job.start, "settings": settings,
        "samples": {part: len(getattr(job.data, f"y_{part}")) for part in ("train", "valid", "test")},
        "machine": machine(), "history": job.history})


def layers_of(model):
    """Per layer with weights: what there was, what remains."""
    return [{"name": row.name, "shape": row.shape, "weights": row.weights, "remaining": row.remaining,
             "sparsity": row.sparsity, "macs": row.macs} for row in model.summary().rows]


def units_gone(dense, small):
    """The share of hidden units that compaction took out."""
    before, after = hidden_units(dense), hidden_units(small)
    return (before - after) / before if before else 0.0


def hidden_units(model):
    """How many units lie between input and logits; those that a Residual joins are one."""
    coupling = model.couple()
    roots = np.unique(coupling.roots(np.arange(coupling.n_units)))
    return int(np.count_nonzero(~coupling.fixed()[roots]))


def machine():
    """What the times were measured on."""
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
            **{name: _version(name) for name in LIBRARIES}}


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def plain(value):
    """`value` as JSON holds it: tuples as lists, NumPy's numbers as Python's, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def in_words(gone, before, after):
    """What was won and what it cost, in one line that begins with what is `gone`."""
    gain = PERCENT * (after["accuracy"] - before["accuracy"])
    cost = f"{abs(gain):.2f} points {'won' if gain > 0 else 'lost'}" if gain else "unchanged"
    file, work, time = (times(before, after, *words) for words in (
        ("bytes_on_disk", "smaller", "larger"), ("macs", "fewer", "more"), ("latency_us", "faster", "slower")))
    return (f"{gone} are gone: a file {file}, {work} multiply-adds, one sample {time}; accuracy "
            f"{before['accuracy']:.2%} -> {after['accuracy']:.2%} ({cost})")


def times(before, after, name, better, worse):
    """"7.1 times smaller", by one of the figures in which less is better."""
    a, b = before[name], after[name]
    if not (a and b):
        return f"with {b:g} instead of {a:g}"
    ratio, word = (a / b, better) if a >= b else (b / a, worse)
    return f"{ratio:.1f} times {word}" if ratio >= NOTICEABLE else f"no {better}"

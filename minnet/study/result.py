"""The result of a main job: the content of result.json, and its summary in one sentence.

Numbers that JSON cannot represent (NaN, infinity) become null.
"""
import math
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from minnet import __version__, threads
from minnet.data import task_of
from minnet.errors import PERCENT
from minnet.model import Model
from minnet.pruning.paths import effective_sparsity
from minnet.pruning.recipes import takes_criterion
from minnet.pruning.recipes.keywords import function_of

LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "scikit-learn")
NOTICEABLE = 1.05  # ratios below this are reported as equal


def result_of(job, figures: Mapping[str, dict], layers: list[dict]) -> dict:
    """Return the content of result.json for a Job that has run.

    `figures` is {"before", "after", "change"}, `layers` what `written_layers` returns.
    """
    settings = job.settings.record()
    main = {name: settings.pop(name) for name in ("model", "seed", "criterion", "structure", "recipe")}
    if not takes_criterion(job.recipe):
        main["criterion"] = function_of(job.recipe).__name__  # its own
    settings |= {"optimizer": repr(job.arguments["optimizer"]), "batch_size": job.arguments["batch_size"],
                 "lr_schedule": job.arguments["lr_schedule"], "sparse_before": job.dense.sparsity > 0}
    unit = job.planned.units.unit
    of_units = unit != "weight"
    share = f"{job.reached:.1%} of the {unit}s"
    reached = {"reached_weights": job.model.sparsity, "effective": effective_sparsity(job.model),
               "reached_units": job.reached if of_units else units_removed(job.whole(job.dense), job.small)}
    return plain({
        "minnet": __version__, "data": job.data.name, "task": task_of(job.data.signature.task), **main,
        "threads": threads.n_threads(),
        "sparsity": {"asked": job.sparsity, "of": "units" if of_units else "weights", **reached},
        "words": summary(share, figures["before"], figures["after"]), **figures,
        "classes": job.data.classes, "layers": layers, "start": job.start, "settings": settings,
        "samples": {part: len(getattr(job.data, f"y_{part}")) for part in ("train", "valid", "test")},
        "machine": machine(), "history": job.history} |
        ({"inputs": inputs_of(job.small, job.planned.units.total)} if job.frees_inputs else {}))


def inputs_of(small: Model, total: int) -> dict[str, object]:
    """Return which features of the input a compacted model takes: `kept`, by name or column, and `of` how many.

    Of an encoded table they are columns, and words of text, of the `total` that were there.
    """
    signature = small.signature
    if signature.encoding is not None:
        return {"kept": list(signature.encoding.inputs[1]), "of": total}
    kept = signature.selection.columns if signature.selection else range(signature.shape[-1])
    of = signature.selection.width(signature.shape) if signature.selection else len(kept)
    return {"kept": list(signature.feature_names or kept), "of": of}


def layers_of(model: Model) -> list[dict]:
    """Return name, shape, weights, remaining weights, sparsity and macs of each layer with weights."""
    return [{"name": row.name, "shape": row.shape, "weights": row.weights, "remaining": row.remaining,
             "sparsity": row.sparsity, "macs": row.macs} for row in model.summary().rows]


def units_removed(dense: Model, small: Model) -> float:
    """Return the share of hidden units that compaction removed."""
    before, after = hidden_units(dense), hidden_units(small)
    return (before - after) / before if before else 0.0


def hidden_units(model: Model) -> int:
    """Return the number of units between input and logits; units coupled by a Residual count as one."""
    coupling = model.couple()
    roots = np.unique(coupling.roots(np.arange(coupling.n_units)))
    return int(np.count_nonzero(~coupling.fixed()[roots]))


def machine() -> dict[str, str | None]:
    """Return the system and the versions of libraries with which the times were measured."""
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
            **{name: _version(name) for name in LIBRARIES}}


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def plain(value: object) -> object:
    """Return `value` as JSON types: tuples and arrays as lists, NumPy's numbers as Python's, NaN as None."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def summary(share: str, before: Mapping, after: Mapping) -> str:
    """Return one sentence that begins with the `share` removed and gives gains and loss of accuracy, or of R2."""
    name, label, form = ("r2", "R2", "{:.4f}") if "r2" in before else \
        ("accuracy", "subset accuracy" if "hamming_loss" in before else "accuracy", "{:.2%}")
    gain = PERCENT * (after[name] - before[name])
    change = f"{abs(gain):.2f} points {'higher' if gain > 0 else 'lower'}" if gain else "unchanged"
    file, work, time = (times(before, after, *words) for words in (
        ("bytes_on_disk", "smaller", "larger"), ("macs", "fewer", "more"), ("latency_us", "faster", "slower")))
    return (f"{share} removed: file {file}, {work} multiply-adds, one sample {time}; {label} "
            f"{form.format(before[name])} -> {form.format(after[name])} ({change})")


def times(before: Mapping, after: Mapping, name: str, better: str, worse: str) -> str:
    """Return a phrase such as "7.1 times smaller" for one of the figures of which less is better."""
    a, b = before[name], after[name]
    if not (a and b):
        return f"with {b:g} instead of {a:g}"
    ratio, word = (a / b, better) if a >= b else (b / a, worse)
    return f"{ratio:.1f} times {word}" if ratio >= NOTICEABLE else f"no {better}"

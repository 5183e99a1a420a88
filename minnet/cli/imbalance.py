"""Hints on classes: of very different size, missing in the test part, or no better known than by the largest."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from minnet.cli.console import Console
from minnet.errors import listed, quoted

if TYPE_CHECKING:  # NumPy is loaded by `hint_imbalance` alone
    from minnet.study.training import Training

RATIO = 10  # of the commonest class to the rarest, above which a line says so


def hint_imbalance(job: Training, console: Console) -> None:
    """Print a line that names --class-weight balanced where the training part is imbalanced above 10:1."""
    import numpy as np

    from minnet.engine.weights import imbalance

    if job.settings.class_weight is not None or job.data.signature.task != "classes":
        return
    y, classes = job.data.inputs("train", job.data.signature, job.model.dtype)[1], job.data.classes
    ratio, rare, common = imbalance(y)
    if ratio > RATIO:
        few, many = (np.count_nonzero(y == c) for c in (rare, common))
        console.info(f"class {quoted(str(classes[rare]))} has {few:,} training samples and class "
                     f"{quoted(str(classes[common]))} {many:,} ({ratio:.0f}:1): --class-weight balanced makes them "
                     "weigh the same")


def say_missing_classes(job: Training, console: Console) -> None:
    """Print a line where the test part has no sample of a class: the scores say nothing of it."""
    import numpy as np

    data = job.data
    if data.signature.task != "classes" or data.classes is None:
        return
    missing = np.setdiff1d(data.classes, data.y_test)
    if len(missing):
        names = listed(missing.tolist())
        console.info(f"the test part has no sample of {len(missing)} of {data.n_classes} classes, {names}: the scores "
                     "say nothing of them; --test takes a larger part")


def say_nothing_learned(before: Mapping, console: Console) -> None:
    """Print a line where the dense net is right no more often than the answer that is always the largest class."""
    support = before.get("per_class", {}).get("support")
    if support is None or "confusion" not in before:
        return
    largest = max(support) / sum(support)
    if before["accuracy"] <= largest:
        console.info(f"the dense net has learned nothing: {before['accuracy']:.2%} of the test part right, and the "
                     f"largest class is {largest:.2%} of it: take a smaller --lr, or more --epochs")

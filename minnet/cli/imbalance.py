"""The hint on classes of very different size: one line, where training counts every row the same."""
from __future__ import annotations

from typing import TYPE_CHECKING

from minnet.cli.console import Console
from minnet.errors import quoted

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

"""Masks in a PyTorch state dict: those of torch.nn.utils.prune, and of torch.ao.pruning's parametrizations.

    X.weight_orig, X.weight_mask                                        # torch.nn.utils.prune, before `remove`
    X.parametrizations.weight.original, X.parametrizations.weight.0.mask       # torch.ao.pruning

Each pair is one tensor X.weight, 0 where the mask is, and a mask.
"""
import re

import numpy as np

from minnet.errors import file_error, quoted

PAIRS = ((re.compile(r"(.+)_orig"), "{}_mask"),
         (re.compile(r"(.+)\.parametrizations\.([^.]+)\.original"), "{}.parametrizations.{}.0.mask"))
LIVE = re.compile(r"(^|\.)(weight|bias)_(\w*mask|orig|init\w*)$")
MOST_TOLD = 3
MASK_DTYPES = ("BOOL", "U8", "I8", "I32", "I64", "F16", "F32", "F64")


def apply_masks(tensors, path):
    """Return ({name: (dtype, array)} with each pair as one tensor, {name: bool array} of the masks).

    Raises FileError for a mask of another shape, or with other numbers than 0 and 1.
    """
    found, masks, used = {}, {}, set()
    for name, (dtype, array) in tensors.items():
        for pattern, mask_name in PAIRS:
            match = pattern.fullmatch(name)
            mask = mask_name.format(*match.groups()) if match else None
            if mask in tensors:
                plain = ".".join(match.groups())
                masks[plain] = _as_mask(mask, *tensors[mask], array, path)
                found[plain] = dtype, np.where(masks[plain], array, array.dtype.type(0))
                used |= {name, mask}
    return {name: pair for name, pair in tensors.items() if name not in used} | found, masks


def refuse_live_pruner(tensors, path):
    """Refuse what another pruner keeps beside the weights while it works, naming what to do."""
    left = [name for name in tensors if LIVE.search(name)]
    if left:
        names = quoted(", ".join(left[:MOST_TOLD]))
        raise file_error(path, f"has {names}, which a pruner keeps apart from the weights while it works",
                         'let it make the pruning permanent, as torch.nn.utils.prune.remove(layer, "weight") does, and '
                         "save the state dict again")


def _as_mask(name, dtype, mask, array, path):
    if dtype not in MASK_DTYPES or mask.shape != array.shape or not np.isin(mask, (0, 1)).all():
        raise file_error(path, f"tensor {quoted(name)} is {dtype} of shape {mask.shape}; wanted a mask of 0 and 1 of "
                         f"shape {array.shape}", "save the state dict again")
    return mask != 0

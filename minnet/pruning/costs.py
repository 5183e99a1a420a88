"""What a model with a mask costs: multiply-adds, bytes of its file, and flash and RAM of its C."""
import math
from collections.abc import Callable
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.errors import InvalidValue, quoted
from minnet.pruning.compact import compact
from minnet.pruning.pieces import Pieces


class Costs:
    """The costs of a model as `compact` leaves it, so that weights which make or read a dead unit do not count.

    A unit is dead when all that makes it (weights, bias, gain and shift) is masked. `precision`, `arithmetic` and
    `made` are those of files, as of `save` and `save_c`.
    """

    def __init__(self, model: Model, precision: str | None = None, arithmetic: str | None = None,
                 made: dict | None = None) -> None:
        self.model, self.precision, self.arithmetic, self.made = model, precision, arithmetic, made
        self.coupling = model.couple()
        self.fixed = self.coupling.fixed()
        self.uses = [(use, self.coupling.roots(use.units)) for use in self.coupling.uses]

    def live(self, mask: np.ndarray) -> np.ndarray:
        """Return (length of the vector,) bool: the entries that the mask leaves and that belong to live units."""
        alive = self.fixed.copy()
        for use, roots in self.uses:
            if use.axis == -1 and use.parameter.slice.stop <= self.model.n_trainable:
                window = use.parameter.of(mask)
                alive[roots[window.reshape(-1, window.shape[-1]).any(axis=0)]] = True
        live = mask.copy()
        for use, roots in self.uses:
            window = np.moveaxis(use.parameter.of(live), use.axis, -1)
            window &= alive[roots]
        return live

    def of(self, name: str, pieces: Pieces, mask: np.ndarray) -> np.ndarray:
        """Return (n,) what each piece costs in "macs" or "bytes" by itself, given the others; at least one of them.

        Bytes are those of its numbers: what else a file holds belongs to no piece.
        """
        if name not in ("macs", "bytes"):
            raise InvalidValue(f"per={quoted(repr(name))}; wanted None, 'macs' or 'bytes'")
        cost = self.live(mask).astype(np.float64)
        for layer in self.model.layers.values():
            for p in layer.parameters:
                times = layer.positions if p.kind == "weight" else 0
                p.of(cost)[...] *= self.model.dtype.itemsize if name == "bytes" else times
        return np.maximum(pieces.total(cost), 1)

    def function(self, name: str, value: object) -> Callable[[np.ndarray], float]:
        """Return the function mask -> cost of "macs", "bytes", "flash" or "ram"; `value` may name a microcontroller."""
        if name in ("macs", "bytes"):
            return getattr(self, name)
        return partial(self.on_chip, name=name, chip=value if isinstance(value, str) else None)

    def macs(self, mask: np.ndarray) -> int:
        """Return the multiply-adds of one prediction."""
        live = self.live(mask)
        return sum(layer.positions * int(np.count_nonzero(p.of(live)))
                   for layer in self.model.layers.values() for p in layer.parameters if p.kind == "weight")

    def bytes(self, mask: np.ndarray) -> int:
        """Return the size of the file that `save` writes of the compacted model: numbers, masks and description.

        A model that was born sparse cannot be compacted: then it is the size of its own file.
        """
        from minnet.formats.storage import expected_bytes  # here, so that prune loads no file formats without need

        return expected_bytes(self.small(mask), made=self.made, precision=self.precision)

    def small(self, mask: np.ndarray) -> Model:
        """Return the compacted model, or one that was born sparse with this mask."""
        model = self.model.clone()
        model.set_mask(mask)
        return model if any(p.index is not None for p in model.weight_parameters) else compact(model)

    def on_chip(self, mask: np.ndarray, name: str, chip: str | None = None) -> float:
        """Return the bytes of flash or RAM of the compacted model's C, as `minnet fit` counts them on a chip.

        Without a chip they are those on a core that computes floats in software and reads constants in flash.
        Infinite where the model is too large to be written as C.
        """
        from minnet.formats.c_fit import CORE, chip_of, form_of, needed, on_chip
        from minnet.formats.c_writer import TooManyNumbers

        form = form_of(self.precision, self.arithmetic)
        try:
            needs = needed(self.small(mask), form)
        except TooManyNumbers:
            return math.inf
        return getattr(on_chip(CORE if chip is None else chip_of(chip), form, needs), name)


def room_on(chip: str, name: str) -> int:
    """Return how much of its "flash" or "ram" a net may take for `minnet fit` to say FITS."""
    from minnet.formats.c_fit import TIGHT, chip_of

    return math.floor(TIGHT * getattr(chip_of(chip), name))

"""How the weights of a linear layer are stored in C: all of them, or the live ones with their places, as few bytes."""
import math
from dataclasses import dataclass

import numpy as np

from minnet.formats.c_fold import Linear
from minnet.formats.c_writer import Writer, bits_of

# Live weights and their places are stored where they take less than this share of all, by the bytes of a weight: a
# product by places takes more than twice the time of another.
SPARSE = {4: 0.6, 1: 0.8}
FARTHEST = {bits: 2**bits - 1 for bits in (4, 8, 16)}   # the largest step from one place to the next
NEAR = 15     # the mean step from which on steps of 4 bits are no longer tried: they would take as many fillers
BYTE = 8      # bits


@dataclass(frozen=True)
class Stored:
    """Weights in a file: the kind of functions that read them, and the names of their arrays, weights last."""

    kind: str
    arrays: tuple[str, ...]

    @property
    def sparse(self) -> bool:
        """Return whether only live weights are stored."""
        return len(self.arrays) > 1


@dataclass(frozen=True)
class Live:
    """Live weights unit by unit: how many each unit has, the place of each, and the weight."""

    count: np.ndarray
    place: np.ndarray
    weight: np.ndarray
    kind: str = ""

    @property
    def bits(self) -> int:
        """Return how many bits a place takes: 4, of which two are in a byte, 8, 16 or 32."""
        return int(self.kind.lstrip("atsep"))

    def packed(self) -> np.ndarray:
        """Return the places as they are stored: of 4 bits the even ones of a unit in the lower half of a byte."""
        if self.bits >= BYTE:
            return self.place
        first = np.cumsum(self.count) - self.count
        each = -(-self.count // 2)
        unit = np.repeat(np.arange(len(self.count)), self.count)
        number = np.arange(len(self.place)) - first[unit]
        found = np.zeros(each.sum(), np.int64)
        np.add.at(found, (np.cumsum(each) - each)[unit] + number // 2, self.place << number % 2 * 4)
        return found

    def absolute(self) -> "Live":
        """Return these with the kind of their places: from the first number on."""
        return Live(self.count, self.place, self.weight, f"at{bits_of(self.place)}")

    def relative(self, bits: int) -> "Live":
        """Return these with each place as the step from the one before, in `bits` bits: weights of 0 fill large steps.

        The first place of a unit is a step from 0.
        """
        first = np.zeros(len(self.place), bool)
        first[(np.cumsum(self.count) - self.count)[self.count > 0]] = True
        step = np.where(first, self.place, np.diff(self.place, prepend=0))
        fillers = np.maximum(-(-step // FARTHEST[bits]) - 1, 0)
        ends = np.cumsum(fillers + 1) - 1
        places = np.full(ends[-1] + 1 if len(ends) else 0, FARTHEST[bits])
        weights = np.zeros(len(places), self.weight.dtype)
        places[ends], weights[ends] = step - fillers * FARTHEST[bits], self.weight
        unit = np.repeat(np.arange(len(self.count)), self.count)
        count = self.count + np.bincount(unit, fillers, len(self.count)).astype(int)
        return Live(count, places, weights, f"step{bits}")

    def nbytes(self, weight_bytes: int) -> int:
        """Return the bytes of all three."""
        of_places = int((-(-self.count * self.bits // BYTE)).sum())
        return of_places + len(self.place) * weight_bytes + len(self.count) * bits_of(self.count) // BYTE

    def stored(self, weight_bytes: int, places: str | int) -> "Live":
        """Return these as they take the fewest bytes, or with places of so many bits."""
        whole = self.absolute()
        if places == 32 or (places != "auto" and whole.kind == f"at{places}"):
            return Live(self.count, self.place, self.weight, f"at{places}")
        if places != "auto":
            return Live(self.count, self.place, self.weight, "at16") if (places, whole.kind) == (16, "at8") else \
                self.relative(places)
        near = len(self.place) and self.place[np.cumsum(self.count)[self.count > 0] - 1].sum() < NEAR * len(self.place)
        steps = [self.relative(bits) for bits in FARTHEST if bits >= BYTE or near]
        return min([whole, *steps], key=lambda way: way.nbytes(weight_bytes))   # of equals the absolute ones


def store(writer: Writer, step: Linear, offsets: np.ndarray | None, entries: np.ndarray, kind: str) -> Stored:
    """Add the weights of a layer to the file.

    Parameters
    ----------
    writer : Writer
        The file.
    step : Linear
        The layer.
    offsets : numpy.ndarray or None
        Shape (rows,) or (rows, units): the place that each row of the weight reads; None stores all weights.
    entries : numpy.ndarray
        Its weights, flat: floats, or whole numbers.
    kind : str
        The kind of functions that read them.
    """
    positions = 1 if step.window is None else math.prod(step.window.output)
    weight_bytes, rows = (4 if kind == "float" else 1), len(step.matrix(entries))

    def array(values):
        return writer.floats(step.name, values, flash=True) if kind == "float" else \
            writer.array(step.name, np.ravel(values).astype(int), "int8_t", flash=True)

    if offsets is not None:
        live = live_weights(step, offsets, entries).stored(weight_bytes, writer.choices.places)
        most = SPARSE[weight_bytes] * weight_bytes * rows * step.units
        if step.index is not None or live.nbytes(weight_bytes) < most:
            count = writer.array(f"{step.name}.count", live.count, f"uint{bits_of(live.count)}_t", flash=True)
            place = writer.array(f"{step.name}.place", live.packed(), f"uint{max(live.bits, BYTE)}_t", flash=True)
            writer.products += len(live.weight) * positions
            return Stored(f"{kind}_{live.kind}_count{bits_of(live.count)}", (count, place, array(live.weight)))
    writer.products += rows * step.units * positions
    return Stored(kind, (array(step.matrix(entries)),))


def live_weights(step: Linear, offsets: np.ndarray, entries: np.ndarray) -> Live:
    """Return the weights that are not 0, in the order of their places within each unit."""
    kept = np.flatnonzero(entries)
    rows, units = np.divmod(kept if step.index is None else step.index[kept], step.units)
    places = offsets[rows, units] if offsets.ndim == 2 else offsets[rows]
    order = np.lexsort((places, units))
    return Live(np.bincount(units, minlength=step.units), places[order].astype(int), entries[kept[order]])

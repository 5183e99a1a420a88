"""Features of the input: columns, pixels or channels, and all weights that read each of them.

    pieces = input_pieces(model, ["dense1", "dense2"])

All layers that read the input must be chosen: a feature is removed from all of them, or it stays. The 0 and 1 that
stand for one column of categories are one feature, by the model's signature.
"""
from collections.abc import Sequence

import numpy as np

from minnet.engine.model import Model
from minnet.engine.space import Coupling
from minnet.errors import InvalidValue
from minnet.pruning.pieces import LayerGroup, Reduction, WeightSets, positions_in
from minnet.pruning.units import STATISTICS, makers_of


class InputPieces(WeightSets):
    """Pieces that are features of the input; `piece_of` (n_units,) is the piece of each root of the coupling, or -1."""

    frees_inputs = True

    def __init__(self, model: Model, layer_group: LayerGroup, coupling: Coupling, piece_of: np.ndarray) -> None:
        super().__init__(model, [layer_group], "input", *_members(coupling, piece_of, True),
                         *_members(coupling, piece_of, False))
        self.coupling, self.piece_of = coupling, piece_of

    def reduce(self, scores: np.ndarray, reduction: Reduction) -> np.ndarray:
        """Return (n,) one score a piece; of pieces of several sizes a norm is that of as many weights as the fewest.

        Else a column of many categories would have a larger norm than one of numbers whose weights are as large.
        """
        found, power = super().reduce(scores, reduction), {"l1": 1.0, "l2": 0.5}.get(str(reduction), 0.0)
        return found / (self.sizes / self.sizes.min()) ** power

    def total(self, vector: np.ndarray) -> np.ndarray:
        """Return (n,) the sum of `vector` (length of the model's) over all that a removed feature takes with it."""
        found = super().total(vector)
        for use in self.coupling.uses:
            if use.parameter.kind in STATISTICS:
                piece = self.piece_of[self.coupling.roots(use.units)]
                found += np.bincount(piece[piece >= 0], use.parameter.of(vector)[piece >= 0], minlength=self.n)
        return found


def input_pieces(model: Model, layers: Sequence[str]) -> InputPieces:
    """Return one piece for each feature of the input; raises InvalidValue where none can be removed by itself.

    Of a table that was encoded they are its columns, and the words of each column of text.
    """
    coupling = model.couple(free_inputs=True)
    roots = coupling.roots(coupling.inputs)
    readers = [use.parameter for use in coupling.uses if use.reads and np.isin(coupling.roots(use.units), roots).any()]
    encoding = None if model.signature is None else model.signature.encoding
    features = np.arange(len(roots)) if encoding is None else encoding.inputs[0]
    _check(model, coupling, roots, readers, layers, len(set(features.tolist())))
    piece_of = np.full(coupling.n_units, -1)
    piece_of[roots] = features
    names = dict.fromkeys(p.layer for p in readers)
    group = LayerGroup(tuple(names), tuple(readers), 0, int(features[-1]) + 1, keeps=1)
    return InputPieces(model, group, coupling, piece_of)


def input_norms(model: Model) -> np.ndarray:
    """Return (n,) the L2 norm of the weights that read each feature of the input, those that are removed being 0.

    Features are places along the last axis of the input, or all its numbers where Flatten comes first.
    """
    coupling = model.couple(free_inputs=True)
    roots, piece_of = coupling.roots(coupling.inputs), np.full(coupling.n_units, -1)
    piece_of[roots] = roots
    positions, features = _members(coupling, piece_of, True)
    squares = np.where(model.mask[positions], model.values[positions].astype(np.float64), 0) ** 2
    return np.sqrt(np.bincount(features, squares, minlength=coupling.n_units))[roots]


def _check(model, coupling, roots, readers, layers, n_features):
    """Raise InvalidValue, which says why, where features cannot be removed one by one by these layers."""
    shape, makers = model.input_shape, makers_of(model, coupling)
    makers = sorted({name for root in roots.tolist() for name in makers.get(root, ())})
    left = [p.layer for p in readers if p.layer not in layers]
    born = [p.layer for p in readers if p.index is not None]
    if n_features == 1:
        reason = (f"the input of shape {shape} has a single channel, and single pixels are read by a Dense layer after "
                  "Flatten alone" if len(shape) > 1 else "the input has a single feature")
    elif makers:
        reason = f"features are one with units of {', '.join(makers)}, by a Residual or a depthwise convolution"
    elif len(set(roots.tolist())) < len(roots):
        reason = "a convolution in groups reads them, which loses as many of each group"
    elif coupling.fixed()[roots].any() or not readers:
        reason = "they are outputs too, or a layer reads them that has no weights for each"
    elif born:
        reason = f'{", ".join(born)} was born sparse: take structure="weight"'
    elif left:
        reason = f"it is read by {', '.join(left)} too, which is not chosen: choose all layers that read it"
    else:
        return
    raise InvalidValue(f'structure="input" cannot remove features of the input: {reason}')


def _members(coupling, piece_of, weights):
    """Return (flat positions, piece of each) of all weights that read features, or of what scales and shifts them."""
    positions, pieces = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for use in coupling.uses:
        p = use.parameter
        if p.kind in STATISTICS or (p.kind == "weight") != weights or (weights and not use.reads):
            continue
        place = positions_in(p) // p.shape[-1] % p.shape[-2] if weights else np.arange(p.size)
        piece = piece_of[coupling.roots(use.units)][place]
        inside = np.flatnonzero(piece >= 0)
        positions.append(p.slice.start + inside)
        pieces.append(piece[inside])
    return np.concatenate(positions), np.concatenate(pieces)

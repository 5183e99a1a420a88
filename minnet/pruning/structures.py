"""Structures: the sets of weights that are removed together. Each is a function (model, layers) -> Pieces.

    prune(model, 0.5, structure="filter")
    prune(model, 0.5, structure="4x1")                          # blocks of 4 inputs by 1 output
    prune(model, structure="2:4")                               # keeps 2 of each 4, and so sets its own count
    prune(model, 0.5, structure=partial(structures.block, r=4, c=1))

A weight (..., in, out) is treated as the matrix (K, out) that multiplies the layer's inputs or image windows: K = in
for Dense, kh*kw*in for Conv2d. Pieces of a matrix contain no biases. A unit is removed with all that makes it: incoming
weights, bias, gain and shift, in every layer that shares it. What remains of it is f(0), and `compact` removes that.
"""
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from minnet.engine.model import Model
from minnet.errors import InvalidValue, check_count
from minnet.kernels.select import GONE, STAYS
from minnet.pruning.candidates import Candidates
from minnet.pruning.input_features import input_pieces
from minnet.pruning.pieces import LayerGroup, Pieces, Weights, WeightSets, positions_in
from minnet.pruning.select import select
from minnet.pruning.units import unit_pieces

HUGE = 1e30  # an infinite score counts as this where scores are summed: infinity times 0 is not a number
MATRIX, CONVOLUTION = 2, 4  # axes of a weight: (in, out), and (kh, kw, in, out)
WANTED = {MATRIX: "Dense", CONVOLUTION: "Conv2d or DepthwiseConv2d"}
PATTERN_ENTRIES, PATTERNS = 4, 8  # kept entries of a kernel and size of the library, as PCONV and PatDNN found best


def weight(model: Model, layers: Sequence[str]) -> Pieces:
    """Prune single weights.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.

    Returns
    -------
    Pieces

    References
    ----------
    .. [1] Han et al., 2015, "Learning both weights and connections for efficient neural networks".
    """
    return Weights(model, _layer_groups(model, layers), "weight")


def row(model: Model, layers: Sequence[str]) -> Pieces:
    """Prune rows of the matrix: all weights that read one input (at one place of the window).

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.

    Returns
    -------
    Pieces
    """
    return _matrix_pieces(model, layers, "row", lambda i, j, shape: i)


def column(model: Model, layers: Sequence[str]) -> Pieces:
    """Prune columns of the matrix: all weights into one output.

    Its bias stays; `neuron` and `filter` remove it as well.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.

    Returns
    -------
    Pieces
    """
    return _matrix_pieces(model, layers, "column", lambda i, j, shape: j)


def block(model: Model, layers: Sequence[str], r: int = 4, c: int = 4) -> Pieces:
    """Prune blocks of r rows and c columns of the matrix, smaller at its ends.

    ``structure="4x1"`` means this with r = 4, c = 1.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.
    r, c : int, default 4
        Rows and columns of a block.

    Returns
    -------
    Pieces

    Raises
    ------
    InvalidValue
        `r` or `c` is below 1.
    """
    check_count("rows of a block", r, 1)
    check_count("columns of a block", c, 1)
    return _matrix_pieces(model, layers, f"{r}x{c} block", lambda i, j, shape: i // r * -(-shape[-1] // c) + j // c)


def kernel(model: Model, layers: Sequence[str]) -> Pieces:
    """Prune the kh x kw weights between one input and one output of a convolution.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.

    Returns
    -------
    Pieces

    Raises
    ------
    InvalidValue
        No layer of `layers` is a convolution.

    References
    ----------
    .. [1] Mao et al., 2017, "Exploring the regularity of sparse structure in convolutional neural networks", "2-D".
    """
    layers = _only(model, layers, CONVOLUTION, "kernel")
    return _matrix_pieces(model, layers, "kernel", lambda i, j, shape: i % shape[-2] * shape[-1] + j)


def neuron(model: Model, layers: Sequence[str]) -> Pieces:
    """Prune the units of Dense layers.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.

    Returns
    -------
    Pieces

    Raises
    ------
    InvalidValue
        No layer of `layers` is Dense, or none makes a unit that can be removed.
    """
    return unit_pieces(model, _only(model, layers, MATRIX, "neuron"), "neuron")


def filter_(model: Model, layers: Sequence[str]) -> Pieces:
    """Prune the units of convolutions, and with them the Dense units of gates that multiply them.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.

    Returns
    -------
    Pieces

    Raises
    ------
    InvalidValue
        No layer of `layers` is a convolution, or none makes a unit that can be removed.

    References
    ----------
    .. [1] Li et al., 2017, "Pruning filters for efficient ConvNets".
    """
    gates = [name for name in layers if len(model.layers[name].weight.shape) == MATRIX
             and model.layers[name].weight.index is None]
    return unit_pieces(model, _only(model, layers, CONVOLUTION, "filter"), "filter", gates)


def channel(model: Model, layers: Sequence[str]) -> Pieces:
    """Prune the units of every layer, neurons and filters together.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.

    Returns
    -------
    Pieces

    Raises
    ------
    InvalidValue
        No layer of `layers` makes a unit that can be removed.
    """
    return unit_pieces(model, layers, "channel")


def input_(model: Model, layers: Sequence[str]) -> Pieces:
    """Prune features of the input: all weights that read one of them.

    Features are columns, and of a column of text each of its words; single pixels where Flatten comes first; else the
    channels of images. At least one stays.
    ``compact(model, inputs=True)`` then makes a model that takes the others alone.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights, with all that read the input among them.

    Returns
    -------
    Pieces

    Raises
    ------
    InvalidValue
        The input has a single feature, a layer that reads it is not in `layers` or was born sparse, or its features
        are joined with units that a layer makes.

    References
    ----------
    .. [1] Castellano and Fanelli, 2000, "Variable selection using neural-network models".
    """
    return input_pieces(model, layers)


def n_m(model: Model, layers: Sequence[str], n: int = 2, m: int = 4) -> Pieces:
    """Keep n of each m consecutive weights along the input axis, for each output by itself.

    The input axis of a convolution is (kh, kw, in) flattened; a last group of r < m weights keeps min(n, r).
    ``structure="2:4"`` means this with n = 2, m = 4. The structure sets its own count.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.
    n, m : int, default 2 and 4
        How many weights of each group stay, and the size of a group.

    Returns
    -------
    Pieces

    Raises
    ------
    InvalidValue
        `n` is above `m`, or `m` is below 1.

    References
    ----------
    .. [1] Mishra et al., 2021, "Accelerating sparse deep neural networks", section 3, for 2:4.
    """
    if check_count("m of n:m", m, 1) < check_count("n of n:m", n):
        raise InvalidValue(f"structure={n}:{m} keeps {n} of each {m}: the first number must not be the larger one")
    return NOfM(model, _layer_groups(model, layers), n, m)


def pattern(model: Model, layers: Sequence[str], entries: int = PATTERN_ENTRIES, patterns: int = PATTERNS) -> Pieces:
    """Keep `entries` weights of every kernel, in one of at most `patterns` arrangements.

    The arrangements of a layer are those that most of its kernels would choose by themselves. The structure sets its
    own count.

    Parameters
    ----------
    model : Model
    layers : sequence of str
        Names of layers with weights.
    entries : int, default 4
        How many of the kh x kw weights of a kernel stay.
    patterns : int, default 8
        The size of the library of arrangements, by layer.

    Returns
    -------
    Pieces

    Raises
    ------
    InvalidValue
        No layer of `layers` is a convolution.

    References
    ----------
    .. [1] Niu et al., 2020, "PatDNN", section 4.1.
    """
    check_count("entries of a pattern", entries, 1)
    check_count("patterns", patterns, 1)
    layers = _only(model, layers, CONVOLUTION, "pattern")
    return Patterned(model, _layer_groups(model, layers), entries, patterns)


class NOfM(Weights):
    """Single weights in groups of m, of which n stay."""

    own_count = True

    def __init__(self, model: Model, layer_groups: Sequence[LayerGroup], n: int, m: int) -> None:
        super().__init__(model, layer_groups, "weight")
        self.kept, self.m = n, m

    def cut(self, candidates: Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (groups, counts, gone (n,) bool); masked weights count first, and stay masked if they are more."""
        groups = self.groups()
        sizes = np.bincount(groups)
        counts = np.maximum(sizes - self.kept, candidates.gone_in(groups, len(sizes)))
        return groups, counts, select(candidates.scores, candidates.state, counts, groups)

    def groups(self) -> np.ndarray:
        """Return (n,) the number of each weight's group."""
        numbers, first = [], 0
        for group in self.layer_groups:
            p = group.parameters[0]
            i, j = np.divmod(positions_in(p), p.shape[-1])
            numbers.append(first + i // self.m * p.shape[-1] + j)
            first += -(-p.size // p.shape[-1] // self.m) * p.shape[-1]
        return np.concatenate(numbers)


class Patterned(Weights):
    """Single weights of kernels that take one of a few patterns."""

    own_count = True
    ranked = False

    def __init__(self, model: Model, layer_groups: Sequence[LayerGroup], entries: int, patterns: int) -> None:
        super().__init__(model, layer_groups, "weight")
        self.entries, self.patterns = entries, patterns

    def cut(self, candidates: Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (groups, counts, gone (n,) bool); groups are layers, in which a pattern need not follow the scores."""
        if (candidates.state == STAYS).any():
            raise InvalidValue('structure="pattern" beside a value_range: a pattern takes whole kernels; leave it out')
        gone = np.concatenate(list(self._layers(candidates.scores, candidates.state)))
        return candidates.layers, np.bincount(candidates.layers[gone], minlength=len(candidates.layer_groups)), gone

    def _layers(self, scores: np.ndarray, state: np.ndarray) -> Iterator[np.ndarray]:
        """Yield which weights of each layer are removed."""
        for group in self.layer_groups:
            shape = group.parameters[0].shape
            area = math.prod(shape[:-2])
            if area <= self.entries:
                raise InvalidValue(f"the kernels of {group.name} have {area} weights, not more than the "
                                   f"{self.entries} that a pattern keeps: leave the layer out or ask for fewer")
            in_kernels = scores[group.slice].reshape(area, -1), state[group.slice].reshape(area, -1)
            yield self._cut_layer(*in_kernels).ravel()

    def _cut_layer(self, scores, state):
        """Return (area, kernels) bool: True where a weight is removed.

        A kernel takes the pattern that keeps most of its live weights and, of several, the largest sum of scores; so
        masked weights are removed first here too.
        """
        kernels = np.tile(np.arange(scores.shape[1]), len(scores))
        wanted = np.full(scores.shape[1], len(scores) - self.entries)
        own = ~select(scores.ravel(), state.ravel(), wanted, kernels).reshape(scores.shape)
        found, times = np.unique(own, axis=1, return_counts=True)
        library = found[:, np.argsort(-times, kind="stable")[: self.patterns]]  # (area, patterns)
        live = state != GONE
        worth = np.where(live, np.clip(scores, -HUGE, HUGE), 0).T.astype(np.float64) @ library  # (kernels, patterns)
        kept = live.T.astype(np.float64) @ library
        worth[kept < kept.max(axis=1, keepdims=True)] = -np.inf
        return ~library[:, np.argmax(worth, axis=1)] | ~live


def _layer_groups(model: Model, layers: Sequence[str]) -> list[LayerGroup]:
    """Return one layer group a layer, one piece a weight."""
    layer_groups, start = [], 0
    for name in layers:
        p = model.layers[name].weight
        size = p.slice.stop - p.slice.start
        layer_groups.append(LayerGroup((name,), (p,), start, start + size))
        start += size
    return layer_groups


def _matrix_pieces(model: Model, layers: Sequence[str], unit: str, number: Callable[..., np.ndarray]) -> WeightSets:
    """Return pieces within each matrix; number(i, j, shape) is the piece of the weights at row i, column j."""
    layer_groups, positions, piece, start = [], [], [], 0
    for name in layers:
        p = model.layers[name].weight
        i, j = np.divmod(positions_in(p), p.shape[-1])
        numbers, inside = np.unique(number(i, j, p.shape), return_inverse=True)
        layer_groups.append(LayerGroup((name,), (p,), start, start + len(numbers)))
        positions.append(np.arange(p.slice.start, p.slice.stop))
        piece.append(start + inside)
        start += len(numbers)
    return WeightSets(model, layer_groups, unit, np.concatenate(positions), np.concatenate(piece))


def _only(model: Model, layers: Sequence[str], axes: int, structure: str) -> list[str]:
    """Return the layers whose weights have this many axes; of layers born sparse only weights can be removed."""
    weights = {name: model.layers[name].weight for name in layers}
    left = [name for name, weight in weights.items() if weight.index is None and len(weight.shape) == axes]
    if not left:
        born = any(weight.index is not None for weight in weights.values())
        reason = '; layers born sparse have no units that compaction could remove, take structure="weight"' * born
        raise InvalidValue(f'structure="{structure}" is for {WANTED[axes]} layers, of which the choice has none: '
                           f'{", ".join(layers)}{reason}')
    return left


STRUCTURES = {f.__name__.rstrip("_"): f
              for f in (weight, row, column, block, kernel, neuron, filter_, channel, input_, n_m, pattern)}

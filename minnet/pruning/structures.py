"""Structures: in which pieces weights go. Each is a function (model, layers) -> Pieces; `layers` are names.

    prune(model, 0.5, structure="filter")
    prune(model, 0.5, structure="4x1")                          # blocks of 4 inputs by 1 output
    prune(model, structure="2:4")                               # keeps 2 of each 4, and so sets its own count
    prune(model, 0.5, structure=partial(structures.block, r=4, c=1))

A weight (..., in, out) is seen as the matrix (K, out) that multiplies the layer's inputs or image windows: K = in for
Dense, kh*kw*in for Conv2d. Pieces of a matrix leave biases alone. Units go whole: all that makes them, their incoming
weights, bias, gain and shift, in every layer that shares them; so what remains of a unit is f(0), and `compact` takes
it out.
"""
import math

import numpy as np

from minnet.errors import InvalidValue, check_count
from minnet.kernels.select import GONE, STAYS
from minnet.pruning.pieces import Groups, Part, Weights, positions_in
from minnet.pruning.select import select
from minnet.pruning.units import unit_pieces

HUGE = 1e30  # an infinite score counts as this where scores are summed: infinity times 0 is no number
MATRIX, CONVOLUTION = 2, 4  # axes of a weight: (in, out), and (kh, kw, in, out)
WANTED = {MATRIX: "Dense", CONVOLUTION: "Conv2d or DepthwiseConv2d"}
PATTERN_ENTRIES, PATTERNS = 4, 8  # kept entries of a kernel and size of the library, as PCONV and PatDNN found best


def weight(model, layers):
    """Single weights (Han et al., 2015)."""
    return Weights(model, _weight_parts(model, layers), "weight")


def row(model, layers):
    """Rows of the matrix: all weights that read one input (of one place in the window)."""
    return _matrix_pieces(model, layers, "row", lambda i, j, shape: i)


def column(model, layers):
    """Columns of the matrix: all weights into one output; its bias stays, compare `neuron` and `filter`."""
    return _matrix_pieces(model, layers, "column", lambda i, j, shape: j)


def block(model, layers, r=4, c=4):
    """Blocks of r rows and c columns of the matrix, smaller at its ends; "4x1" means this with r = 4, c = 1."""
    check_count("rows of a block", r, 1)
    check_count("columns of a block", c, 1)
    return _matrix_pieces(model, layers, f"{r}x{c} block", lambda i, j, shape: i // r * -(-shape[-1] // c) + j // c)


def kernel(model, layers):
    """The kh x kw weights between one input and one output of a convolution (Mao et al., 2017, "2-D")."""
    layers = _only(model, layers, CONVOLUTION, "kernel")
    return _matrix_pieces(model, layers, "kernel", lambda i, j, shape: i % shape[-2] * shape[-1] + j)


def neuron(model, layers):
    """Units that Dense layers make."""
    return unit_pieces(model, _only(model, layers, MATRIX, "neuron"), "neuron")


def filter_(model, layers):
    """Units that convolutions make (Li et al., 2017)."""
    return unit_pieces(model, _only(model, layers, CONVOLUTION, "filter"), "filter")


def channel(model, layers):
    """Units of every layer, neurons and filters together."""
    return unit_pieces(model, layers, "channel")


def n_m(model, layers, n=2, m=4):
    """Keeps n of each m consecutive weights along the input axis (kh, kw, in flattened), for each output by itself; a
    last group of r < m keeps min(n, r) (Mishra et al., 2021, section 3, for 2:4).

    "2:4" means this with n = 2, m = 4. It sets its own count.
    """
    if check_count("m of n:m", m, 1) < check_count("n of n:m", n):
        raise InvalidValue(f"structure={n}:{m} keeps {n} of each {m}: the first number must not be the larger one")
    return KeptOfEach(model, _weight_parts(model, layers), n, m)


def pattern(model, layers, entries=PATTERN_ENTRIES, patterns=PATTERNS):
    """Every kernel keeps `entries` of its kh x kw weights, in one of at most `patterns` arrangements that its layer's
    kernels choose most often by themselves (Niu et al., 2020, "PatDNN", section 4.1). It sets its own count."""
    check_count("entries of a pattern", entries, 1)
    check_count("patterns", patterns, 1)
    layers = _only(model, layers, CONVOLUTION, "pattern")
    return Patterned(model, _weight_parts(model, layers), entries, patterns)


class KeptOfEach(Weights):
    """Single weights in groups of m, of which n stay."""

    own_count = True

    def __init__(self, model, parts, n, m):
        super().__init__(model, parts, "weight")
        self.kept, self.m = n, m

    def cut(self, pool):
        """(heaps, counts, gone (n,) bool). What is gone already goes first, and stays gone if it is more than that."""
        groups = self.groups()
        sizes = np.bincount(groups)
        counts = np.maximum(sizes - self.kept, pool.gone_in(groups, len(sizes)))
        return groups, counts, select(pool.scores, pool.state, counts, groups)

    def groups(self):
        """(n,) the number of each weight's group."""
        numbers, first = [], 0
        for part in self.parts:
            p = part.parameters[0]
            i, j = np.divmod(positions_in(p), p.shape[-1])
            numbers.append(first + i // self.m * p.shape[-1] + j)
            first += -(-p.size // p.shape[-1] // self.m) * p.shape[-1]
        return np.concatenate(numbers)


class Patterned(Weights):
    """Single weights of kernels that take one of a few patterns."""

    own_count = True
    ranked = False

    def __init__(self, model, parts, entries, patterns):
        super().__init__(model, parts, "weight")
        self.entries, self.patterns = entries, patterns

    def cut(self, pool):
        """(heaps, counts, gone (n,) bool); the heaps are the layers, in which a pattern need not follow the scores."""
        if (pool.state == STAYS).any():
            raise InvalidValue('structure="pattern" beside a value_range: a pattern takes whole kernels; leave it out')
        gone = np.concatenate(list(self._layers(pool.scores, pool.state)))
        return pool.layers, np.bincount(pool.layers[gone], minlength=len(pool.parts)), gone

    def _layers(self, scores, state):
        """What goes, layer by layer."""
        for part in self.parts:
            shape = part.parameters[0].shape
            area = math.prod(shape[:-2])
            if area <= self.entries:
                raise InvalidValue(f"the kernels of {part.name} have {area} weights, and a pattern is to keep "
                                   f"{self.entries}: leave the layer out or ask for fewer")
            in_kernels = scores[part.slice].reshape(area, -1), state[part.slice].reshape(area, -1)
            yield self._cut_layer(*in_kernels).ravel()

    def _cut_layer(self, scores, state):
        """(area, kernels) bool. A kernel takes the pattern that keeps most of its live weights, of those that keep as
        many the one with the largest sum of scores: what is gone goes first here too."""
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


def _weight_parts(model, layers):
    """One part a layer, one piece a weight."""
    parts, start = [], 0
    for name in layers:
        p = model.layers[name].weight
        size = p.slice.stop - p.slice.start
        parts.append(Part((name,), (p,), start, start + size))
        start += size
    return parts


def _matrix_pieces(model, layers, unit, number):
    """Groups within each matrix; number(i, j, shape) is the group of the weights at row i, column j."""
    parts, positions, piece, start = [], [], [], 0
    for name in layers:
        p = model.layers[name].weight
        i, j = np.divmod(positions_in(p), p.shape[-1])
        groups, inside = np.unique(number(i, j, p.shape), return_inverse=True)
        parts.append(Part((name,), (p,), start, start + len(groups)))
        positions.append(np.arange(p.slice.start, p.slice.stop))
        piece.append(start + inside)
        start += len(groups)
    return Groups(model, parts, unit, np.concatenate(positions), np.concatenate(piece))


def _only(model, layers, axes, structure):
    """Those of the layers whose weights have so many axes; of layers born sparse only weights can go."""
    weights = {name: model.layers[name].weight for name in layers}
    left = [name for name, weight in weights.items() if weight.index is None and len(weight.shape) == axes]
    if not left:
        born = any(weight.index is not None for weight in weights.values())
        reason = '; layers born sparse have no units that compaction could cut, take structure="weight"' * born
        raise InvalidValue(f'structure="{structure}" is for {WANTED[axes]} layers, of which the choice has none: '
                           f'{", ".join(layers)}{reason}')
    return left


STRUCTURES = {f.__name__.rstrip("_"): f
              for f in (weight, row, column, block, kernel, neuron, filter_, channel, n_m, pattern)}

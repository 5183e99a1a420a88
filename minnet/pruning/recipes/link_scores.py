"""Cannistraci-Hebb scores: how much the links of a bipartite graph speak for each link that it lacks.

    positions, scores = node_scores(A)      # CH2-L3n
    positions, scores = path_scores(A)      # CH3-L3p

A (m, n) is a layer's topology as a csr_array of ones: m inputs, n outputs. The scores are those above 0, at flat
positions where A has no link, sorted. Both look at paths of three links from input u to output v, u - w - z - v.
c(u, z) is how many outputs the inputs u and z share, d_z how many links z has; of these i_z = c(u, z) are internal, and
e_z = d_z - 1 - c(u, z) external, the link to v aside. For outputs w likewise. A transposed has the scores transposed.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minnet.kernels.sparse.paths import node_sums, path_sums

if TYPE_CHECKING:
    from scipy.sparse import csr_array

BLOCK = 2**20  # scores that are computed at a time
DENSE = 0.1    # share of links above which products of dense matrices are faster than walks along paths

Scores = tuple[np.ndarray, np.ndarray]  # (positions, scores above 0)
LinkScore = Callable[["csr_array"], Scores]


def node_scores(A: csr_array) -> Scores:
    """Score each missing link by the nodes on paths between its ends: sum of (1 + i)/(1 + e) over all z and w.

    References
    ----------
    .. [1] Zhang et al., 2025, "Brain network science modelling of sparse neural networks enables Transformers and LLMs
           to perform as fully connected": CH2-L3n.
    """
    if A.nnz > DENSE * A.shape[0] * A.shape[1]:
        links = A.toarray()
        inputs, outputs = ((1 + c) / external * (c > 0) for c, external in map(_shared, (links, links.T)))
        return _above_0([(inputs @ links + (outputs @ links.T).T) * (1 - links)])
    walk = _Walk(A)
    walk.shared.data = (1 + walk.shared.data) / walk.external
    return walk.scores(node_sums)


def path_scores(A: csr_array) -> Scores:
    """Score each missing link by the paths u - w - z - v between its ends: sum of 1 / sqrt((1 + e_w)(1 + e_z)).

    References
    ----------
    .. [1] Zhang et al., 2025, "Brain network science modelling of sparse neural networks enables Transformers and LLMs
           to perform as fully connected": CH3-L3p.
    """
    if A.nnz > DENSE * A.shape[0] * A.shape[1]:
        return _above_0([_dense_paths(A.toarray())])
    walk = _Walk(A)
    walk.shared.data = 1 / np.sqrt(walk.external)
    return walk.scores(path_sums, np.zeros(A.shape[1]))


def _shared(links):
    """Return (c, 1 + e) of all pairs of rows, the column's e: at least 1, for where less remains there is a link."""
    c = links @ links.T
    return c, np.maximum(links.sum(axis=1) - c, 1)


def _dense_paths(links):
    """Return the path score of all pairs, output by output: of inputs z with a link to it, and of w that z has."""
    inputs, outputs = (1 / np.sqrt(external) for _, external in map(_shared, (links, links.T)))
    sums = np.empty_like(links)
    for v, column in enumerate(links.T):
        z = np.flatnonzero(column)
        by_w = links[z] * outputs[v]  # (z, w)
        sums[:, v] = np.einsum("uz,zu->u", inputs[:, z], by_w @ links.T)
    return sums * (1 - links)


def _above_0(blocks):
    """Return the positions of scores above 0 in blocks of rows, and these scores."""
    positions, scores, first = [], [], 0
    for block in blocks:
        flat = block.reshape(-1)
        found = np.flatnonzero(flat > 0)
        positions.append(first + found)
        scores.append(flat[found])
        first += flat.size
    return np.concatenate(positions), np.concatenate(scores)


class _Walk:
    """A graph as the kernels walk it, a block of inputs at a time.

    `shared` (n, n) says with how many inputs two outputs are linked, `external` 1 + e of its rows, entry by entry.
    """

    def __init__(self, A):
        A.sort_indices()
        self.shape, AT = A.shape, A.T.tocsr()
        self.shared = AT @ A
        degrees = np.diff(AT.indptr)
        self.external = np.maximum(np.repeat(degrees, np.diff(self.shared.indptr)) - self.shared.data, 1)
        self.graph = *_places(A), *_places(AT), *_places(self.shared)

    def scores(self, kernel, *scratch):
        """Return the scores that a kernel computes."""
        return _above_0(self._blocks(kernel, np.zeros(self.shape[0]), *scratch))

    def _blocks(self, kernel, *scratch):
        m, n = self.shape
        rows = max(1, BLOCK // n)
        for first in range(0, m, rows):
            sums = np.empty((min(rows, m - first), n))
            kernel(first, *self.graph, self.shared.data, *scratch, sums)
            yield sums


def _places(M):
    """Return indptr and indices of a matrix as kernels take them."""
    return M.indptr.astype(np.int64), M.indices.astype(np.int32)


SCORES: dict[str, LinkScore] = {"node": node_scores, "path": path_scores}

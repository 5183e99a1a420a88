"""Cannistraci-Hebb scores: how much the links of a bipartite graph speak for each link that it lacks.

    positions, scores = node_scores(A)      # CH2-L3n
    positions, scores = path_scores(A)      # CH3-L3p

A (m, n) is a layer's topology as a csr_array of ones: m inputs, n outputs. The scores are those above 0, at flat
positions where A has no link, sorted. Both look at paths of three links from input u to output v, u - w - z - v.
c(u, z) is how many outputs the inputs u and z share, d_z how many links z has; of these i_z = c(u, z) are internal, and
e_z = d_z - 1 - c(u, z) external, the link to v aside. For outputs w likewise. A transposed has the scores transposed.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from minnet.engine.rewire import among

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CHUNK = 2**22  # entries of a product of sparse matrices that are in memory at a time

Scores = tuple[np.ndarray, np.ndarray]  # (positions, scores above 0)
LinkScore = Callable[["csr_array"], Scores]


def node_scores(A: csr_array) -> Scores:
    """Score each missing link by the nodes on paths between its ends: sum of (1 + i)/(1 + e) over all z and w.

    References
    ----------
    .. [1] Zhang et al., 2025, "Brain network science modelling of sparse neural networks enables Transformers and LLMs
           to perform as fully connected": CH2-L3n.
    """
    AT = A.T.tocsr()
    inputs, outputs = shared_links(A, AT), shared_links(AT, A)
    for common, external in (inputs, outputs):
        common.data = (common.data + 1) / external
    return _missing(inputs[0] @ A + (outputs[0] @ AT).T.tocsr(), A)


def path_scores(A: csr_array) -> Scores:
    """Score each missing link by the paths u - w - z - v between its ends: sum of 1 / sqrt((1 + e_w)(1 + e_z)).

    Some outputs v at a time: for each of their links (z, v) and each u, the sum over w is an entry of a product of
    sparse matrices, in which the entries of a row are those of c(u, z) > 0.

    References
    ----------
    .. [1] Zhang et al., 2025, "Brain network science modelling of sparse neural networks enables Transformers and LLMs
           to perform as fully connected": CH3-L3p.
    """
    from scipy.sparse import csr_array, vstack  # here, as it takes long to load

    AT = A.T.tocsr()
    inputs, outputs = shared_links(A, AT), shared_links(AT, A)
    for common, external in (inputs, outputs):
        common.data = 1 / np.sqrt(external)
    by_z = inputs[0].T.tocsr()  # (z, u)
    by_z.sort_indices()
    parts = []
    for first, last in _chunks(AT @ np.diff(by_z.indptr)):
        links = slice(AT.indptr[first], AT.indptr[last])
        z, v = AT.indices[links], np.repeat(np.arange(first, last), np.diff(AT.indptr[first : last + 1]))
        sums = A[z].multiply(outputs[0][v]).tocsr() @ AT  # (links (z, v), u)
        sums.sort_indices()
        sums.data *= by_z[z].data
        at_v = csr_array((np.ones(len(z)), np.arange(len(z)), AT.indptr[first : last + 1] - links.start),
                         shape=(last - first, len(z)))
        parts.append(at_v @ sums)
    return _missing(vstack(parts).T.tocsr(), A)


def shared_links(A: csr_array, AT: csr_array) -> tuple[csr_array, np.ndarray]:
    """Return c (m, m), how many outputs two inputs share, and 1 + e_z of each entry, z being its column.

    At least 1: where less remains there is a link, which has no score.
    """
    common = A @ AT
    return common, np.maximum(np.diff(A.indptr)[common.indices] - common.data, 1)


def _chunks(entries: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of parts of a list with CHUNK entries or one item each, about."""
    parts = np.cumsum(entries) // CHUNK
    edges = np.flatnonzero(np.diff(parts)) + 1
    yield from zip([0, *edges.tolist()], [*edges.tolist(), len(entries)], strict=True)


def _missing(scores, A):
    """Return the scores where A has no link."""
    n = A.shape[1]
    scores.sort_indices()
    positions, links = (M.indices + n * np.repeat(np.arange(len(M.indptr) - 1), np.diff(M.indptr)) for M in (scores, A))
    new = ~among(positions, links)
    return positions[new], scores.data[new]


SCORES: dict[str, LinkScore] = {"node": node_scores, "path": path_scores}

"""Paths of three links u - w - z - v in a bipartite graph, summed over all w and z: Cannistraci-Hebb scores.

    node_sums(first, indptr, indices, csc_indptr, csc_indices, common_indptr, common, weight, counts, sums)
    path_sums(first, indptr, indices, csc_indptr, csc_indices, common_indptr, common, weight, counts, reached, sums)

u and z are inputs, v and w outputs. The graph is given by its inputs (CSR) and by its outputs (CSC), see csr.py; row w
of the CSR matrix (common_indptr, common) holds the outputs v with which w shares inputs. d_z is how many links z has,
c(u, z) how many outputs u and z share.
"""
import math

from minnet.kernels.jit import kernel


@kernel
def node_sums(first, indptr, indices, csc_indptr, csc_indices, common_indptr, common, weight, counts, sums):
    """Compute sums[r, v] = sum over z of (1 + c(u, z)) / max(d_z - c(u, z), 1) + sum over w of weight(w, v).

    u = first + r; z and w as on the paths; 0 where u and v are linked.
    indptr: (m + 1,), csc_indptr, common_indptr: (n + 1,) int64; indices, csc_indices, common: int32;
    weight: like common, float64; counts: (m,) float64, 0 before and after; sums: (rows, n) float64.
    """
    sums[:] = 0
    for r in range(len(sums)):
        out, u = sums[r], first + r
        for k in range(indptr[u], indptr[u + 1]):
            w = indices[k]
            for j in range(csc_indptr[w], csc_indptr[w + 1]):
                counts[csc_indices[j]] += 1
            for j in range(common_indptr[w], common_indptr[w + 1]):
                out[common[j]] += weight[j]
        for k in range(indptr[u], indptr[u + 1]):
            w = indices[k]
            for j in range(csc_indptr[w], csc_indptr[w + 1]):
                z = csc_indices[j]
                c = counts[z]
                counts[z] = 0  # each z once
                share = (1 + c) / max(indptr[z + 1] - indptr[z] - c, 1) if c > 0 else 0.0
                for i in range(indptr[z], indptr[z + 1] if c > 0 else indptr[z]):
                    out[indices[i]] += share
        for k in range(indptr[u], indptr[u + 1]):
            out[indices[k]] = 0


@kernel
def path_sums(first, indptr, indices, csc_indptr, csc_indices, common_indptr, common, weight, counts, reached, sums):
    """Compute sums[r, v] = sum over w and z of weight(w, v) / sqrt(max(d_z - c(u, z), 1)).

    As `node_sums`; reached: (n,) float64, 0 before and after.
    """
    sums[:] = 0
    for r in range(len(sums)):
        out, u = sums[r], first + r
        for k in range(indptr[u], indptr[u + 1]):
            for j in range(csc_indptr[indices[k]], csc_indptr[indices[k] + 1]):
                counts[csc_indices[j]] += 1
        for k in range(indptr[u], indptr[u + 1]):
            w = indices[k]
            for j in range(csc_indptr[w], csc_indptr[w + 1]):
                z = csc_indices[j]
                if counts[z] > 0:  # from here on the share of z, negative
                    counts[z] = -1 / math.sqrt(max(indptr[z + 1] - indptr[z] - counts[z], 1))
                share = -counts[z]
                for i in range(indptr[z], indptr[z + 1]):
                    reached[indices[i]] += share
            for j in range(common_indptr[w], common_indptr[w + 1]):
                out[common[j]] += weight[j] * reached[common[j]]
                reached[common[j]] = 0
        for k in range(indptr[u], indptr[u + 1]):
            for j in range(csc_indptr[indices[k]], csc_indptr[indices[k] + 1]):
                counts[csc_indices[j]] = 0
        for k in range(indptr[u], indptr[u + 1]):
            out[indices[k]] = 0

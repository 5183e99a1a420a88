"""Linear layers as steps of a compiled program (see ops.py), for tiles and for images.

A weight times a run of neighbouring numbers is added to another run. A dense layer's run is the tile, a convolution's
the pixels of a line; so no zero need be multiplied, and no window copied. The sums of a part of a run stay in registers
until they are complete: of one plane in `sparse_planes`, of four in `block_planes`, of six in `dense_planes`, which
read each number of x once for all of them.

All take code[at]: step, planes, lines, run, x, x_line, y, y_plane, y_line, indptr, indices, weight, bias, scale. The
last five are offsets: indptr and indices (of CSR, see each kernel) in `index`, weight in `weights`, bias and scale in
`value`. The scale of a plane is used where weights are int8 (see int8.py). Runs are multiples of RUN, in
`sparse_planes` of HALF; all of a run is read and written, even where less would do.
"""
import llvmlite.binding
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.program.int8 import number, scale_of
from minnet.kernels.program.ops import HALF, RUN
from minnet.kernels.simd.attributes import as_nonnegative, noalias
from minnet.kernels.simd.vector import GATHER_FMA

WIDE = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
LANES = 128 if WIDE else RUN  # numbers of a plane that are summed in registers: eight vectors of 512 or of 256 bits
gather_fma_wide, gather_fma_run, gather_fma_half = GATHER_FMA[LANES], GATHER_FMA[RUN], GATHER_FMA[HALF]
# With several planes at once each has fewer lanes: 6 x 64 float32 are 24 of the 32 registers of 512 bits, and 6 x 16
# are 12 of the 16 registers of 256 bits. The rest holds x and the weights.
BLOCK_LANES, DENSE_LANES = (64, 64) if WIDE else (16, 16)
BLOCK_PLANES, DENSE_PLANES = 4, 6
CACHED = 2**17  # float32 numbers that stay in the second-level cache, half a megabyte


@kernel
def sparse_planes(code, at, index, weights, value, x, y):
    """Compute y[i, l, j] = bias[i] + sum over k of weight[k] * x[indices[k] + l * x_line + j], for lines l and j < run.

    The weights of plane i are k = indptr[i], ..., indptr[i + 1] - 1. indptr: (planes + 1,); indices, weight: (k,).
    """
    noalias()
    planes, lines, run = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_line = np.int64(code[at, 4]), np.int64(code[at, 5])
    y0, y_plane, y_line = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    indptr, indices = np.int64(code[at, 9]), np.int64(code[at, 10])
    weight, bias, scale = np.int64(code[at, 11]), np.int64(code[at, 12]), np.int64(code[at, 13])
    for i in range(planes):
        begin, b = np.int64(index[indptr + i]), value[bias + i]
        n, unit = np.int64(index[indptr + i + 1]) - begin, scale_of(weights, value, scale + i)
        for line in range(lines):
            source, target = as_nonnegative(x0 + line * x_line), as_nonnegative(y0 + i * y_plane + line * y_line)
            wide, span = run - run % LANES, (indices + begin, weight + begin, n)
            # a run is LANES at a time, then RUN, then HALF: the loop over the weights has no remainder to check
            for c in range(0, wide, LANES):
                gather_fma_wide(y, target + c, b, x, source + c, 1, index, weights, None, span, unit)
            for c in range(wide, run - run % RUN, RUN):
                gather_fma_run(y, target + c, b, x, source + c, 1, index, weights, None, span, unit)
            if run % RUN:
                c = run - HALF
                gather_fma_half(y, target + c, b, x, source + c, 1, index, weights, None, span, unit)


@kernel
def block_planes(code, at, index, weights, value, x, y0, y1, y2, y3):
    """Compute the same for groups of four planes that share their indices. y0, ..., y3 are the same array.

    planes is a multiple of four. indptr: (planes / 4 + 1,), by group; indices: (k,); weight: (k, 4).
    """
    noalias()
    planes, lines, run = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_line = np.int64(code[at, 4]), np.int64(code[at, 5])
    target, y_plane, y_line = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    indptr, indices = np.int64(code[at, 9]), np.int64(code[at, 10])
    weight, bias, scale = np.int64(code[at, 11]), np.int64(code[at, 12]), np.int64(code[at, 13])
    for i in range(planes // BLOCK_PLANES):
        plane = BLOCK_PLANES * i
        begin, end, b = np.int64(index[indptr + i]), np.int64(index[indptr + i + 1]), as_nonnegative(bias + plane)
        u = as_nonnegative(scale + plane)
        # the array comes in under four names, so that `noalias` says that the four planes do not overlap: else each
        # store would be followed by a load of what the others may have changed
        u0, u1 = scale_of(weights, value, u), scale_of(weights, value, u + 1)
        u2, u3 = scale_of(weights, value, u + 2), scale_of(weights, value, u + 3)
        for line in range(lines):
            for c in range(0, run, BLOCK_LANES):
                t0 = as_nonnegative(target + plane * y_plane + line * y_line + c)
                t1, t2 = as_nonnegative(t0 + y_plane), as_nonnegative(t0 + 2 * y_plane)
                t3 = as_nonnegative(t0 + 3 * y_plane)
                for j in range(BLOCK_LANES):
                    y0[t0 + j], y1[t1 + j], y2[t2 + j], y3[t3 + j] = value[b], value[b + 1], value[b + 2], value[b + 3]
                for k in range(begin, end):
                    s = as_nonnegative(x0 + line * x_line + c + np.int64(index[indices + k]))
                    w = as_nonnegative(weight + BLOCK_PLANES * k)
                    w0, w1 = u0 * number(weights, w, value), u1 * number(weights, w + 1, value)
                    w2, w3 = u2 * number(weights, w + 2, value), u3 * number(weights, w + 3, value)
                    for j in range(BLOCK_LANES):
                        y0[t0 + j] += w0 * x[s + j]
                        y1[t1 + j] += w1 * x[s + j]
                        y2[t2 + j] += w2 * x[s + j]
                        y3[t3 + j] += w3 * x[s + j]


@kernel
def dense_planes(code, at, index, weights, value, x, y0, y1, y2, y3, y4, y5):
    """Compute the same for groups of six planes, where all planes share all indices. y0, ..., y5 are the same array.

    planes is a multiple of six. The operand `indptr` is the number of indices instead; indices: (count,);
    weight: (planes / 6, count, 6).
    """
    noalias()
    planes, lines, run = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_line = np.int64(code[at, 4]), np.int64(code[at, 5])
    target, y_plane, y_line = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    count, indices = np.int64(code[at, 9]), np.int64(code[at, 10])
    weight, bias, scale = np.int64(code[at, 11]), np.int64(code[at, 12]), np.int64(code[at, 13])
    # A pass takes some of the indices for all planes: so many that their weights, and what they read of x, are still in
    # the cache for the next part of the run. One loop over passes, lines and parts of a run keeps the nesting low.
    parts, passes = run // DENSE_LANES, max(1, -(-count * (planes + DENSE_LANES) // CACHED))
    for item in range(passes * lines * parts):
        begin, end = item // (lines * parts) * count // passes, (item // (lines * parts) + 1) * count // passes
        line, c = item // parts % lines, item % parts * DENSE_LANES
        for i in range(planes // DENSE_PLANES):
            b = as_nonnegative(bias + DENSE_PLANES * i)
            t0 = as_nonnegative(target + DENSE_PLANES * i * y_plane + line * y_line + c)
            t1, t2 = as_nonnegative(t0 + y_plane), as_nonnegative(t0 + 2 * y_plane)
            t3, t4 = as_nonnegative(t0 + 3 * y_plane), as_nonnegative(t0 + 4 * y_plane)
            t5 = as_nonnegative(t0 + 5 * y_plane)
            if item < lines * parts:  # the first pass: sums begin with the bias
                for j in range(DENSE_LANES):
                    y0[t0 + j], y1[t1 + j], y2[t2 + j] = value[b], value[b + 1], value[b + 2]
                    y3[t3 + j], y4[t4 + j], y5[t5 + j] = value[b + 3], value[b + 4], value[b + 5]
            u = as_nonnegative(scale + DENSE_PLANES * i)
            u0, u1, u2 = scale_of(weights, value, u), scale_of(weights, value, u + 1), scale_of(weights, value, u + 2)
            u3, u4 = scale_of(weights, value, u + 3), scale_of(weights, value, u + 4)
            u5 = scale_of(weights, value, u + 5)
            for k in range(begin, end):
                s = as_nonnegative(x0 + line * x_line + c + np.int64(index[indices + k]))
                w = as_nonnegative(weight + DENSE_PLANES * (i * count + k))
                w0, w1 = u0 * number(weights, w, value), u1 * number(weights, w + 1, value)
                w2, w3 = u2 * number(weights, w + 2, value), u3 * number(weights, w + 3, value)
                w4, w5 = u4 * number(weights, w + 4, value), u5 * number(weights, w + 5, value)
                for j in range(DENSE_LANES):
                    y0[t0 + j] += w0 * x[s + j]
                    y1[t1 + j] += w1 * x[s + j]
                    y2[t2 + j] += w2 * x[s + j]
                    y3[t3 + j] += w3 * x[s + j]
                    y4[t4 + j] += w4 * x[s + j]
                    y5[t5 + j] += w5 * x[s + j]

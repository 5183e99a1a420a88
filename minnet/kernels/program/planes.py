"""Linear layers as steps of a compiled program (see program.py), for tiles and for images.

A weight times a run of neighbouring numbers is added to another run. A dense layer's run is the tile, a convolution's
the pixels of a line; so no zero need be multiplied, and no window copied. The sums of a stretch of a run stay in
registers until they are complete: of one plane in `sparse_planes`, of four in `block_planes`, of six in `dense_planes`,
which read each number of x once for all of them.

All take code[at]: step, planes, lines, run, x, x_line, y, y_plane, y_line, first, start, weight, bias, scale, and what
stands there: first and start in `index`, weight in `weights`, bias and scale in `value`. The scale of a plane counts
where weights are whole numbers (see weights.py). Runs are multiples of RUN, in `sparse_planes` of HALF; all of a run is
read and written, also where less would do.
"""
import llvmlite.binding
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.program.int8 import number, scale_of
from minnet.kernels.program.ops import HALF, RUN
from minnet.kernels.simd.attributes import apart, offset
from minnet.kernels.simd.vector import SUMS

WIDE = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
LANES = 128 if WIDE else RUN  # numbers of a plane that are summed in registers: eight vectors of 512 or of 256 bits
sum_wide, sum_run, sum_half = SUMS[LANES], SUMS[RUN], SUMS[HALF]
BLOCK_LANES, DENSE_LANES = (64, 64) if WIDE else (16, 16)  # the same with several planes at once
BLOCK_PLANES, DENSE_PLANES = 4, 6
NEAR = 2**17  # numbers that stay in the second-level cache


@kernel
def sparse_planes(code, at, index, weights, value, x, y):
    """y[i, l, j] = bias[i] + the sum over k of weight[k] * x[start[k] + l * x_line + j], for lines l and j < run.

    first (planes + 1,) says that the weights of plane i are k = first[i], ..., first[i + 1] - 1; start, weight (k,).
    """
    apart()
    planes, lines, run = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_line = np.int64(code[at, 4]), np.int64(code[at, 5])
    y0, y_plane, y_line = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    first, start = np.int64(code[at, 9]), np.int64(code[at, 10])
    weight, bias, scale = np.int64(code[at, 11]), np.int64(code[at, 12]), np.int64(code[at, 13])
    for i in range(planes):
        begin, b = np.int64(index[first + i]), value[bias + i]
        n, unit = np.int64(index[first + i + 1]) - begin, scale_of(weights, value, scale + i)
        for line in range(lines):
            source, target = offset(x0 + line * x_line), offset(y0 + i * y_plane + line * y_line)
            wide, s, w = run - run % LANES, start + begin, weight + begin
            for c in range(0, wide, LANES):
                sum_wide(y, target + c, b, x, source + c, 1, index, s, weights, None, w, unit, n)
            for c in range(wide, run - run % RUN, RUN):
                sum_run(y, target + c, b, x, source + c, 1, index, s, weights, None, w, unit, n)
            if run % RUN:
                c = run - HALF
                sum_half(y, target + c, b, x, source + c, 1, index, s, weights, None, w, unit, n)


@kernel
def block_planes(code, at, index, weights, value, x, y0, y1, y2, y3):
    """The same for four planes at a time that share their starts. All of y are the same array.

    planes is a multiple of four. first (planes / 4 + 1,) says which k are a group's; start (k,), weight (k, 4).
    """
    apart()
    planes, lines, run = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_line = np.int64(code[at, 4]), np.int64(code[at, 5])
    target, y_plane, y_line = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    first, start = np.int64(code[at, 9]), np.int64(code[at, 10])
    weight, bias, scale = np.int64(code[at, 11]), np.int64(code[at, 12]), np.int64(code[at, 13])
    for i in range(planes // BLOCK_PLANES):
        plane = BLOCK_PLANES * i
        begin, end, b = np.int64(index[first + i]), np.int64(index[first + i + 1]), offset(bias + plane)
        u = offset(scale + plane)
        u0, u1 = scale_of(weights, value, u), scale_of(weights, value, u + 1)
        u2, u3 = scale_of(weights, value, u + 2), scale_of(weights, value, u + 3)
        for line in range(lines):
            for c in range(0, run, BLOCK_LANES):
                t0 = offset(target + plane * y_plane + line * y_line + c)
                t1, t2, t3 = offset(t0 + y_plane), offset(t0 + 2 * y_plane), offset(t0 + 3 * y_plane)
                for j in range(BLOCK_LANES):
                    y0[t0 + j], y1[t1 + j], y2[t2 + j], y3[t3 + j] = value[b], value[b + 1], value[b + 2], value[b + 3]
                for k in range(begin, end):
                    s = offset(x0 + line * x_line + c + np.int64(index[start + k]))
                    w = offset(weight + BLOCK_PLANES * k)
                    w0, w1 = u0 * number(weights, w, value), u1 * number(weights, w + 1, value)
                    w2, w3 = u2 * number(weights, w + 2, value), u3 * number(weights, w + 3, value)
                    for j in range(BLOCK_LANES):
                        y0[t0 + j] += w0 * x[s + j]
                        y1[t1 + j] += w1 * x[s + j]
                        y2[t2 + j] += w2 * x[s + j]
                        y3[t3 + j] += w3 * x[s + j]


@kernel
def dense_planes(code, at, index, weights, value, x, y0, y1, y2, y3, y4, y5):
    """The same for six planes at a time, where all planes share all starts. All of y are the same array.

    planes is a multiple of six. `first` is the number of starts; start (first,), weight (planes / 6, first, 6). Some
    starts are done for all planes before the next, so that their weights and what they read of x stay near.
    """
    apart()
    planes, lines, run = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_line = np.int64(code[at, 4]), np.int64(code[at, 5])
    target, y_plane, y_line = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    count, start = np.int64(code[at, 9]), np.int64(code[at, 10])
    weight, bias, scale = np.int64(code[at, 11]), np.int64(code[at, 12]), np.int64(code[at, 13])
    stretches, passes = run // DENSE_LANES, max(1, -(-count * (planes + DENSE_LANES) // NEAR))
    for item in range(passes * lines * stretches):
        begin, end = item // (lines * stretches) * count // passes, (item // (lines * stretches) + 1) * count // passes
        line, c = item // stretches % lines, item % stretches * DENSE_LANES
        for i in range(planes // DENSE_PLANES):
            b, t0 = offset(bias + DENSE_PLANES * i), offset(target + DENSE_PLANES * i * y_plane + line * y_line + c)
            t1, t2, t3 = offset(t0 + y_plane), offset(t0 + 2 * y_plane), offset(t0 + 3 * y_plane)
            t4, t5 = offset(t0 + 4 * y_plane), offset(t0 + 5 * y_plane)
            if item < lines * stretches:
                for j in range(DENSE_LANES):
                    y0[t0 + j], y1[t1 + j], y2[t2 + j] = value[b], value[b + 1], value[b + 2]
                    y3[t3 + j], y4[t4 + j], y5[t5 + j] = value[b + 3], value[b + 4], value[b + 5]
            u = offset(scale + DENSE_PLANES * i)
            u0, u1, u2 = scale_of(weights, value, u), scale_of(weights, value, u + 1), scale_of(weights, value, u + 2)
            u3, u4 = scale_of(weights, value, u + 3), scale_of(weights, value, u + 4)
            u5 = scale_of(weights, value, u + 5)
            for k in range(begin, end):
                s = offset(x0 + line * x_line + c + np.int64(index[start + k]))
                w = offset(weight + DENSE_PLANES * (i * count + k))
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

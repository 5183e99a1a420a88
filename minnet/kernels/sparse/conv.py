"""Convolutions with live weights only: forward, and backward to the weights and to the input.

    sparse_conv(indptr, taps, w, bias, down, right, x, y)          # y = the convolution of x with W, + b
    sparse_conv_gradient(indptr, taps, down, right, x, dy, g)      # the gradient of the weights
    sparse_conv_input(indptr, taps, w, down, right, dy, dx)        # the gradient of the input

As in spmm.py a row holds one number of each image of the batch, here a channel of a pixel: images are (h, w, c, lanes),
padded, so that all windows are inside. A live weight is one multiply-add of a row at each position of the window, and
no zero is multiplied.

Weights are sorted by filter: indptr[o], ..., indptr[o + 1] - 1 are those of filter o. Weight k is multiplied with the
row that is taps[k] rows behind the first of the window; the next position of the window below is `down` rows further,
the next on the right `right`.
"""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import noalias
from minnet.kernels.sparse.spmm import gather, gradient, scatter


@kernel
def sparse_conv(indptr, taps, w, bias, down, right, x, y):
    """Compute y[i, j, o] = bias[o] + the sum over the weights k of filter o of w[k] x[i * down + j * right + taps[k]].

    indptr: (o + 1,) int64; taps: (k,) int32; w: (k,); bias: (o,); x: (rows, lanes); y: (h, w, o, lanes); lanes a
    multiple of 16.
    """
    noalias()
    height, width, filters, lanes = y.shape
    xs, ys = x.reshape(-1), y.reshape(-1)
    for i, j, o in np.ndindex(height, width, filters):
        begin, end = indptr[o], indptr[o + 1]
        here = (i * down + j * right) * lanes
        t = ((i * width + j) * filters + o) * lanes - here  # plus a lane of the window: the same lane of y
        gather(begin, end, taps, w, None, bias[o], lanes, here, xs, ys, t)


@kernel
def sparse_conv_gradient(indptr, taps, down, right, x, dy, g):
    """Add to g[k] the sum over i, j of x[i * down + j * right + taps[k]] . dy[i, j, o], for the weights k of filter o.

    Filters whose dy is 0 at a pixel in all lanes are skipped there. g: (k,); the others as in `sparse_conv`.
    """
    noalias()
    height, width, filters, lanes = dy.shape
    xs, dys = x.reshape(-1), dy.reshape(-1)
    for i, j, o in np.ndindex(height, width, filters):
        begin, end = indptr[o], indptr[o + 1]
        here = (i * down + j * right) * lanes
        t = ((i * width + j) * filters + o) * lanes - here
        gradient(begin, end, taps, lanes, here, dys, t, xs, g)


@kernel
def sparse_conv_input(indptr, taps, w, down, right, dy, dx):
    """Compute dx = the gradient of the input: w[k] dy[i, j, o] is added at row i * down + j * right + taps[k].

    dx: (rows, lanes), overwritten; the others as in `sparse_conv`.
    """
    noalias()
    height, width, filters, lanes = dy.shape
    dys, dxs = dy.reshape(-1), dx.reshape(-1)
    dxs[:] = 0
    for i, j, o in np.ndindex(height, width, filters):
        begin, end = indptr[o], indptr[o + 1]
        here = (i * down + j * right) * lanes
        t = ((i * width + j) * filters + o) * lanes - here
        scatter(begin, end, taps, w, lanes, here, dys, t, dxs)

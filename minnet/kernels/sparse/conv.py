"""Training with the live weights of a convolution alone: forward, and backward to its weights and to its input.

    live_conv(first, tap, w, bias, down, right, x, y)            # y = the convolution of x with W, + b
    live_conv_gradient(first, tap, down, right, x, dy, g)        # the gradient of the weights
    live_conv_input(first, tap, w, down, right, dy, dx)          # the gradient of the input

As in sparse_train.py a row holds one number of each image of the batch, here a channel of a pixel: an image is
(h, w, c, lanes), with its padding, so that no window reaches outside. A live weight is one multiply-add of a row at
each place of the window, and no zero is multiplied.
Weights are sorted by filter: weights first[o], ..., first[o + 1] - 1 are those of filter o. Weight k meets the row that
stands tap[k] rows behind the first of the window; the window's next place below is `down` rows further, the next on the
right `right`.
"""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import noalias
from minnet.kernels.sparse.spmm import gradient, pull, push


@kernel
def live_conv(first, tap, w, bias, down, right, x, y):
    """y[i, j, o] = bias[o] + the sum over the weights k of filter o of w[k] x[i * down + j * right + tap[k]].

    first: (o + 1,) int64; tap: (k,) int32; w: (k,); bias: (o,); x: (rows, lanes); y: (h, w, o, lanes); lanes a
    multiple of 16.
    """
    noalias()
    height, width, filters, lanes = y.shape
    xs, ys = x.reshape(-1), y.reshape(-1)
    for i, j, o in np.ndindex(height, width, filters):
        begin, end = first[o], first[o + 1]
        here = (i * down + j * right) * lanes
        t = ((i * width + j) * filters + o) * lanes - here  # added to a lane of the window gives the same lane of y
        pull(begin, end, tap, w, None, bias[o], lanes, here, xs, ys, t)


@kernel
def live_conv_gradient(first, tap, down, right, x, dy, g):
    """g[k] += the sum over i, j of x[i * down + j * right + tap[k]] . dy[i, j, o], for the weights k of each filter o.

    Filters that are 0 at a pixel in all lanes are passed over. g: (k,); the others as in `live_conv`.
    """
    noalias()
    height, width, filters, lanes = dy.shape
    xs, dys = x.reshape(-1), dy.reshape(-1)
    for i, j, o in np.ndindex(height, width, filters):
        begin, end = first[o], first[o + 1]
        here = (i * down + j * right) * lanes
        t = ((i * width + j) * filters + o) * lanes - here
        gradient(begin, end, tap, lanes, here, dys, t, xs, g)


@kernel
def live_conv_input(first, tap, w, down, right, dy, dx):
    """dx[i * down + j * right + tap[k]] = the sum of w[k] dy[i, j, o] over all that come there. dx: (rows, lanes)."""
    noalias()
    height, width, filters, lanes = dy.shape
    dys, dxs = dy.reshape(-1), dx.reshape(-1)
    dxs[:] = 0
    for i, j, o in np.ndindex(height, width, filters):
        begin, end = first[o], first[o + 1]
        here = (i * down + j * right) * lanes
        t = ((i * width + j) * filters + o) * lanes - here
        push(begin, end, tap, w, lanes, here, dys, t, dxs)

"""A convolution and the max pool that follows it, a few images at a time: the image between them stays in the cache.

    conv_pool(x, w, b, sizes, first, stop, cols, y, pooled, winner)
    conv_pool_backward(dpooled, winner, x, w, sizes, first, stop, cols, y, dw_part, dw, dx)

The maximum of a window plus a number is the maximum of the pixels each plus that number, so the bias is added after the
pool, where there are fewer pixels. `sizes` is (kh, kw, sh, sw, top, left, ph, pw, psh, psw): the convolution's kernel,
stride, top and left padding, then the pool's size and stride; the pool has no padding. Images first, ..., stop - 1 are
computed. Scratch for the images of one round: `y` (images at a time, h, w, o), the convolution's output or its
gradient, and `cols` (images at a time * h * w, kh * kw * c), the windows. w is (kh * kw * c, o).
"""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.layers.images import col2im, im2col, max_pool, max_pool_backward
from minnet.kernels.layers.pointwise import add_bias
from minnet.kernels.simd.attributes import as_nonnegative, noalias


@kernel
def im2col_planes(x, stride_h, stride_w, top, left, cols):
    """Compute `im2col` for images of one channel with taps first: each row of each image is copied whole.

    x: (n, h, w, 1); cols: (kh, kw, n, oh, ow).
    """
    noalias()
    images, height, width, _ = x.shape
    size_h, size_w, _, rows, columns = cols.shape
    pixels, taps = x.reshape(x.size), cols.reshape(cols.size)
    for ky, kx in np.ndindex(size_h, size_w):
        # columns first, ..., last - 1 of the output are those whose tap is inside the image
        first = min(max((left - kx + stride_w - 1) // stride_w, 0), columns)
        last = max(min((width - 1 - kx + left) // stride_w + 1, columns), first)
        for i, oy in np.ndindex(images, rows):
            iy, here = oy * stride_h - top + ky, (((ky * size_w + kx) * images + i) * rows + oy) * columns
            if not 0 <= iy < height:
                taps[here : here + columns] = 0
                continue
            for j in range(first):
                taps[here + j] = 0
            from_here = as_nonnegative((i * height + iy) * width + max(first * stride_w - left + kx, 0))
            to_here = as_nonnegative(here + first)
            if stride_w == 1:  # the same with adjacent numbers, so that the loop is vectorised
                for j in range(last - first):
                    taps[to_here + j] = pixels[from_here + j]
            else:
                for j in range(last - first):
                    taps[to_here + j] = pixels[from_here + j * stride_w]
            for j in range(last, columns):
                taps[here + j] = 0


@kernel
def conv_pool(x, w, b, sizes, first, stop, cols, y, pooled, winner):
    """Compute pooled = max_pool(convolution of x with w) + b, and the winners of the pool.

    x: (n, h, w, c); b: (o,), or (0,) for none; pooled, winner: (n, oh, ow, o), winner int32.
    """
    kh, kw, sh, sw, top, left, ph, pw, psh, psw = sizes
    channels, (at_once, rows, columns, filters) = x.shape[3], y.shape
    for start in range(first, stop, at_once):
        m = min(at_once, stop - start)
        here, pixels = x[start : start + m], m * rows * columns
        out = y[:m].reshape(pixels, filters)
        if channels == 1:  # windows of single numbers are slow to copy: taps first, and BLAS reads the transpose
            planes = cols.reshape(cols.size)[: pixels * kh * kw].reshape(kh, kw, m, rows, columns)
            im2col_planes(here, sh, sw, top, left, planes)
            np.dot(planes.reshape(kh * kw, pixels).T, w, out)
        else:
            im2col(here, sh, sw, top, left, cols[:pixels].reshape(m, rows, columns, kh, kw, channels))
            np.dot(cols[:pixels], w, out)
        max_pool(y[:m], ph, pw, psh, psw, 0, 0, pooled[start : start + m], winner[start : start + m])
        if b.size:
            add_bias(b, pooled[start : start + m].reshape(m * pooled.shape[1] * pooled.shape[2], filters))


@kernel
def conv_pool_backward(dpooled, winner, x, w, sizes, first, stop, cols, y, dw_part, dw, dx):
    """Add the gradient for w to dw, and compute that for x in dx, unless dx is empty.

    The gradient for b is the sum of dpooled. dpooled, winner: (n, oh, ow, o); dw_part, dw: (kh * kw * c, o), the first
    is scratch; dx: (n, h, w, c) or (0, h, w, c).
    """
    kh, kw, sh, sw, top, left, ph, pw, psh, psw = sizes
    channels, (at_once, rows, columns, filters) = x.shape[3], y.shape
    for start in range(first, stop, at_once):
        m = min(at_once, stop - start)
        here, pixels = x[start : start + m], m * rows * columns
        max_pool_backward(dpooled[start : start + m], winner[start : start + m], ph, pw, psh, psw, 0, 0, y[:m])
        dy = y[:m].reshape(pixels, filters)
        windows = cols[:pixels].reshape(m, rows, columns, kh, kw, channels)
        if channels == 1:
            planes = cols.reshape(cols.size)[: pixels * kh * kw].reshape(kh, kw, m, rows, columns)
            im2col_planes(here, sh, sw, top, left, planes)
            np.dot(planes.reshape(kh * kw, pixels), dy, dw_part)
        else:
            im2col(here, sh, sw, top, left, windows)
            np.dot(cols[:pixels].T, dy, dw_part)
        for i in range(dw_part.shape[0]):
            for j in range(filters):
                dw[i, j] += dw_part[i, j]
        if dx.size:  # the windows of x are needed no more: their room takes the gradients of the windows
            np.dot(dy, w.T, cols[:pixels])
            col2im(windows, sh, sw, top, left, dx[start : start + m])

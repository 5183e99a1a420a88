"""Images, channels last: im2col, pools and depthwise convolution, forward and backward.

    im2col(x, stride_h, stride_w, top, left, cols)      # then cols as a matrix times the weights, by BLAS
    col2im(dcols, stride_h, stride_w, top, left, dx)

Shapes: x (n, h, w, c); outputs (n, oh, ow, ...). The window of output (oy, ox) begins at row oy * stride_h - top and
column ox * stride_w - left; `top` and `left` are the padding there, and the padding below and on the right follows from
the shape of the output. Outside the image, convolutions read zeros, and pools read nothing.
"""

import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import as_nonnegative, noalias


@kernel
def im2col(x, stride_h, stride_w, top, left, cols):
    """Compute cols[i, oy, ox, ky, kx] = the pixel at tap (ky, kx) of window (oy, ox); zero outside the image.

    x: (n, h, w, c); cols: (n, oh, ow, kh, kw, c).
    """
    noalias()
    images, height, width, channels = x.shape
    _, rows, columns, size_h, size_w, _ = cols.shape
    pixels, taps, run = x.reshape(x.size), cols.reshape(cols.size), size_w * channels
    for i, oy, ox in np.ndindex(images, rows, columns):
        start_y, start_x = oy * stride_h - top, ox * stride_w - left
        window = ((i * rows + oy) * columns + ox) * size_h * run
        if start_y >= 0 and start_x >= 0 and start_y + size_h <= height and start_x + size_w <= width:
            # the window is inside: each of its rows is contiguous in both arrays, and copied as one run
            for ky in range(size_h):
                here = as_nonnegative(((i * height + start_y + ky) * width + start_x) * channels)
                there = as_nonnegative(window + ky * run)
                for j in range(run):
                    taps[there + j] = pixels[here + j]
            continue
        for ky, kx in np.ndindex(size_h, size_w):
            iy, ix, there = start_y + ky, start_x + kx, as_nonnegative(window + (ky * size_w + kx) * channels)
            if 0 <= iy < height and 0 <= ix < width:
                here = as_nonnegative(((i * height + iy) * width + ix) * channels)
                for ch in range(channels):
                    taps[there + ch] = pixels[here + ch]
            else:
                for ch in range(channels):
                    taps[there + ch] = 0


@kernel
def col2im(cols, stride_h, stride_w, top, left, dx):
    """Compute dx = the sum, at each pixel, of all entries of cols that `im2col` reads from it: its transpose.

    cols: (n, oh, ow, kh, kw, c); dx: (n, h, w, c), overwritten.
    """
    noalias()
    images, height, width, channels = dx.shape
    _, rows, columns, size_h, size_w, _ = cols.shape
    pixels, taps, run = dx.reshape(dx.size), cols.reshape(cols.size), size_w * channels
    dx[...] = 0
    for i, oy, ox in np.ndindex(images, rows, columns):
        start_y, start_x = oy * stride_h - top, ox * stride_w - left
        window = ((i * rows + oy) * columns + ox) * size_h * run
        if start_y >= 0 and start_x >= 0 and start_y + size_h <= height and start_x + size_w <= width:
            for ky in range(size_h):  # as in `im2col`
                here = as_nonnegative(((i * height + start_y + ky) * width + start_x) * channels)
                there = as_nonnegative(window + ky * run)
                for j in range(run):
                    pixels[here + j] += taps[there + j]
            continue
        for ky in range(size_h):
            for kx in range(size_w):
                iy, ix = start_y + ky, start_x + kx
                if not (0 <= iy < height and 0 <= ix < width):
                    continue
                for ch in range(channels):
                    dx[i, iy, ix, ch] += cols[i, oy, ox, ky, kx, ch]


@kernel
def average_pool(x, size_h, size_w, stride_h, stride_w, top, left, y):
    """Compute y = the mean of the pixels of each window that are inside the image; 0 where there are none.

    x: (n, h, w, c); y: (n, oh, ow, c).
    """
    images, height, width, channels = x.shape
    _, rows, columns, _ = y.shape
    for i, oy, ox in np.ndindex(images, rows, columns):
        first_y, last_y = max(oy * stride_h - top, 0), min(oy * stride_h - top + size_h, height)
        first_x, last_x = max(ox * stride_w - left, 0), min(ox * stride_w - left + size_w, width)
        for ch in range(channels):
            y[i, oy, ox, ch] = 0
        for iy in range(first_y, last_y):
            for ix in range(first_x, last_x):
                for ch in range(channels):
                    y[i, oy, ox, ch] += x[i, iy, ix, ch]
        pixels = x.dtype.type(max((last_y - first_y) * (last_x - first_x), 1))
        for ch in range(channels):
            y[i, oy, ox, ch] /= pixels


@kernel
def average_pool_backward(dy, size_h, size_w, stride_h, stride_w, top, left, dx):
    """Compute the gradient of `average_pool`. dy: (n, oh, ow, c); dx: (n, h, w, c), overwritten."""
    images, height, width, channels = dx.shape
    _, rows, columns, _ = dy.shape
    dx[...] = 0
    for i, oy, ox in np.ndindex(images, rows, columns):
        first_y, last_y = max(oy * stride_h - top, 0), min(oy * stride_h - top + size_h, height)
        first_x, last_x = max(ox * stride_w - left, 0), min(ox * stride_w - left + size_w, width)
        pixels = dy.dtype.type((last_y - first_y) * (last_x - first_x))
        for iy in range(first_y, last_y):
            for ix in range(first_x, last_x):
                for ch in range(channels):
                    dx[i, iy, ix, ch] += dy[i, oy, ox, ch] / pixels


@kernel
def max_pool(x, size_h, size_w, stride_h, stride_w, top, left, y, winner):
    """Compute y = the greatest pixel of each window, and winner = its tap, ky * size_w + kx.

    The first of equals wins, and NaN wins over all. Where a window has no pixel, y = 0 and winner = -1.
    x: (n, h, w, c); y, winner: (n, oh, ow, c), winner int32.
    """
    images, height, width, channels = x.shape
    _, rows, columns, _ = y.shape
    for i, oy, ox in np.ndindex(images, rows, columns):
        start_y, start_x = oy * stride_h - top, ox * stride_w - left
        inside = start_y >= 0 and start_x >= 0 and start_y + size_h <= height and start_x + size_w <= width
        if size_h == 2 and size_w == 2 and inside:  # the commonest window: best and winner stay in registers
            for ch in range(channels):
                best, place = x[i, start_y, start_x, ch], np.int32(0)
                value = x[i, start_y, start_x + 1, ch]
                wins = (best == best) & (not value <= best)
                best, place = value if wins else best, np.int32(1) if wins else place
                value = x[i, start_y + 1, start_x, ch]
                wins = (best == best) & (not value <= best)
                best, place = value if wins else best, np.int32(2) if wins else place
                value = x[i, start_y + 1, start_x + 1, ch]
                wins = (best == best) & (not value <= best)
                y[i, oy, ox, ch] = value if wins else best
                winner[i, oy, ox, ch] = np.int32(3) if wins else place
            continue
        for ch in range(channels):
            y[i, oy, ox, ch] = 0
            winner[i, oy, ox, ch] = -1
        for iy in range(max(start_y, 0), min(start_y + size_h, height)):
            for ix in range(max(start_x, 0), min(start_x + size_w, width)):
                place = np.int32((iy - start_y) * size_w + ix - start_x)
                for ch in range(channels):
                    value, best, before = x[i, iy, ix, ch], y[i, oy, ox, ch], winner[i, oy, ox, ch]
                    wins = (before < 0) | ((best == best) & (not value <= best))  # best == best: it is not NaN
                    y[i, oy, ox, ch] = value if wins else best
                    winner[i, oy, ox, ch] = place if wins else before


@kernel
def max_pool_backward(dy, winner, size_h, size_w, stride_h, stride_w, top, left, dx):
    """Compute the gradient of `max_pool`: each dy is added at the winner.

    dy, winner: (n, oh, ow, c); dx: (n, h, w, c), overwritten.
    """
    images, height, width, channels = dx.shape
    _, rows, columns, _ = dy.shape
    # where each pixel is in one window at most, its gradient is stored, not added
    disjoint = stride_h >= size_h and stride_w >= size_w
    dx[...] = 0  # for the pixels that are in no window
    for i, oy, ox in np.ndindex(images, rows, columns):
        start_y, start_x = oy * stride_h - top, ox * stride_w - left
        for iy in range(max(start_y, 0), min(start_y + size_h, height)):
            for ix in range(max(start_x, 0), min(start_x + size_w, width)):
                place = np.int32((iy - start_y) * size_w + ix - start_x)
                if disjoint:
                    for ch in range(channels):
                        gradient = dy[i, oy, ox, ch]
                        dx[i, iy, ix, ch] = gradient if winner[i, oy, ox, ch] == place else 0
                    continue
                for ch in range(channels):
                    gradient = dy[i, oy, ox, ch]
                    dx[i, iy, ix, ch] += gradient if winner[i, oy, ox, ch] == place else 0


@kernel
def depthwise_conv(x, w, stride_h, stride_w, top, left, y):
    """Compute y[..., j] = the sum over the window of x[..., j // m] * w[ky, kx, j // m, j % m].

    x: (n, h, w, c); w: (kh, kw, c, m); y: (n, oh, ow, c * m).
    """
    images, height, width, channels = x.shape
    size_h, size_w, _, multiplier = w.shape
    _, rows, columns, _ = y.shape
    y[...] = 0
    taps = w.reshape(size_h, size_w, channels * multiplier)
    for i, oy, ox, m in np.ndindex(images, rows, columns, multiplier):
        for ky, kx in np.ndindex(size_h, size_w):
            iy, ix = oy * stride_h - top + ky, ox * stride_w - left + kx
            if not (0 <= iy < height and 0 <= ix < width):
                continue
            if multiplier == 1:  # the same with adjacent numbers, so that the loop is vectorised
                for ch in range(channels):
                    y[i, oy, ox, ch] += x[i, iy, ix, ch] * taps[ky, kx, ch]
            else:
                for ch in range(channels):
                    y[i, oy, ox, ch * multiplier + m] += x[i, iy, ix, ch] * w[ky, kx, ch, m]


@kernel
def depthwise_conv_backward_input(dy, w, stride_h, stride_w, top, left, dx):
    """Compute the gradient of `depthwise_conv` for x. dy: (n, oh, ow, c * m); w: (kh, kw, c, m); dx: (n, h, w, c)."""
    images, height, width, channels = dx.shape
    size_h, size_w, _, multiplier = w.shape
    _, rows, columns, _ = dy.shape
    dx[...] = 0
    taps = w.reshape(size_h, size_w, channels * multiplier)
    for i, oy, ox, m in np.ndindex(images, rows, columns, multiplier):
        for ky, kx in np.ndindex(size_h, size_w):
            iy, ix = oy * stride_h - top + ky, ox * stride_w - left + kx
            if not (0 <= iy < height and 0 <= ix < width):
                continue
            if multiplier == 1:  # the same with adjacent numbers, so that the loop is vectorised
                for ch in range(channels):
                    dx[i, iy, ix, ch] += dy[i, oy, ox, ch] * taps[ky, kx, ch]
            else:
                for ch in range(channels):
                    dx[i, iy, ix, ch] += dy[i, oy, ox, ch * multiplier + m] * w[ky, kx, ch, m]


@kernel
def depthwise_conv_backward_weight(dy, x, stride_h, stride_w, top, left, dw):
    """Compute the gradient of `depthwise_conv` for w. dy: (n, oh, ow, c * m); x: (n, h, w, c); dw: (kh, kw, c, m)."""
    images, height, width, channels = x.shape
    size_h, size_w, _, multiplier = dw.shape
    _, rows, columns, _ = dy.shape
    dw[...] = 0
    taps = dw.reshape(size_h, size_w, channels * multiplier)
    for i, oy, ox, m in np.ndindex(images, rows, columns, multiplier):
        for ky, kx in np.ndindex(size_h, size_w):
            iy, ix = oy * stride_h - top + ky, ox * stride_w - left + kx
            if not (0 <= iy < height and 0 <= ix < width):
                continue
            if multiplier == 1:  # the same with adjacent numbers, so that the loop is vectorised
                for ch in range(channels):
                    taps[ky, kx, ch] += dy[i, oy, ox, ch] * x[i, iy, ix, ch]
            else:
                for ch in range(channels):
                    dw[ky, kx, ch, m] += dy[i, oy, ox, ch * multiplier + m] * x[i, iy, ix, ch]

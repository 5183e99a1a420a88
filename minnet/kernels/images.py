"""Images, channels last: convolution's rearrangements, pools and depthwise convolution, forward and backward.

    im2col(x, stride_h, stride_w, top, left, cols)      # then cols as a matrix times the weights, by BLAS
    col2im(dcols, stride_h, stride_w, top, left, dx)

Shapes: x (n, h, w, c); outputs (n, oh, ow, ...). The window of output (oy, ox) begins at row oy * stride_h - top and
column ox * stride_w - left; `top` and `left` are the padding there, and what lies below and to the right of the image
follows from the shape of the output. Outside the image, convolutions read zeros and pools read nothing.
"""

import numpy as np

from minnet.kernels.jit import kernel


@kernel
def im2col(x, stride_h, stride_w, top, left, cols):
    """cols[i, oy, ox, ky, kx] = the pixel that tap (ky, kx) of that window sees; zero outside the image.

    x: (n, h, w, c); cols: (n, oh, ow, kh, kw, c).
    """
    images, height, width, channels = x.shape
    _, rows, columns, size_h, size_w, _ = cols.shape
    for i in range(images):
        for oy in range(rows):
            top_y = oy * stride_h - top
            for ox in range(columns):
                left_x = ox * stride_w - left
                whole = top_y >= 0 and left_x >= 0 and top_y + size_h <= height and left_x + size_w <= width
                for ky in range(size_h):
                    iy = top_y + ky
                    for kx in range(size_w):
                        ix = left_x + kx
                        if not (whole or (0 <= iy < height and 0 <= ix < width)):
                            for ch in range(channels):
                                cols[i, oy, ox, ky, kx, ch] = 0
                        elif channels == 1:  # a loop over one channel takes four times as long
                            cols[i, oy, ox, ky, kx, 0] = x[i, iy, ix, 0]
                        else:
                            for ch in range(channels):
                                cols[i, oy, ox, ky, kx, ch] = x[i, iy, ix, ch]


@kernel
def col2im(cols, stride_h, stride_w, top, left, dx):
    """dx = the sum, at each pixel, of all entries of cols that `im2col` would take from there.

    cols: (n, oh, ow, kh, kw, c); dx: (n, h, w, c), overwritten.
    """
    images, height, width, channels = dx.shape
    _, rows, columns, size_h, size_w, _ = cols.shape
    dx[...] = 0
    for i in range(images):
        for oy in range(rows):
            for ox in range(columns):
                for ky in range(size_h):
                    iy = oy * stride_h - top + ky
                    for kx in range(size_w):
                        ix = ox * stride_w - left + kx
                        if 0 <= iy < height and 0 <= ix < width:
                            for ch in range(channels):
                                dx[i, iy, ix, ch] += cols[i, oy, ox, ky, kx, ch]


@kernel
def average_pool(x, size_h, size_w, stride_h, stride_w, top, left, y):
    """y = the mean of the pixels of each window that lie inside the image; 0 where there are none.

    x: (n, h, w, c); y: (n, oh, ow, c).
    """
    images, height, width, channels = x.shape
    _, rows, columns, _ = y.shape
    for i in range(images):
        for oy in range(rows):
            first_y, last_y = max(oy * stride_h - top, 0), min(oy * stride_h - top + size_h, height)
            for ox in range(columns):
                first_x, last_x = max(ox * stride_w - left, 0), min(ox * stride_w - left + size_w, width)
                for ch in range(channels):
                    y[i, oy, ox, ch] = 0
                for iy in range(first_y, last_y):
                    for ix in range(first_x, last_x):
                        for ch in range(channels):
                            y[i, oy, ox, ch] += x[i, iy, ix, ch]
                pixels = max((last_y - first_y) * (last_x - first_x), 1)
                for ch in range(channels):
                    y[i, oy, ox, ch] /= pixels


@kernel
def average_pool_backward(dy, size_h, size_w, stride_h, stride_w, top, left, dx):
    """The gradient of `average_pool`. dy: (n, oh, ow, c); dx: (n, h, w, c), overwritten."""
    images, height, width, channels = dx.shape
    _, rows, columns, _ = dy.shape
    dx[...] = 0
    for i in range(images):
        for oy in range(rows):
            first_y, last_y = max(oy * stride_h - top, 0), min(oy * stride_h - top + size_h, height)
            for ox in range(columns):
                first_x, last_x = max(ox * stride_w - left, 0), min(ox * stride_w - left + size_w, width)
                pixels = (last_y - first_y) * (last_x - first_x)
                for iy in range(first_y, last_y):
                    for ix in range(first_x, last_x):
                        for ch in range(channels):
                            dx[i, iy, ix, ch] += dy[i, oy, ox, ch] / pixels


@kernel
def max_pool(x, size_h, size_w, stride_h, stride_w, top, left, y, winner):
    """y = the greatest pixel of each window, winner = its place in it, ky * size_w + kx.

    The first of equals wins, and NaN wins over all. Where a window has no pixel, y = 0 and winner = -1.
    x: (n, h, w, c); y, winner: (n, oh, ow, c), winner int32.
    """
    images, height, width, channels = x.shape
    _, rows, columns, _ = y.shape
    for i in range(images):
        for oy in range(rows):
            start_y = oy * stride_h - top
            for ox in range(columns):
                start_x = ox * stride_w - left
                for ch in range(channels):
                    y[i, oy, ox, ch] = 0
                    winner[i, oy, ox, ch] = -1
                for iy in range(max(start_y, 0), min(start_y + size_h, height)):
                    for ix in range(max(start_x, 0), min(start_x + size_w, width)):
                        place = np.int32((iy - start_y) * size_w + ix - start_x)
                        for ch in range(channels):
                            value, best, before = x[i, iy, ix, ch], y[i, oy, ox, ch], winner[i, oy, ox, ch]
                            wins = (before < 0) | ((best == best) & (not value <= best))  # best == best: not NaN
                            y[i, oy, ox, ch] = value if wins else best
                            winner[i, oy, ox, ch] = place if wins else before


@kernel
def max_pool_backward(dy, winner, size_h, size_w, stride_h, stride_w, top, left, dx):
    """The gradient of `max_pool`: each dy goes to the pixel that won. dy, winner: (n, oh, ow, c); dx: (n, h, w, c)."""
    images, height, width, channels = dx.shape
    _, rows, columns, _ = dy.shape
    dx[...] = 0
    for i in range(images):
        for oy in range(rows):
            start_y = oy * stride_h - top
            for ox in range(columns):
                start_x = ox * stride_w - left
                for iy in range(max(start_y, 0), min(start_y + size_h, height)):
                    for ix in range(max(start_x, 0), min(start_x + size_w, width)):
                        place = (iy - start_y) * size_w + ix - start_x
                        for ch in range(channels):
                            gradient = dy[i, oy, ox, ch]
                            dx[i, iy, ix, ch] += gradient if winner[i, oy, ox, ch] == place else 0


@kernel
def depthwise_conv(x, w, stride_h, stride_w, top, left, y):
    """y[..., j] = the sum over the window of x[..., j // m] * w[ky, kx, j // m, j % m].

    x: (n, h, w, c); w: (kh, kw, c, m); y: (n, oh, ow, c * m).
    """
    images, height, width, channels = x.shape
    size_h, size_w, _, multiplier = w.shape
    taps = w.reshape(size_h, size_w, channels * multiplier)
    _, rows, columns, outputs = y.shape
    for i in range(images):
        for oy in range(rows):
            for ox in range(columns):
                for j in range(outputs):
                    y[i, oy, ox, j] = 0
                for ky in range(size_h):
                    iy = oy * stride_h - top + ky
                    for kx in range(size_w):
                        ix = ox * stride_w - left + kx
                        if not (0 <= iy < height and 0 <= ix < width):
                            continue
                        if multiplier == 1:
                            for ch in range(channels):
                                y[i, oy, ox, ch] += x[i, iy, ix, ch] * taps[ky, kx, ch]
                        else:
                            for ch in range(channels):
                                for m in range(multiplier):
                                    y[i, oy, ox, ch * multiplier + m] += x[i, iy, ix, ch] * w[ky, kx, ch, m]


@kernel
def depthwise_conv_backward_input(dy, w, stride_h, stride_w, top, left, dx):
    """The gradient of `depthwise_conv` for x. dy: (n, oh, ow, c * m); w: (kh, kw, c, m); dx: (n, h, w, c)."""
    images, height, width, channels = dx.shape
    size_h, size_w, _, multiplier = w.shape
    taps = w.reshape(size_h, size_w, channels * multiplier)
    _, rows, columns, _ = dy.shape
    dx[...] = 0
    for i in range(images):
        for oy in range(rows):
            for ox in range(columns):
                for ky in range(size_h):
                    iy = oy * stride_h - top + ky
                    for kx in range(size_w):
                        ix = ox * stride_w - left + kx
                        if not (0 <= iy < height and 0 <= ix < width):
                            continue
                        if multiplier == 1:
                            for ch in range(channels):
                                dx[i, iy, ix, ch] += dy[i, oy, ox, ch] * taps[ky, kx, ch]
                        else:
                            for ch in range(channels):
                                for m in range(multiplier):
                                    dx[i, iy, ix, ch] += dy[i, oy, ox, ch * multiplier + m] * w[ky, kx, ch, m]


@kernel
def depthwise_conv_backward_weight(dy, x, stride_h, stride_w, top, left, dw):
    """The gradient of `depthwise_conv` for w. dy: (n, oh, ow, c * m); x: (n, h, w, c); dw: (kh, kw, c, m)."""
    images, height, width, channels = x.shape
    size_h, size_w, _, multiplier = dw.shape
    taps = dw.reshape(size_h, size_w, channels * multiplier)
    _, rows, columns, _ = dy.shape
    dw[...] = 0
    for i in range(images):
        for oy in range(rows):
            for ox in range(columns):
                for ky in range(size_h):
                    iy = oy * stride_h - top + ky
                    for kx in range(size_w):
                        ix = ox * stride_w - left + kx
                        if not (0 <= iy < height and 0 <= ix < width):
                            continue
                        if multiplier == 1:
                            for ch in range(channels):
                                taps[ky, kx, ch] += dy[i, oy, ox, ch] * x[i, iy, ix, ch]
                        else:
                            for ch in range(channels):
                                for m in range(multiplier):
                                    dw[ky, kx, ch, m] += dy[i, oy, ox, ch * multiplier + m] * x[i, iy, ix, ch]

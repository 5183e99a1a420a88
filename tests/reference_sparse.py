"""Plain twins of the kernels that train with live weights alone (see reference.py)."""

import numpy as np
from reference import wide


def matrix(first, unit, w, units):
    """The weights as a dense matrix (in, units), in float64."""
    dense = np.zeros((first.size - 1, units))
    dense[np.repeat(np.arange(first.size - 1), np.diff(first)), unit] = w
    return dense


def by_feature(x, y):
    y[:] = 0
    y[:, : len(x)] = x.T


def by_row(x, y):
    y[:] = x[:, : len(y)].T


def row_sums(dy, out):
    out[:] = wide(dy).sum(axis=1)


def find_places(index, outputs, first, unit):
    first[:] = np.searchsorted(index // outputs, np.arange(first.size))
    unit[:] = index % outputs


def turn_places(first, unit, u_first, source, place):
    place[:] = np.argsort(unit, kind="stable")
    source[:] = np.repeat(np.arange(first.size - 1), np.diff(first))[place]
    u_first[:] = np.searchsorted(unit[place], np.arange(u_first.size))


def pull_live(u_first, source, place, w, bias, x, y):
    y[:] = matrix(u_first, source, w[place], len(x)) @ wide(x) + wide(bias)[:, None]


def push_live(first, unit, w, bias, x, y):
    y[:] = matrix(first, unit, w, bias.size).T @ wide(x) + wide(bias)[:, None]


def live_gradient(first, unit, x, dy, g):
    row = np.repeat(np.arange(first.size - 1), np.diff(first))
    g[:] = np.einsum("kj,kj->k", wide(x)[row], wide(dy)[unit])


def live_backward(first, unit, w, x, dy, g, dx):
    live_gradient(first, unit, x, dy, g)
    dx[:] = matrix(first, unit, w, len(dy)) @ wide(dy)

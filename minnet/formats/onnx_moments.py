"""Find, among nodes of an ONNX graph, those that take off a value's mean and divide by the root of its variance.

    found = normalised(node, makers, constant)      # Moments, or None; constant(name): a small array, or None

Exporters write (x - mean) / sqrt(variance + epsilon), or, as Keras does, x * s + (shift - mean * s) with
s = gain / sqrt(variance + epsilon); the variance is the mean of (x - mean)^2, or that of x^2 less the mean's square.
"""
from itertools import permutations
from typing import NamedTuple

from minnet.formats.onnx_functions import behind

SQUARE = 2


class Moments(NamedTuple):
    """Names of what is normalised and of its mean; the axes; names of gain and shift, "" where there are none."""

    x: str
    mean: str
    axes: list
    epsilon: float = 0.0
    gain: str = ""
    shift: str = ""


def normalised(node, makers, constant):
    """Return the Moments of what a node computes, the last of several, or None."""
    graph = _Graph(makers, constant)
    return graph.of_line(node) if node.op == "Add" else graph.of_difference(node)


class _Graph:
    """What makes each name; casts and other names of the same value are looked through."""

    def __init__(self, makers, constant):
        self.makers, self.constant = makers, constant

    def inputs(self, name, op):
        """Return the names that the node reads which makes `name`, if it is an `op`; else none."""
        node = self.makers.get(behind(name, self.makers))
        return tuple(behind(one, self.makers) for one in node.inputs) if node is not None and node.op == op else ()

    def number(self, name):
        """Return a constant that is one number, or None."""
        array = self.constant(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def of_difference(self, node):
        """Return the Moments of (x - mean) / root, or of (x - mean) * (1 / root), or None."""
        pairs = {"Div": [node.inputs], "Mul": permutations(node.inputs, 2)}.get(node.op, ())
        for less, divisor in pairs:
            found = self.root(divisor) if node.op == "Div" else self.inverse_root(divisor)
            if found is not None and self.inputs(less, "Sub") == found[:2]:
                return found
        return None

    def of_line(self, node):
        """Return the Moments of x * s + (shift - mean * s), or None."""
        for product, rest in permutations(node.inputs, 2):
            for x, scale in permutations(self.inputs(product, "Mul"), 2):
                found = self.scale(scale)
                shift = None if found is None or found.x != x else self.shift(rest, found.mean, scale)
                if shift is not None:
                    return found._replace(shift=shift)
        return None

    def scale(self, name):
        """Return the Moments of gain / root, or None."""
        for root, gain in permutations(self.inputs(name, "Mul"), 2):
            found = self.inverse_root(root)
            if found is not None:
                return found._replace(gain=gain)
        return self.inverse_root(name)

    def shift(self, name, mean, scale):
        """Return the name of the shift of shift - mean * scale, "" for none, None for something else."""
        if self.is_product(name, mean, scale, negative=True):
            return ""
        for product, shift in permutations(self.inputs(name, "Add"), 2):
            if self.is_product(product, mean, scale, negative=True):
                return shift
        shift, product = self.inputs(name, "Sub") or ("", "")
        return shift if self.is_product(product, mean, scale) else None

    def is_product(self, name, mean, scale, negative=False):
        """Return whether it is mean * scale, or -mean * scale."""
        for one, other in permutations(self.inputs(name, "Mul"), 2):
            if other == scale and (self.inputs(one, "Neg") == (mean,) if negative else one == mean):
                return True
        return negative and any(self.is_product(one, mean, scale) for one in self.inputs(name, "Neg"))

    def inverse_root(self, name):
        """Return the Moments of 1 / root, or None."""
        one, root = self.inputs(name, "Div") or ("", "")
        inverse = (root,) if self.number(one) == 1 else self.inputs(name, "Reciprocal")
        return self.root(*inverse) if inverse else None

    def root(self, name):
        """Return the Moments of sqrt(variance + epsilon), or None."""
        for sum_ in self.inputs(name, "Sqrt"):
            for variance, epsilon in permutations(self.inputs(sum_, "Add"), 2):
                found = self.variance(variance) if self.number(epsilon) is not None else None
                if found is not None:
                    return found._replace(epsilon=self.number(epsilon))
        return None

    def variance(self, name):
        """Return the Moments of a variance, or None."""
        squares, axes = self.mean(name)
        if axes is not None:
            x, mean = self.inputs(self.squared(squares), "Sub") or ("", "")
            return Moments(x, mean, axes) if self.mean(mean) == (x, axes) else None
        second, first = self.inputs(name, "Sub") or ("", "")
        (squares, axes), mean = self.mean(second), self.squared(first)
        x = self.squared(squares)
        return Moments(x, mean, axes) if axes is not None and self.mean(mean) == (x, axes) else None

    def mean(self, name):
        """Return (the name of what a mean is of, its axes), axes None where it is no mean that keeps them."""
        of, *axes = self.inputs(name, "ReduceMean") or ("",)
        if not of or not self.makers[behind(name, self.makers)].attrs.get("keepdims", 1):
            return "", None
        array = self.constant(axes[0]) if axes else None
        given = self.makers[behind(name, self.makers)].attrs.get("axes") if array is None else array.reshape(-1)
        return of, None if given is None else [int(axis) for axis in given]

    def squared(self, name):
        """Return the name of what a square is of, or ""."""
        a, b = self.inputs(name, "Mul") or self.inputs(name, "Pow") or ("", "")
        return a if a == b or (self.inputs(name, "Pow") and self.number(b) == SQUARE) else ""

"""Layers that hold layers: the model is a tree, and backward is recursion."""
import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.space import concat, join
from minnet.errors import InvalidValue


def build_child(child, shape):
    """Build one layer of a tree and note its shapes; returns (output shape, declarations)."""
    child.input_shape = shape
    child.output_shape, wanted = child.build(shape)
    return child.output_shape, wanted


class Sequential(Layer):
    """One layer after the other."""

    prefix = "sequential"

    def __init__(self, *layers, name=None):
        self.layers = layers
        self.name = name

    def children(self):
        """In the order of the pass."""
        return self.layers

    def build(self, shape):
        """The shape goes from layer to layer."""
        wanted = []
        for layer in self.layers:
            shape, more = build_child(layer, shape)
            wanted += more
        return shape, wanted

    def trace(self, upstream):
        """A layer's upstream is all that stands before it."""
        self.upstream = upstream
        for layer in self.layers:
            upstream = layer.trace(upstream)
        return upstream

    def forward(self, x, tape):
        """First to last."""
        for layer in self.layers:
            x = layer.forward(x, tape)
        return x

    def backward(self, dy, tape):
        """Last to first; ends early where nothing below learns."""
        for layer in reversed(self.layers):
            dy = layer.backward(dy, tape)
            if dy is None:
                return None
        return dy

    def couple(self, space):
        """The Space goes from layer to layer."""
        for layer in self.layers:
            space = space.through(layer)
        return space


class Branches(Layer):
    """What Residual and Concat share: every branch reads the same input."""

    def build_branches(self, shape):
        """Build every branch on the same shape; returns (their output shapes, all declarations)."""
        built = [build_child(branch, shape) for branch in self.children()]
        return [out for out, _ in built], [item for _, wanted in built for item in wanted]

    def trace(self, upstream):
        """Each branch has the same upstream."""
        self.upstream = upstream
        return any([branch.trace(upstream) for branch in self.children()]) or upstream

    def sum_dx(self, gradients, tape):
        """The input's gradient: the sum over branches, left to right; None where nothing below learns."""
        if not tape.wants_dx(self):
            return None
        dx = tape.buffer(self, "dx", gradients[0].shape)
        np.copyto(dx, gradients[0])
        for more in gradients[1:]:
            dx += more
        return dx


class Residual(Branches):
    """y = branch(x) + shortcut(x); without a shortcut y = branch(x) + x (He et al., 2016, eq. 1)."""

    prefix = "residual"

    def __init__(self, branch, shortcut=None, *, name=None):
        self.branch = branch
        self.shortcut = shortcut
        self.name = name

    def children(self):
        """The branch, then the shortcut if there is one."""
        return (self.branch,) if self.shortcut is None else (self.branch, self.shortcut)

    def build(self, shape):
        """Both sides must come out alike."""
        outputs, wanted = self.build_branches(shape)
        if self.shortcut is None:
            outputs.append(shape)
        if outputs[0] != outputs[1]:
            raise InvalidValue(f"{self.name} adds the shapes {outputs[0]} and {outputs[1]}: give it a shortcut that "
                               "makes them equal, for example Conv2d(filters, 1, stride)")
        return outputs[0], wanted

    def forward(self, x, tape):
        """y = branch(x) + shortcut(x)."""
        other = x if self.shortcut is None else self.shortcut.forward(x, tape)
        straight = self.branch.forward(x, tape)
        return np.add(straight, other, out=tape.buffer(self, "y", straight.shape))

    def backward(self, dy, tape):
        """dy goes into both sides."""
        other = dy if self.shortcut is None else self.shortcut.backward(dy, tape)
        return self.sum_dx([self.branch.backward(dy, tape), other], tape)

    def couple(self, space):
        """Unit i of both sides is one unit."""
        return join(space.through(self.branch), space if self.shortcut is None else space.through(self.shortcut))


class Concat(Branches):
    """The outputs of all branches side by side along the last axis."""

    prefix = "concat"

    def __init__(self, *branches, name=None):
        self.branches = branches
        self.name = name

    def children(self):
        """Left to right."""
        return self.branches

    def build(self, shape):
        """All but the last axis must agree."""
        if not self.branches:
            raise InvalidValue(f"{self.name} has no branches: Concat(first, second, ...)")
        outputs, wanted = self.build_branches(shape)
        if len({out[:-1] for out in outputs}) > 1:
            raise InvalidValue(f"{self.name} joins the shapes {outputs} along the last axis: the others must be equal")
        self.widths = [out[-1] for out in outputs]
        return (*outputs[0][:-1], sum(self.widths)), wanted

    def forward(self, x, tape):
        """y = [branch_0(x), branch_1(x), ...]."""
        y, start = tape.buffer(self, "y", (len(x), *self.output_shape)), 0
        for branch, width in zip(self.branches, self.widths, strict=True):
            y[..., start : start + width] = branch.forward(x, tape)
            start += width
        return y

    def backward(self, dy, tape):
        """Each branch gets its part of dy."""
        gradients, start = [], 0
        for i, (branch, width) in enumerate(zip(self.branches, self.widths, strict=True)):
            part = tape.buffer(self, f"dy{i}", (*dy.shape[:-1], width))
            np.copyto(part, dy[..., start : start + width])
            gradients.append(branch.backward(part, tape))
            start += width
        return self.sum_dx(gradients, tape)

    def couple(self, space):
        """The units of the first branch, then those of the second, ..."""
        return concat(*[space.through(branch) for branch in self.branches])

"""Layers that hold layers: the model is a tree, and backward is recursion."""
import copy

import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.space import concat, join
from minnet.errors import InvalidValue


def build_child(child, shape):
    """Build one layer of a tree and note its shapes; returns (output shape, declarations)."""
    child.input_shape = shape
    child.output_shape, wanted = child.build(shape)
    return child.output_shape, wanted


def _copy_with(layer, attributes):
    """Return a shallow copy of a layer with other attributes; parameters and shapes are shared."""
    other = copy.copy(layer)
    vars(other).update(attributes)
    return other


class Container(Layer):
    """What layers that hold layers share: second order is a walk through what they hold.

    `ascend(x, visit)` walks as `forward` does and `descend(flows, visit, tape)` as `backward` does, with a tuple of
    arrays (dy and what goes with it) in place of dy; `visit` does one layer's part.
    """

    def with_children(self, children):
        """Return a shallow copy that holds `children` instead, or this layer itself if it knows no such copy."""
        return self

    def tangent(self, rx, tape, along):
        """As `forward`."""
        return self.ascend(rx, lambda layer, rx: layer.tangent(rx, tape, along))

    def tangent_backward(self, dy, rdy, tape, along):
        """As `backward`."""
        return self.descend((dy, rdy), lambda layer, flows: layer.tangent_backward(*flows, tape, along), tape)

    def curvature(self, dy, hy, tape, second):
        """As `backward`; where branches meet again, what they have in common is not counted."""
        return self.descend((dy, hy), lambda layer, flows: layer.curvature(*flows, tape, second), tape)

    def square_gradient(self, dy, tape, squares):
        """As `backward`."""
        def visit(layer, flows):
            dx = layer.square_gradient(*flows, tape, squares)
            return None if dx is None else (dx,)

        flows = self.descend((dy,), visit, tape)
        return None if flows is None else flows[0]


class Sequential(Container):
    """One layer after the other."""

    prefix = "sequential"

    def __init__(self, *layers, name=None):
        self.layers = layers
        self.name = name

    def children(self):
        """In the order of the pass."""
        return self.layers

    def with_children(self, children):
        """Return a shallow copy that holds these layers."""
        return _copy_with(self, {"layers": tuple(children)})

    def build(self, shape):
        """The shape goes from layer to layer."""
        wanted = []
        for layer in self.layers:
            shape, more = build_child(layer, shape)
            wanted += more
        return shape, wanted

    def trace(self, upstream):
        """A layer's upstream is all that stands before it."""
        self.input_needs_grad = upstream
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

    def ascend(self, x, visit):
        """First to last."""
        for layer in self.layers:
            x = visit(layer, x)
        return x

    def descend(self, flows, visit, tape):
        """Last to first; ends early where nothing below learns."""
        for layer in reversed(self.layers):
            flows = visit(layer, flows)
            if flows is None:
                return None
        return flows

    def couple(self, space):
        """The Space goes from layer to layer."""
        for layer in self.layers:
            space = space.through(layer)
        return space


class Branches(Container):
    """What Residual and Concat share: every branch reads the same input."""

    def build_branches(self, shape):
        """Build every branch on the same shape; returns (their output shapes, all declarations)."""
        built = [build_child(branch, shape) for branch in self.children()]
        return [out for out, _ in built], [item for _, wanted in built for item in wanted]

    def trace(self, upstream):
        """Each branch has the same upstream."""
        self.input_needs_grad = upstream
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

    def sum_flows(self, flows, tape):
        """As `sum_dx`, for each member of the tuples that came out of the branches."""
        return tuple(sum(arrays) for arrays in zip(*flows, strict=True)) if tape.wants_dx(self) else None


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

    def with_children(self, children):
        """Return a shallow copy that holds this branch, and the shortcut if there is one."""
        branch, *shortcut = children
        return _copy_with(self, {"branch": branch, "shortcut": shortcut[0] if shortcut else None})

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

    def ascend(self, x, visit):
        """The sum of both sides."""
        return visit(self.branch, x) + (x if self.shortcut is None else visit(self.shortcut, x))

    def descend(self, flows, visit, tape):
        """The same goes into both sides."""
        other = flows if self.shortcut is None else visit(self.shortcut, flows)
        return self.sum_flows([visit(self.branch, flows), other], tape)

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

    def with_children(self, children):
        """Return a shallow copy that holds these branches."""
        return _copy_with(self, {"branches": tuple(children)})

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

    def ascend(self, x, visit):
        """Side by side."""
        return np.concatenate([visit(branch, x) for branch in self.branches], axis=-1)

    def descend(self, flows, visit, tape):
        """Each branch gets its part of every array."""
        parts, ends = [], np.cumsum(self.widths)
        for branch, width, end in zip(self.branches, self.widths, ends, strict=True):
            own = tuple(np.ascontiguousarray(flow[..., end - width : end]) for flow in flows)
            parts.append(visit(branch, own))
        return self.sum_flows(parts, tape)

    def couple(self, space):
        """The units of the first branch, then those of the second, ..."""
        return concat(*[space.through(branch) for branch in self.branches])

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


def copy_with(layer, attributes):
    """Return a shallow copy of a layer with other attributes; parameters and shapes are shared."""
    other = copy.copy(layer)
    vars(other).update(attributes)
    return other


class Container(Layer):
    """What layers that hold layers share: second order is a walk through what they hold.

    `map_forward(x, visit)` walks as `forward` does and `map_backward(cotangents, visit, tape)` as `backward` does, with
    a tuple of arrays (dy and its companions) in place of dy; `visit` does one layer's part.
    """

    counts_paths = True

    def with_children(self, children):
        """Return a shallow copy that holds `children` instead, or this layer itself if it knows no such copy."""
        return self

    def tangent(self, rx, tape, along):
        """Apply the layers' tangents in the order of `forward`."""
        return self.map_forward(rx, lambda layer, rx: layer.tangent(rx, tape, along))

    def tangent_backward(self, dy, rdy, tape, along):
        """Apply the layers' own in the order of `backward`."""
        def visit(layer, cotangents):
            return layer.tangent_backward(*cotangents, tape, along)

        return self.map_backward((dy, rdy), visit, tape)

    def curvature(self, dy, hy, tape, second):
        """As `backward`; where branches meet again, what they have in common is not counted."""
        return self.map_backward((dy, hy), lambda layer, cotangents: layer.curvature(*cotangents, tape, second), tape)

    def square_gradient(self, dy, tape, squares):
        """Apply the layers' own in the order of `backward`."""
        def visit(layer, cotangents):
            dx = layer.square_gradient(*cotangents, tape, squares)
            return None if dx is None else (dx,)

        cotangents = self.map_backward((dy,), visit, tape)
        return None if cotangents is None else cotangents[0]


class Sequential(Container):
    """Compute layers one after the other.

    Parameters
    ----------
    layers : Layer
        The layers, first to last.
    name : str, optional
        Default: a name and number given by the Model.
    """

    prefix = "sequential"

    def __init__(self, *layers: Layer, name: str | None = None) -> None:
        self.layers = layers
        self.name = name

    def children(self):
        """Return the layers in the order of the pass."""
        return self.layers

    def with_children(self, children):
        """Return a shallow copy that holds these layers."""
        return copy_with(self, {"layers": tuple(children)})

    def build(self, shape):
        """Pass the shape from layer to layer; return the last one and all declarations."""
        wanted = []
        for layer in self.layers:
            shape, more = build_child(layer, shape)
            wanted += more
        return shape, wanted

    def trace(self, input_needs_grad: bool) -> bool:
        """Note for each layer whether anything before it learns."""
        self.input_needs_grad = input_needs_grad
        for layer in self.layers:
            input_needs_grad = layer.trace(input_needs_grad)
        return input_needs_grad

    def forward(self, x, tape):
        """Compute the layers first to last."""
        for layer in self.layers:
            x = layer.forward(x, tape)
        return x

    def backward(self, dy, tape):
        """Apply the layers last to first; end early where nothing below learns."""
        for layer in reversed(self.layers):
            dy = layer.backward(dy, tape)
            if dy is None:
                return None
        return dy

    @property
    def flattens(self):
        """True if its first layer does."""
        return bool(self.layers) and self.layers[0].flattens

    def map_forward(self, x, visit):
        """Apply the layers first to last."""
        for layer in self.layers:
            x = visit(layer, x)
        return x

    def map_backward(self, cotangents, visit, tape):
        """Apply the layers last to first; end early where nothing below learns."""
        for layer in reversed(self.layers):
            cotangents = visit(layer, cotangents)
            if cotangents is None:
                return None
        return cotangents

    def couple(self, space):
        """Pass the Space from layer to layer."""
        for layer in self.layers:
            space = space.through(layer)
        return space


class Branches(Container):
    """What Residual and Concat share: every branch reads the same input."""

    def build_branches(self, shape):
        """Build every branch on the same shape; returns (their output shapes, all declarations)."""
        built = [build_child(branch, shape) for branch in self.children()]
        return [out for out, _ in built], [item for _, wanted in built for item in wanted]

    def trace(self, input_needs_grad: bool) -> bool:
        """Note for each branch whether anything before it learns."""
        self.input_needs_grad = input_needs_grad
        return any([branch.trace(input_needs_grad) for branch in self.children()]) or input_needs_grad

    def sum_dx(self, gradients, tape):
        """Return the input's gradient, the sum over branches, left to right; None where nothing below learns."""
        if not tape.wants_dx(self):
            return None
        dx = tape.buffer(self, "dx", gradients[0].shape)
        np.copyto(dx, gradients[0])
        for more in gradients[1:]:
            dx += more
        return dx

    def sum_cotangents(self, cotangents, tape):
        """As `sum_dx`, for each member of the tuples that came out of the branches."""
        return tuple(sum(arrays) for arrays in zip(*cotangents, strict=True)) if tape.wants_dx(self) else None


class Residual(Branches):
    """Compute y = branch(x) + shortcut(x), without a shortcut y = branch(x) + x (He et al., 2016, eq. 1).

    Parameters
    ----------
    branch : Layer
        The layer whose output is added.
    shortcut : Layer, optional
        The other one; both outputs must have one shape. Default: the input itself.
    name : str, optional
        Default: a name and number given by the Model.

    References
    ----------
    He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", eq. 1.
    """

    prefix = "residual"

    def __init__(self, branch: Layer, shortcut: Layer | None = None, *, name: str | None = None) -> None:
        self.branch = branch
        self.shortcut = shortcut
        self.name = name

    def children(self):
        """Return the branch, then the shortcut if there is one."""
        return (self.branch,) if self.shortcut is None else (self.branch, self.shortcut)

    def with_children(self, children):
        """Return a shallow copy that holds this branch, and the shortcut if there is one."""
        branch, *shortcut = children
        return copy_with(self, {"branch": branch, "shortcut": shortcut[0] if shortcut else None})

    def build(self, shape):
        """Build both sides; their output shapes must be equal."""
        outputs, wanted = self.build_branches(shape)
        if self.shortcut is None:
            outputs.append(shape)
        if outputs[0] != outputs[1]:
            raise InvalidValue(f"{self.name} adds the shapes {outputs[0]} and {outputs[1]}: give it a shortcut that "
                               "makes them equal, for example Conv2d(filters, 1, stride)")
        return outputs[0], wanted

    def forward(self, x, tape):
        """Compute y = branch(x) + shortcut(x)."""
        other = x if self.shortcut is None else self.shortcut.forward(x, tape)
        straight = self.branch.forward(x, tape)
        return np.add(straight, other, out=tape.buffer(self, "y", straight.shape))

    def backward(self, dy, tape):
        """Send dy into both sides."""
        other = dy if self.shortcut is None else self.shortcut.backward(dy, tape)
        return self.sum_dx([self.branch.backward(dy, tape), other], tape)

    def map_forward(self, x, visit):
        """Add both sides."""
        return visit(self.branch, x) + (x if self.shortcut is None else visit(self.shortcut, x))

    def map_backward(self, cotangents, visit, tape):
        """Send the same into both sides."""
        other = cotangents if self.shortcut is None else visit(self.shortcut, cotangents)
        return self.sum_cotangents([visit(self.branch, cotangents), other], tape)

    def couple(self, space):
        """Unite unit i of both sides."""
        return join(space.through(self.branch), space if self.shortcut is None else space.through(self.shortcut))


class Concat(Branches):
    """Concatenate the outputs of all branches along the last axis.

    Parameters
    ----------
    branches : Layer
        The layers, which all take the same input.
    name : str, optional
        Default: a name and number given by the Model.
    """

    prefix = "concat"

    def __init__(self, *branches: Layer, name: str | None = None) -> None:
        self.branches = branches
        self.name = name

    def children(self):
        """Return the branches, left to right."""
        return self.branches

    def with_children(self, children):
        """Return a shallow copy that holds these branches."""
        return copy_with(self, {"branches": tuple(children)})

    def build(self, shape):
        """Build all branches; their output shapes must agree in all but the last axis."""
        if not self.branches:
            raise InvalidValue(f"{self.name} has no branches: Concat(first, second, ...)")
        outputs, wanted = self.build_branches(shape)
        if len({out[:-1] for out in outputs}) > 1:
            raise InvalidValue(f"{self.name} joins the shapes {outputs} along the last axis: the others must be equal")
        self.widths = [out[-1] for out in outputs]
        return (*outputs[0][:-1], sum(self.widths)), wanted

    def forward(self, x, tape):
        """Compute y = [branch_0(x), branch_1(x), ...]."""
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

    def map_forward(self, x, visit):
        """Side by side."""
        return np.concatenate([visit(branch, x) for branch in self.branches], axis=-1)

    def map_backward(self, cotangents, visit, tape):
        """Each branch gets its part of every array."""
        parts, ends = [], np.cumsum(self.widths)
        for branch, width, end in zip(self.branches, self.widths, ends, strict=True):
            own = tuple(np.ascontiguousarray(flow[..., end - width : end]) for flow in cotangents)
            parts.append(visit(branch, own))
        return self.sum_cotangents(parts, tape)

    def couple(self, space):
        """Concatenate the units of the branches."""
        return concat(*[space.through(branch) for branch in self.branches])

"""Product: two branches multiplied, number by number, as in squeeze-and-excitation and gated linear units.

    Product(Sequential(GlobalAvgPool2d(), Dense(4), ReLU(), Dense(16), Sigmoid()))  # images, a gate for each channel
    Product(Dense(8), Sequential(Dense(8), Sigmoid()))                              # a gated linear unit

Paths of weights are counted by `Sum` in its place: what varies in either branch varies in the product, unless the other
branch is 0, which a mask alone does not prove.
"""
import numpy as np

from minnet.engine.containers import Branches, copy_with
from minnet.engine.layer import Layer
from minnet.engine.space import Space, join
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue

Pair = tuple[np.ndarray, np.ndarray]


class Product(Branches):
    """Compute y = branch(x) * other(x), without another branch y = branch(x) * x.

    Both give one shape, or one gives images (h, w, c) and the other a number for each channel, (c,) or (1, 1, c), by
    which all pixels are multiplied. Unit i of both branches is one unit: it is removed from both or from neither.

    Parameters
    ----------
    branch : Layer
        One factor.
    other : Layer, optional
        The other one. Default: the input itself.
    name : str, optional
        Default: a name and number given by the Model.

    References
    ----------
    Hu, Shen and Sun, 2018, "Squeeze-and-excitation networks", eq. 4. Dauphin, Fan, Auli and Grangier, 2017, "Language
    modeling with gated convolutional networks", eq. 1.
    """

    prefix = "product"

    def __init__(self, branch: Layer, other: Layer | None = None, *, name: str | None = None) -> None:
        self.branch = branch
        self.other = other
        self.name = name

    def children(self) -> tuple[Layer, ...]:
        """Return the branch, then the other one if there is one."""
        return (self.branch,) if self.other is None else (self.branch, self.other)

    def with_children(self, children: list[Layer]) -> "Product":
        """Return a shallow copy that holds this branch, and the other one if there is one."""
        branch, *other = children
        return copy_with(self, {"branch": branch, "other": other[0] if other else None})

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Build both sides; the smaller output, if they differ, has a number for each channel of the larger one."""
        outputs, wanted = self.build_branches(shape)
        small, large = sorted([*outputs, shape][:2], key=lambda one: (np.prod(one), len(one)))
        if small not in (large, large[-1:], (*[1] * len(large[:-1]), large[-1])):
            raise InvalidValue(f"{self.name} multiplies the shapes {small} and {large}: make them equal, or one of "
                               f"them a number for each channel, {large[-1:]}")
        return large, wanted

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Compute y = branch(x) * other(x)."""
        a = self.branch.forward(x, tape)
        b = x if self.other is None else self.other.forward(x, tape)
        tape[self] = a, b
        return self.combine(a, b, tape.buffer(self, "y", (len(x), *self.output_shape)))

    def combine(self, a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return a b, where the smaller one is broadcast over pixels."""
        return np.multiply(self._wide(a), self._wide(b), out=out)

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Send dy b into the branch and dy a into the other one, summed over the pixels that a number met."""
        a, b = tape[self]
        da, db = self.partials(dy, a, b)
        other = db if self.other is None else self.other.backward(db, tape)
        return self.sum_dx([self.branch.backward(da, tape), other], tape)

    def partials(self, dy: np.ndarray, a: np.ndarray, b: np.ndarray) -> Pair:
        """Return dy b and dy a, in the shapes of a and b."""
        return self._narrow(dy * self._wide(b), a), self._narrow(dy * self._wide(a), b)

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = R{a} b + a R{b}."""
        a, b = tape[self]
        ra = self.branch.tangent(rx, tape, along)
        rb = rx if self.other is None else self.other.tangent(rx, tape, along)
        along[self] = ra, rb
        return self.combine(ra, b) + self.combine(a, rb)

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape, along: Tape) -> Pair | None:
        """Send dy b and R{dy} b + dy R{b} into the branch, and likewise into the other one."""
        firsts = self.partials(dy, *tape[self])
        seconds = zip(self.partials(rdy, *tape[self]), self.partials(dy, *along[self]), strict=True)
        cotangents = zip(firsts, (one + more for one, more in seconds), strict=True)
        return self._each(list(cotangents), lambda child, flow: child.tangent_backward(*flow, tape, along), tape)

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape, second: Tape) -> Pair | None:
        """Send dy b and hy b^2 into the branch, and likewise into the other one, without their mixed derivatives."""
        a, b = tape[self]
        cotangents = zip(self.partials(dy, a, b), self.partials(hy, np.square(a), np.square(b)), strict=True)
        return self._each(list(cotangents), lambda child, flow: child.curvature(*flow, tape, second), tape)

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray | None:
        """Send dy b and dy a into the branches' own."""
        a, b = tape[self]
        da, db = self.partials(dy, a, b)
        other = db if self.other is None else self.other.square_gradient(db, tape, squares)
        return self.sum_dx([self.branch.square_gradient(da, tape, squares), other], tape)

    def couple(self, space: Space) -> Space:
        """Unite unit i of both sides."""
        return join(space.through(self.branch), space if self.other is None else space.through(self.other))

    def stand_in(self) -> Layer:
        """Return the sum, through which a path leads wherever one leads through a branch."""
        return Sum(self.branch, self.other, name=self.name)

    def _each(self, cotangents, visit, tape):
        """Send a tuple of arrays into each branch; return the sum of what comes out."""
        other = cotangents[1] if self.other is None else visit(self.other, cotangents[1])
        return self.sum_cotangents([visit(self.branch, cotangents[0]), other], tape)

    def _wide(self, a):
        """Return `a` so that it broadcasts with the output."""
        missing = len(self.output_shape) + 1 - a.ndim
        return a.reshape(len(a), *[1] * missing, *a.shape[1:])

    def _narrow(self, products, like):
        """Return products, summed over the pixels that a number of `like` met, in its shape."""
        if products[0].size == like[0].size:
            return products.reshape(like.shape)
        return products.sum(axis=tuple(range(1, products.ndim - 1))).reshape(like.shape)


class Sum(Product):
    """The sum in place of the product: paths lead through one of two branches or through the other."""

    counts_paths = True

    def combine(self, a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return a + b."""
        return np.add(self._wide(a), self._wide(b), out=out)

    def partials(self, dy: np.ndarray, a: np.ndarray, b: np.ndarray) -> Pair:
        """Return dy twice, in the shapes of a and b."""
        return self._narrow(dy, a), self._narrow(dy, b)

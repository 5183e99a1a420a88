"""Linear layers: their second-order methods follow from their first-order ones.

`Linear` is for y = B(x, W) + b, linear in the input and in the weight (Dense, the convolutions): each layer defines
three products in a few lines. `FixedLinear` is for y = J x without parameters (Flatten, the pools,
Dropout).
Nothing here is used in training: read it together with hessian.py.
"""
import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.tape import Tape
from minnet.engine.vector import Parameter


class Linear(Layer):
    """y = B(x, W) + b; a subclass has `weight` and `bias`, and defines `saved_input` and three products.

    They are `product(x, weight, tape)` = B(x, W), `weight_vjp(x, dy, tape)` = dW and `input_vjp(dy, weight, tape)` =
    dx. Each returns a new array; the tape only lends buffers.
    """

    linear = True
    counts_paths = True
    weight: Parameter
    bias: Parameter | None

    def product(self, x: np.ndarray, weight: np.ndarray, tape: Tape) -> np.ndarray:
        """Return B(x, W) as a new array."""
        raise self.missing("product")

    def input_vjp(self, dy: np.ndarray, weight: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dx for output gradients dy, as a new array."""
        raise self.missing("input_vjp")

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = B(R{x}, W) + B(x, R{W}) + R{b}."""
        along[self] = rx
        ry = self.product(rx, self.weight.of(tape.values), along)
        ry += self.product(self.saved_input(tape), self.weight.of(along.values), along)
        if self.bias is not None:
            ry += self.bias.of(along.values)
        return ry

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Write R{dW} = vjp(x, R{dy}) + vjp(R{x}, dy) and R{db} = sum of R{dy}; return dx and R{dx} likewise."""
        change = self.weight_vjp(self.saved_input(tape), rdy, along) + self.weight_vjp(along[self], dy, along)
        self.weight.of(along.grads)[...] = change
        self.sum_bias(rdy, along)
        if not tape.wants_dx(self):
            self.backward(dy, tape)
            return None
        rdx = self.input_vjp(rdy, self.weight.of(tape.values), along)
        rdx += self.input_vjp(dy, self.weight.of(along.values), along)
        dx = self.backward(dy, tape)
        return None if dx is None else (dx, rdx)

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape,
                  second: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Write hW = vjp(x^2, hy) and hb = sum of hy; return dx and hx = vjp(hy, W^2), without mixed terms."""
        self.weight.of(second.grads)[...] = self.weight_vjp(np.square(self.saved_input(tape)), hy, second)
        self.sum_bias(hy, second)
        dx = self.backward(dy, tape)
        return None if dx is None else (dx, self.input_vjp(hy, np.square(self.weight.of(tape.values)), second))

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray | None:
        """Write the squares of each image's gradients, summed over the images; return dx."""
        self.weight.of(squares.grads)[...] = self.square_weight(self.saved_input(tape), dy, squares)
        if self.bias is not None:
            each = dy.reshape(len(dy), -1, dy.shape[-1]).sum(axis=1)  # (n, o)
            np.square(each).sum(axis=0, out=self.bias.of(squares.grads))
        return self.backward(dy, tape)

    def square_weight(self, x: np.ndarray, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the sum over images of the squares of dW."""
        total = np.zeros(self.weight.shape, dy.dtype)
        for i in range(len(x)):
            total += np.square(self.weight_vjp(x[i : i + 1], dy[i : i + 1], tape))
        return total

    def sum_bias(self, dy: np.ndarray, tape: Tape) -> None:
        """Write dy, summed over all but the last axis, as the bias's gradient to the tape."""
        if self.bias is not None:
            self.bias.of(tape.grads)[...] = dy.reshape(-1, dy.shape[-1]).sum(axis=0)


class FixedLinear(Layer):
    """y = J x, with a J without parameters; the nonzero entries of each of its rows are `share`."""

    counts_paths = True

    def share(self, tape: Tape) -> float | np.ndarray:
        """Return the factor of each input in an output: a number, or an array of the output's shape."""
        return 1.0

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = J R{x}."""
        return self.forward(rx, along)

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Return dx and R{dx} = J' R{dy}."""
        along.recall(self, tape)
        dx, rdx = self.backward(dy, tape), self.backward(rdy, along)
        return None if dx is None or rdx is None else (dx, rdx)

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape,
                  second: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Return dx and hx = the sum over outputs of J^2 hy."""
        second.recall(self, tape)
        dx, hx = self.backward(dy, tape), self.backward(hy * self.share(tape), second)
        return None if dx is None or hx is None else (dx, hx)

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray | None:
        """Return dx: there are no parameters."""
        return self.backward(dy, tape)

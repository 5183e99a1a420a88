"""Layers that are linear: their second order follows from what they do to first order.

`Linear` is for y = B(x, W) + b, linear in the input and in the weight (Dense, the convolutions): three products that
each layer writes in a few lines are enough. `FixedLinear` is for y = J x with nothing to learn (Flatten, the pools,
Dropout).
Nothing here is used in training: read it when you meet hessian.py.
"""
import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.tape import Tape


class Linear(Layer):
    """y = B(x, W) + b; a subclass gives `saved_input(tape)`, the input that the tape keeps, and three products.

    `product(x, weight, tape)` = B(x, W), `weight_vjp(x, dy, tape)` = dW and `input_vjp(dy, weight, tape)` = dx.
    Each returns a new array; the tape only lends buffers.
    """

    linear = True
    counts_paths = True

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
        return self.backward(dy, tape), rdx

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape,
                  second: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Write hW = vjp(x^2, hy) and hb = sum of hy; return dx and hx = vjp(hy, W^2), without mixed terms."""
        self.weight.of(second.grads)[...] = self.weight_vjp(np.square(self.saved_input(tape)), hy, second)
        self.sum_bias(hy, second)
        dx = self.backward(dy, tape)
        return None if dx is None else (dx, self.input_vjp(hy, np.square(self.weight.of(tape.values)), second))

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray | None:
        """Write the gradients of every image alone, squared and summed over the images; return dx."""
        self.weight.of(squares.grads)[...] = self.square_weight(self.saved_input(tape), dy, squares)
        if self.bias is not None:
            alone = dy.reshape(len(dy), -1, dy.shape[-1]).sum(axis=1)  # (n, o)
            np.square(alone).sum(axis=0, out=self.bias.of(squares.grads))
        return self.backward(dy, tape)

    def square_weight(self, x: np.ndarray, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the sum over images of the squares of dW."""
        total = np.zeros(self.weight.shape, dy.dtype)
        for i in range(len(x)):
            total += np.square(self.weight_vjp(x[i : i + 1], dy[i : i + 1], tape))
        return total

    def sum_bias(self, dy, tape):
        """Write dy, summed over all but the last axis, as the bias's gradient to the tape."""
        if self.bias is not None:
            self.bias.of(tape.grads)[...] = dy.reshape(-1, dy.shape[-1]).sum(axis=0)


class FixedLinear(Layer):
    """y = J x, with a J that learns nothing; in each of its rows the entries that are not 0 are `share`."""

    counts_paths = True

    def share(self, tape: Tape) -> float | np.ndarray:
        """Return the factor of each input that an output takes: a number, or an array of the output's shape."""
        return 1.0

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = J R{x}."""
        return self.forward(rx, along)

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Return dx and R{dx} = J' R{dy}."""
        along.recall(self, tape)
        return self.backward(dy, tape), self.backward(rdy, along)

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape,
                  second: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Return dx and hx = the sum over outputs of J^2 hy."""
        second.recall(self, tape)
        return self.backward(dy, tape), self.backward(hy * self.share(tape), second)

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray | None:
        """Return dx: there is nothing to learn."""
        return self.backward(dy, tape)

"""PReLU: the activation whose slope is trained.

The slopes are no weights: they are in the zone of biases and gains, so that neither a criterion nor a penalty on
weights counts them, weight decay leaves them alone, and a mask on single weights never reaches them. A slope of each
channel belongs to the channel's unit, and is removed with it.
"""
import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.space import Space
from minnet.engine.tape import Tape
from minnet.engine.vector import Parameter
from minnet.errors import check_real


class PReLU(Layer):
    """y = x where x > 0, slope * x elsewhere, with a slope that is trained: one, or one for each channel.

    Parameters
    ----------
    per_channel : bool, default False
        Whether each channel (feature of rows) has a slope of its own; else there is one.
    initial : float, default 0.25
        Slope before training.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    He, Zhang, Ren and Sun, 2015, "Delving deep into rectifiers", eq. 1.
    """

    prefix = "prelu"
    per_unit = True
    slopes: Parameter

    def __init__(self, per_channel: bool = False, initial: float = 0.25, *, name: str | None = None) -> None:
        self.per_channel = per_channel
        self.initial = initial
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; asks for the slopes (c,), or (1,) where they are one."""
        check_real(f"initial of {self.name}", self.initial)
        slopes = shape[-1:] if self.per_channel else (1,)
        return shape, [self.declare("slopes", slopes, lambda rng, shape: np.full(shape, self.initial))]

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return x or slope * x, of any shape."""
        tape[self] = x
        return np.where(x > 0, x, self.slopes.of(tape.values) * x)

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Write dslope = sum of dy x where x <= 0; return dx = dy where x > 0, slope * dy elsewhere."""
        x = tape[self]
        self._sum(dy * np.minimum(x, 0), tape)
        return self._steepness(tape) * dy

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = f' R{x} + R{slope} min(x, 0)."""
        along[self] = rx
        return self._steepness(tape) * rx + self.slopes.of(along.values) * np.minimum(tape[self], 0)

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Write R{dslope} = sum of R{dy} x + dy R{x} where x <= 0; return dx and R{dx} = f' R{dy} + R{f'} dy."""
        x, rx = tape[self], along[self]
        below = x <= 0
        self._sum(rdy * np.minimum(x, 0) + dy * rx * below, along)
        rdx = self._steepness(tape) * rdy + self.slopes.of(along.values) * below * dy
        return self.backward(dy, tape), rdx

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape, second: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Write hslope = sum of x^2 hy where x <= 0; return dx and hx = f'^2 hy."""
        self._sum(hy * np.square(np.minimum(tape[self], 0)), second)
        return self.backward(dy, tape), np.square(self._steepness(tape)) * hy

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray:
        """Write dslope of each image alone, squared and summed; return dx."""
        product = (dy * np.minimum(tape[self], 0)).reshape(len(dy), -1, dy.shape[-1])
        alone = product.sum(axis=1) if self.per_channel else product.sum(axis=(1, 2))[:, None]
        np.square(alone).sum(axis=0, out=self.slopes.of(squares.grads))
        return self.backward(dy, tape)

    def couple(self, space: Space) -> Space:
        """Note that slopes of channels belong to the units of the input, which are passed on."""
        return space.use(self.slopes, -1) if self.per_channel else space

    def _steepness(self, tape):
        """Return f' at the inputs of the pass: 1 or the slope."""
        return np.where(tape[self] > 0, tape.dtype.type(1), self.slopes.of(tape.values))

    def _sum(self, products, tape):
        """Write products, summed for each slope, as its gradient to the tape."""
        axes = tuple(range(products.ndim - 1)) if self.per_channel else None
        self.slopes.of(tape.grads)[...] = products.sum(axis=axes)

"""Optimizers: a few numbers each; the vectors they need live in the State, in the model's index space.

`step` moves one window of the flat vector by a fused kernel that reads the gradient (the sum of the rows of `grads`,
one row per thread) once, and leaves +0.0 where the mask is False, in the values and in every vector. Only weights
decay. Weight decay is coupled (added to the gradient) or, with decoupled=True, a shrinking beside the step (Loshchilov
and Hutter, 2019, algorithms 1 and 2).
"""
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minnet.engine.model import Model
from minnet.errors import InvalidType, InvalidValue, check_choice, check_fraction, check_positive, check_real, quoted
from minnet.kernels import steps


class Optimizer(Protocol):
    """What an optimizer is: a learning rate, how many vectors the State keeps for it, and one step.

    `kernel`, an attribute that may be absent, names the kernel of kernels/steps.py that makes its steps: a stepper that
    makes many steps in one call takes its `settings(lr, t)` for each, and one that has no such kernel declines. Without
    it every step goes through `step`.
    """

    @property
    def lr(self) -> float:
        """The learning rate before any schedule."""

    slots: int

    def step(self, model: Model, window: slice, grads: np.ndarray, vectors: np.ndarray, lr: float, scale: float,
             t: int) -> None:
        """Move `window` of the flat vector one step.

        Parameters
        ----------
        model : Model
            Its values move, and are +0.0 afterwards wherever its mask is False.
        window : slice
            Which entries move; several threads may move windows of one vector at once.
        grads : numpy.ndarray
            Shape (shards, n_trainable): the gradient is the sum of the rows.
        vectors : numpy.ndarray
            Shape (slots, n_trainable), the optimizer's own, 0 before the first step and afterwards where the mask cuts.
        lr, scale : float
            The learning rate of this step, and what the gradient is multiplied by (clipping).
        t : int
            The number of the step, counted from 1.
        """


@dataclass(frozen=True)
class SGD:
    """Descend with momentum: v = momentum v + g; w -= lr v, or with Nesterov w -= lr (g + momentum v).

    Parameters
    ----------
    lr : float
        Learning rate.
    momentum : float
        Share of the velocity that is kept, in [0, 1).
    nesterov : bool
        Whether the step looks ahead along the velocity.
    weight_decay : float
        Strength of the decay of weights.
    decoupled : bool
        Shrink the weights beside the step instead of adding the decay to the gradient.

    Raises
    ------
    InvalidValue, InvalidType
        A number is outside its range.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton (2013), "On the importance of initialization and momentum in deep learning",
    eq. 3-4, in the form PyTorch uses, which puts lr outside v.
    """

    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decoupled: bool = False

    slots = 1        # vectors it keeps: the velocity
    kernel = "sgd"   # what makes its steps: sgd_step in kernels/steps.py

    def __post_init__(self):
        check_positive("lr", self.lr)
        check_real("weight_decay", self.weight_decay, 0)
        _check_memory("momentum", self.momentum)

    def step(self, model: Model, window: slice, grads: np.ndarray, vectors: np.ndarray, lr: float, scale: float,
             t: int) -> None:
        """Move `window` one step; `scale` multiplies the gradient, t counts steps from 1."""
        steps.sgd_step(grads[:, window], model.mask[window], float(scale), np.array(self.settings(lr, t)),
                       _decaying(model, window), model.values[window], vectors[0, window])

    def settings(self, lr: float, t: int) -> tuple:
        """Return what sgd_step takes in step t: lr, momentum, nesterov, decay, shrink, and two zeros."""
        return (lr, self.momentum, self.nesterov, *_decay(self, lr), 0, 0)


@dataclass(frozen=True)
class Lion:
    """The sign of an interpolated momentum: w -= lr sign(b1 m + (1 - b1) g), then m = b2 m + (1 - b2) g.

    Every live weight moves by lr, whatever its gradient's size, so lr is a tenth to a third of Adam's, and weight decay
    three to ten times its.

    Parameters
    ----------
    lr : float
        Learning rate: how far every weight moves in a step.
    betas : (float, float)
        Shares of the momentum that are kept in the step and in the momentum itself, each in [0, 1).
    weight_decay : float
        Strength of the decay of weights.
    decoupled : bool
        Shrink the weights beside the step, as the authors do, instead of adding the decay to the gradient.

    Raises
    ------
    InvalidValue, InvalidType
        A number is outside its range.

    References
    ----------
    Chen et al. (2023), "Symbolic discovery of optimization algorithms", program 1 and algorithm 2.
    """

    lr: float = 1e-4
    betas: tuple = (0.9, 0.99)
    weight_decay: float = 0.0
    decoupled: bool = True

    slots = 1         # vectors it keeps: the momentum
    kernel = "lion"   # lion_step in kernels/steps.py

    def __post_init__(self):
        check_positive("lr", self.lr)
        check_real("weight_decay", self.weight_decay, 0)
        _check_betas(self.betas)

    def step(self, model: Model, window: slice, grads: np.ndarray, vectors: np.ndarray, lr: float, scale: float,
             t: int) -> None:
        """Move `window` one step; `scale` multiplies the gradient, t counts steps from 1."""
        steps.lion_step(grads[:, window], model.mask[window], float(scale), np.array(self.settings(lr, t)),
                        _decaying(model, window), model.values[window], vectors[0, window])

    def settings(self, lr: float, t: int) -> tuple:
        """Return what lion_step takes in step t: lr, beta1, beta2, decay, shrink, and two zeros."""
        return (lr, *self.betas, *_decay(self, lr), 0, 0)


@dataclass(frozen=True)
class Adam:
    """Adaptive moments: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) correct the first steps, in which the moments begin at 0.

    Parameters
    ----------
    lr : float
        Learning rate.
    betas : (float, float)
        Shares of the first and second moment that are kept, each in [0, 1).
    eps : float
        Added to the root of the second moment, above 0.
    weight_decay : float
        Strength of the decay of weights.
    decoupled : bool
        Shrink the weights beside the step instead of adding the decay to the gradient.

    Raises
    ------
    InvalidValue, InvalidType
        A number is outside its range.

    References
    ----------
    Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 1.
    """

    lr: float = 0.001
    betas: tuple = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    slots = 2        # vectors it keeps: first and second moment
    kernel = "adam"  # adam_step in kernels/steps.py

    def __post_init__(self):
        check_positive("lr", self.lr)
        check_real("weight_decay", self.weight_decay, 0)
        check_positive("eps", self.eps)
        _check_betas(self.betas)

    def step(self, model: Model, window: slice, grads: np.ndarray, vectors: np.ndarray, lr: float, scale: float,
             t: int) -> None:
        """Move `window` one step; `scale` multiplies the gradient, t counts steps from 1."""
        _adaptive_step(self.settings(lr, t), model, window, grads, vectors, scale)

    def settings(self, lr: float, t: int) -> tuple:
        """Return what adam_step takes in step t: rate, beta1, beta2, eps, root, decay, shrink."""
        beta1, beta2 = self.betas
        rate, root = lr / (1 - beta1**t), math.sqrt(1 - beta2**t)
        return (rate, beta1, beta2, self.eps, root, *_decay(self, lr))


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: w is multiplied by 1 - lr * weight_decay beside the step.

    Parameters
    ----------
    lr, betas, eps
        As for Adam.
    weight_decay : float
        Strength of the decay of weights.
    decoupled : bool
        True.

    References
    ----------
    Loshchilov and Hutter (2019), "Decoupled weight decay regularization", algorithm 2.
    """

    weight_decay: float = 0.01
    decoupled: bool = True


@dataclass(frozen=True)
class RMSprop:
    """Divide by the root of the mean square: v = decay v + (1 - decay) g^2; w -= lr g / (sqrt(v) + eps).

    This is Adam without momentum and without its correction of the first steps.

    Parameters
    ----------
    lr : float
        Learning rate.
    decay : float
        Share of the mean square that is kept, in [0, 1).
    eps : float
        Added to the root, above 0.
    weight_decay : float
        Strength of the decay of weights.
    decoupled : bool
        Shrink the weights beside the step instead of adding the decay to the gradient.

    Raises
    ------
    InvalidValue, InvalidType
        A number is outside its range.

    References
    ----------
    Tieleman and Hinton (2012), "Neural networks for machine learning", lecture 6.5.
    """

    lr: float = 0.001
    decay: float = 0.9
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    slots = 2        # vectors it keeps: the last gradient, and the mean of the squares
    kernel = "adam"  # with beta1 = 0 and no correction of the first steps

    def __post_init__(self):
        check_positive("lr", self.lr)
        check_positive("eps", self.eps)
        check_real("weight_decay", self.weight_decay, 0)
        _check_memory("decay", self.decay)

    def step(self, model: Model, window: slice, grads: np.ndarray, vectors: np.ndarray, lr: float, scale: float,
             t: int) -> None:
        """Move `window` one step; `scale` multiplies the gradient, t counts steps from 1."""
        _adaptive_step(self.settings(lr, t), model, window, grads, vectors, scale)

    def settings(self, lr: float, t: int) -> tuple:
        """Return what adam_step takes in step t: rate, beta1, beta2, eps, root, decay, shrink."""
        return (lr, 0.0, self.decay, self.eps, 1.0, *_decay(self, lr))


def _adaptive_step(settings, model, window, grads, vectors, scale):
    """Apply Adam's kernel to one window."""
    steps.adam_step(grads[:, window], model.mask[window], float(scale), np.array(settings), _decaying(model, window),
                    model.values[window], vectors[:, window])


def _decay(optimizer, lr):
    """Return what is added to the gradient per weight, and what the weight is multiplied by."""
    if optimizer.decoupled:
        return 0.0, 1 - lr * optimizer.weight_decay
    return optimizer.weight_decay, 1.0


def _decaying(model, window):
    """Return how many leading entries of the window are weights."""
    return max(0, min(window.stop, model.n_weights) - window.start)


def _check_betas(betas):
    """Refuse what is no pair of shares below 1."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise InvalidValue(f"betas={quoted(repr(betas))}; wanted a pair, for example (0.9, 0.99)")
    for beta in betas:
        _check_memory("betas", beta)


def _check_memory(name, share):
    """Refuse 1 as the share of the past that is kept: nothing would ever be forgotten."""
    if check_fraction(name, share) == 1:
        raise InvalidValue(f"{name}={share}; wanted a number of at least 0 and below 1")


def kernel_of(optimizer: Optimizer) -> str | None:
    """Return the name of the kernel that makes this optimizer's steps, or None.

    A subclass that writes a step of its own, without naming a kernel, has none: its base's would ignore that step.
    """
    for kind in type(optimizer).__mro__:
        if "kernel" in vars(kind):
            return vars(kind)["kernel"]
        if "step" in vars(kind):
            return None
    return None


def as_optimizer(optimizer: Optimizer | str | type | None) -> Optimizer:
    """Return the optimizer that is meant: itself, one by name or class with its defaults, SGD where it is None."""
    if optimizer is None or isinstance(optimizer, str):
        optimizer = check_choice("optimizer", "sgd" if optimizer is None else optimizer.lower(), OPTIMIZERS)
    made = optimizer() if isinstance(optimizer, type) else optimizer
    if not (hasattr(made, "step") and hasattr(made, "slots")):
        raise InvalidType(f"optimizer={quoted(repr(optimizer))}: give one such as SGD(lr=0.1), or a name in OPTIMIZERS")
    return made


OPTIMIZERS = {"sgd": SGD, "lion": Lion, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}

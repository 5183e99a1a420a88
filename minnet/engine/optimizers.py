"""Optimizers: a few numbers each; the vectors they need live in the State, in the model's index space.

`step` moves one window of the flat vector by a fused kernel that reads the gradient (the sum of the rows of `grads`,
one row per thread) once, and leaves +0.0 where the mask is False, in the values and in every vector. Only weights
decay. Weight decay is coupled (added to the gradient) or, with decoupled=True, a shrinking beside the step (Loshchilov
and Hutter, 2019, algorithms 1 and 2).
"""
import math
from dataclasses import dataclass
from typing import Protocol

from minnet.errors import InvalidType, InvalidValue, check_choice, check_fraction, check_positive, check_real, quoted
from minnet.kernels import steps


class Optimizer(Protocol):
    """What an optimizer is: a learning rate, how many vectors the State keeps for it, and one step.

    `kernel` names the kernel of kernels/steps.py that makes its steps, where it has one: a stepper that makes many
    steps in one call takes its `settings(lr, t)` for each, and one that has no such kernel declines. Without it every
    step goes through `step`.
    """

    lr: float
    slots: int

    def step(self, model, window: slice, grads, vectors, lr: float, scale: float, t: int) -> None:
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
            Shape (slots, n_trainable), the optimizer's own, 0 before the first step; 0 afterwards where the mask is.
        lr, scale : float
            The learning rate of this step, and what the gradient is multiplied by (clipping).
        t : int
            The number of the step, counted from 1.
        """


@dataclass(frozen=True)
class SGD:
    """v = momentum v + g; w -= lr v, or with Nesterov w -= lr (g + momentum v) (Sutskever et al., 2013, eq. 3-4, in
    the form PyTorch uses, which puts lr outside v)."""

    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decoupled: bool = False

    slots = 1        # vectors it keeps: the velocity
    kernel = "sgd"   # what makes its steps: kernels/steps.py has sgd_step

    def __post_init__(self):
        check_positive("lr", self.lr)
        check_real("weight_decay", self.weight_decay, 0)
        _check_memory("momentum", self.momentum)

    def step(self, model, window, grads, vectors, lr, scale, t):
        """Move `window` (a slice) one step; `scale` multiplies the gradient (clipping), t counts steps from 1."""
        number = model.dtype.type
        lr, momentum, nesterov, coupled, shrink, _, _ = self.settings(lr, t)
        steps.sgd_step(grads[:, window], model.mask[window], number(scale), number(lr), number(momentum),
                       nesterov, number(coupled), number(shrink), _decaying(model, window), model.values[window],
                       vectors[0, window])

    def settings(self, lr, t):
        """What sgd_step wants in step t."""
        return (lr, self.momentum, self.nesterov, *_decay(self, lr), 0, 0)


@dataclass(frozen=True)
class Adam:
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr m^ / (sqrt(v^) + eps), with m^ = m / (1 - b1^t) and
    v^ = v / (1 - b2^t) (Kingma and Ba, 2015, algorithm 1)."""

    lr: float = 0.001
    betas: tuple = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    slots = 2        # vectors it keeps: first and second moment
    kernel = "adam"  # what makes its steps: kernels/steps.py has adam_step

    def __post_init__(self):
        check_positive("lr", self.lr)
        check_real("weight_decay", self.weight_decay, 0)
        check_positive("eps", self.eps)
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise InvalidValue(f"betas={quoted(repr(self.betas))}; wanted a pair, for example (0.9, 0.999)")
        for beta in self.betas:
            _check_memory("betas", beta)

    def step(self, model, window, grads, vectors, lr, scale, t):
        """Move `window` (a slice) one step; `scale` multiplies the gradient (clipping), t counts steps from 1."""
        _adaptive_step(self.settings(lr, t), model, window, grads, vectors, scale)

    def settings(self, lr, t):
        """What adam_step wants in step t."""
        beta1, beta2 = self.betas
        rate, root = lr / (1 - beta1**t), math.sqrt(1 - beta2**t)
        return (rate, beta1, beta2, self.eps, root, *_decay(self, lr))


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2)."""

    weight_decay: float = 0.01
    decoupled: bool = True


@dataclass(frozen=True)
class RMSprop:
    """v = decay v + (1 - decay) g^2; w -= lr g / (sqrt(v) + eps) (Tieleman and Hinton, 2012, lecture 6.5): Adam without
    momentum and without its correction of the first steps."""

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

    def step(self, model, window, grads, vectors, lr, scale, t):
        """Move `window` (a slice) one step; `scale` multiplies the gradient (clipping), t counts steps from 1."""
        _adaptive_step(self.settings(lr, t), model, window, grads, vectors, scale)

    def settings(self, lr, t):
        """What adam_step wants in step t."""
        return (lr, 0.0, self.decay, self.eps, 1.0, *_decay(self, lr))


def _adaptive_step(settings, model, window, grads, vectors, scale):
    """Adam's kernel on one window."""
    number = model.dtype.type
    rate, beta1, beta2, eps, root, coupled, shrink = settings
    steps.adam_step(grads[:, window], model.mask[window], number(scale), number(rate), beta1, beta2, number(eps),
                    number(root), number(coupled), number(shrink), _decaying(model, window), model.values[window],
                    vectors[:, window])


def _decay(optimizer, lr):
    """(what is added to the gradient per weight, what the weight is multiplied by)."""
    if optimizer.decoupled:
        return 0.0, 1 - lr * optimizer.weight_decay
    return optimizer.weight_decay, 1.0


def _decaying(model, window):
    """How many leading entries of the window are weights."""
    return max(0, min(window.stop, model.n_weights) - window.start)


def _check_memory(name, share):
    """What is kept of the past: at 1 nothing would ever be forgotten."""
    if check_fraction(name, share) == 1:
        raise InvalidValue(f"{name}={share}; wanted a number of at least 0 and below 1")


def kernel_of(optimizer):
    """Return the name of the kernel that makes this optimizer's steps, or None.

    A subclass that writes a step of its own, without naming a kernel, has none: its base's would ignore that step.
    """
    for kind in type(optimizer).__mro__:
        if "kernel" in vars(kind):
            return vars(kind)["kernel"]
        if "step" in vars(kind):
            return None
    return None


def as_optimizer(optimizer):
    """The optimizer that was meant: itself, one by name or class with its defaults, SGD where it is None."""
    if optimizer is None or isinstance(optimizer, str):
        optimizer = check_choice("optimizer", "sgd" if optimizer is None else optimizer.lower(), OPTIMIZERS)
    made = optimizer() if isinstance(optimizer, type) else optimizer
    if not (hasattr(made, "step") and hasattr(made, "slots")):
        raise InvalidType(f"optimizer={quoted(repr(optimizer))}: give one such as SGD(lr=0.1), or a name in OPTIMIZERS")
    return made


OPTIMIZERS = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}

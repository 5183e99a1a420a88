"""Attacks: images moved a little, so that a model errs. By gradients of the input, or by the outputs alone.

    X_adv = pgd(model, X, y, epsilon=0.1, steps=10)      # each |X_adv - X| <= 0.1, and X_adv in [0, 1]
    gradient, losses = input_gradient(model, X, y)       # of each row's own loss
    attacked("deepfool", model, X, y, epsilon=1.5)

X is as the layers take it, in [0, 1] (`model.inputs(X)` of rows as a file has them), y class numbers. What an attack
returns is the best point it met: one that the model gets wrong rather than one it gets right, then the one of higher
loss; the rows themselves are among these, so accuracy under attack is never above that without.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minnet.arrays import as_numbers, check_X
from minnet.blas import one_blas_thread
from minnet.engine.losses import cross_entropy
from minnet.engine.rng import as_rng
from minnet.engine.tape import Tape
from minnet.engine.targets import check_targets
from minnet.errors import InvalidValue, check_choice, check_count, check_real
from minnet.typing import Seed

LINF, L2 = "linf", "l2"
STEP = 2.5  # how far all steps of PGD reach together, in radii: Madry et al. (2018), appendix
WITHIN = 1 - 2.0**-20  # of the radius of an L2 ball, so that rounding does not leave it
OVERSHOOT = 0.02  # of DeepFool, as in the paper
FAR = 1e-4  # and what is added to the distance of a hyperplane
SHARE = 0.2  # of the numbers of a row that the random search changes at first
UNIT = (0.0, 1.0)
Bounds = tuple[float, float]


def input_gradient(model, X: np.ndarray, y: np.ndarray,
                   loss: Callable = cross_entropy) -> tuple[np.ndarray, np.ndarray]:
    """Compute the gradient of each row's own loss with respect to that row, in use (no dropout, running statistics).

    Parameters
    ----------
    model : Model
        What the rows pass through.
    X : numpy.ndarray
        Shape ``(n, *input_shape)``, as the layers take it, in any range.
    y : numpy.ndarray
        Targets as the loss takes them.
    loss : callable
        A function in LOSSES.

    Returns
    -------
    tuple of numpy.ndarray
        dL_i/dx_i, as `X`, and L_i (n,). One forward and one backward pass.
    """
    X = check_X(X, model.input_shape, model.dtype)
    return _by_batches(lambda X, y, _: _Passes(model, loss).gradient(X, y)[:0:-1], model, X, y, None)


def fgsm(model, X: np.ndarray, y: np.ndarray, *, epsilon: float = 0.1, bounds: Bounds = UNIT) -> np.ndarray:
    """Move each number by `epsilon` in the direction that raises the loss: the fast gradient sign method.

    ``clip(x + epsilon sign(dL/dx))``; the row itself where that raises nothing.

    Parameters
    ----------
    model : Model
        What is attacked; it is not changed.
    X : numpy.ndarray
        Shape ``(n, *input_shape)``, within `bounds`.
    y : numpy.ndarray
        Class numbers (n,).
    epsilon : float
        How far each number may move.
    bounds : (float, float)
        The lowest and the highest value of a number.

    Returns
    -------
    numpy.ndarray
        Rows as `X`, ``|result - X| <= epsilon``, within `bounds`.

    Raises
    ------
    InvalidValue
        `X` is not within `bounds`, or `epsilon` is negative.

    References
    ----------
    Goodfellow, Shlens and Szegedy (2015), "Explaining and harnessing adversarial examples", section 4.
    """
    return pgd(model, X, y, epsilon=epsilon, steps=0, bounds=bounds)


def pgd(model, X: np.ndarray, y: np.ndarray, *, epsilon: float = 0.1, steps: int = 10, step_size: float | None = None,
        norm: str = LINF, random_start: bool = False, rng: Seed = None, bounds: Bounds = UNIT) -> np.ndarray:
    """Climb the loss by steps of fixed length, each followed by the way back into the ball: projected gradient descent.

    A step is ``step_size sign(g)``, or in L2 ``step_size g / ||g||``. Beside the steps' points the one of `fgsm` is
    looked at (in L2 the point at a distance of `epsilon` along the gradient), and the best is kept.

    Parameters
    ----------
    model, X, y, bounds
        As for `fgsm`.
    epsilon : float
        The radius of the ball.
    steps : int
        How many steps, each a forward and a backward pass.
    step_size : float, optional
        2.5 epsilon / steps unless given.
    norm : {"linf", "l2"}
        Of the ball: the largest change of a number, or the Euclidean norm of a row's change.
    random_start : bool
        Whether steps begin at a random point of the ball, not at the row.
    rng : int, numpy.random.Generator or None
        What that point is drawn from.

    Returns
    -------
    numpy.ndarray
        Rows as `X`, within the ball and `bounds`.

    Raises
    ------
    InvalidValue
        As for `fgsm`.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras and Vladu (2018), "Towards deep learning models resistant to adversarial attacks".
    """
    X, y, epsilon = _checked(model, X, y, epsilon, bounds)
    ball = check_choice("norm", norm, BALLS)(epsilon, bounds)
    steps = check_count("steps", steps, 0)
    length = STEP * epsilon / max(steps, 1) if step_size is None else check_real("step_size", step_size, 0)

    def attack(X, y, rng):
        passes, best = _Passes(model), _Best(X)
        at = ball.project(ball.draw(X, rng), X) if random_start else X
        wrong, losses, gradient = passes.gradient(X, y)
        best.offer(X, wrong, losses)
        fast = ball.project(X + ball.direction(gradient) * X.dtype.type(epsilon), X)
        best.offer(fast, *passes.losses(fast, y))
        for i in range(steps):
            if i or random_start:  # at the row itself the gradient is known
                wrong, losses, gradient = passes.gradient(at, y)
                best.offer(at, wrong, losses)
            at = ball.project(at + ball.direction(gradient) * X.dtype.type(length), X)
        if steps:
            best.offer(at, *passes.losses(at, y))
        return best.X

    return _by_batches(attack, model, X, y, rng)


def pgd_l2(model, X: np.ndarray, y: np.ndarray, *, epsilon: float = 1.0, steps: int = 10,
           step_size: float | None = None, random_start: bool = False, rng: Seed = None,
           bounds: Bounds = UNIT) -> np.ndarray:
    """Climb the loss within a Euclidean ball: `pgd` with norm="l2".

    Parameters
    ----------
    model, X, y, epsilon, steps, step_size, random_start, rng, bounds
        As for `pgd`.

    Returns
    -------
    numpy.ndarray
        Rows as `X`, within the ball and `bounds`.

    Raises
    ------
    InvalidValue
        As for `fgsm`.
    """
    return pgd(model, X, y, epsilon=epsilon, steps=steps, step_size=step_size, norm=L2, random_start=random_start,
               rng=rng, bounds=bounds)


def deepfool(model, X: np.ndarray, y: np.ndarray, *, epsilon: float = np.inf, steps: int = 50,
             bounds: Bounds = UNIT) -> np.ndarray:
    """Step to the nearest boundary between classes, as if the model were linear, until a row has crossed it.

    From the label's logit f_y and every other f_k the step is ``(f_y - f_k) w / ||w||^2``, w = d(f_k - f_y)/dx, for the
    nearest k; all steps together are made 2 % longer. A step takes a pass forward and back for each class.

    Parameters
    ----------
    model, X, y, bounds
        As for `fgsm`.
    epsilon : float
        The longest change of a row, in L2: one that takes more stays as it is.
    steps : int
        How many steps at most.

    Returns
    -------
    numpy.ndarray
        Rows as `X`; those that the model gets wrong already, or that no step led across, as they are.

    Raises
    ------
    InvalidValue
        As for `fgsm`.

    References
    ----------
    Moosavi-Dezfooli, Fawzi and Frossard (2016), "DeepFool: a simple and accurate method to fool deep neural networks".
    """
    X, y, epsilon = _checked(model, X, y, epsilon, bounds)
    steps = check_count("steps", steps, 1)

    def attack(X, y, _):
        passes, found, moved = _Passes(model), X.copy(), np.zeros_like(X)
        left = np.flatnonzero(~passes.losses(X, y)[0])
        for _ in range(steps):
            if not len(left):
                break
            moved[left] += passes.to_boundary(found[left], y[left])
            found[left] = np.clip(X[left] + (1 + OVERSHOOT) * moved[left], *bounds)
            left = left[~passes.losses(found[left], y[left])[0]]
        far = _norms(found - X).reshape(-1) > epsilon
        found[left], found[far] = X[left], X[far]
        return found

    return _by_batches(attack, model, X, y, None)


def random_search(model, X: np.ndarray, y: np.ndarray, *, epsilon: float = 0.1, steps: int = 200,
                  rng: Seed = None, bounds: Bounds = UNIT) -> np.ndarray:
    """Move random numbers of a row to an edge of the ball, and keep what raises the loss: only outputs are read.

    It begins with all numbers moved by epsilon up or down; a step draws new signs for a share of them that falls from
    20 % to one number.

    Parameters
    ----------
    model, X, y, epsilon, bounds
        As for `fgsm`.
    steps : int
        How many steps, each a forward pass.
    rng : int, numpy.random.Generator or None
        What numbers and signs are drawn from.

    Returns
    -------
    numpy.ndarray
        Rows as `X`, ``|result - X| <= epsilon``, within `bounds`.

    Raises
    ------
    InvalidValue
        As for `fgsm`.

    References
    ----------
    Andriushchenko, Croce, Flammarion and Hein (2020), "Square Attack: a query-efficient black-box adversarial attack
    via random search", whose steps are squares of an image.
    """
    X, y, epsilon = _checked(model, X, y, epsilon, bounds)
    ball, steps = _Box(epsilon, bounds), check_count("steps", steps, 0)

    def attack(X, y, rng):
        passes, best, signs = _Passes(model), _Best(X), rng.choice(np.array([-1, 1], X.dtype), X.shape)
        best.offer(X, *passes.losses(X, y))
        for i in range(steps + 1):
            share = 1 if i == 0 else max(SHARE * (1 - i / steps), 1 / max(1, math.prod(X.shape[1:])))
            new = np.where(rng.random(X.shape) < share, rng.choice(np.array([-1, 1], X.dtype), X.shape), signs)
            at = ball.project(X + new * X.dtype.type(epsilon), X)
            better = best.offer(at, *passes.losses(at, y))
            signs[better] = new[better]
        return best.X

    return _by_batches(attack, model, X, y, rng)


class _Passes:
    """Passes of one batch through a model: which rows it gets wrong, the loss of each, gradients of the input."""

    def __init__(self, model, loss=cross_entropy):
        self.model, self.loss, self.tape = model, loss, Tape(model, input_gradient=True)

    def losses(self, X, y):
        """Return (wrong, losses), both (n,)."""
        return self._forward(X, y)[:2]

    def gradient(self, X, y):
        """Return (wrong, losses, gradient): that of each row's own loss, as X."""
        wrong, losses, dlogits = self._forward(X, y)
        return wrong, losses, self.model.backward(dlogits, self.tape).copy()

    def to_boundary(self, X, y):
        """Return the shortest step of each row across the boundary to another class, as if the model were linear."""
        rows, best = np.arange(len(X)), None
        for k in range(self.model.output_shape[-1]):
            logits = self.model.forward(np.ascontiguousarray(X), self.tape)
            gap = logits[rows, y] - logits[:, k]
            dlogits = np.zeros_like(logits)
            dlogits[:, k] = 1
            dlogits[rows, y] -= 1
            w = self.model.backward(dlogits, self.tape)
            norms = np.maximum(_norms(w).reshape(-1), np.finfo(X.dtype).tiny**0.5)
            distance = np.where(y == k, np.inf, np.abs(gap) / norms)
            step = w * _column((np.abs(gap) + FAR) / norms**2, w)
            if best is None:
                nearest, best = distance, step
            best = np.where(_column(distance < nearest, w), step, best)
            nearest = np.minimum(nearest, distance)
        return best

    def _forward(self, X, y):
        logits = self.model.forward(np.ascontiguousarray(X), self.tape)
        dlogits, losses = np.empty_like(logits), np.empty(len(logits))
        self.loss(logits, y, dlogits, 1, losses)
        wrong = logits.argmax(-1) != y if y.ndim == 1 else np.zeros(len(y), bool)
        return wrong, losses, dlogits


class _Best:
    """The best point of each row so far: wrong before right, then of higher loss."""

    def __init__(self, X):
        self.X, self.wrong, self.losses = X.copy(), np.zeros(len(X), bool), np.full(len(X), -np.inf)

    def offer(self, X, wrong, losses):
        """Take the points that are better; return (n,) which they are."""
        better = (wrong > self.wrong) | ((wrong == self.wrong) & (losses > self.losses))
        self.X[better], self.wrong[better], self.losses[better] = X[better], wrong[better], losses[better]
        return better


@dataclass(frozen=True)
class _Box:
    """All points whose numbers are each at most `radius` away, within `bounds`."""

    radius: float
    bounds: Bounds

    def direction(self, gradient):
        """Return the step of length 1 along which a linear loss rises most."""
        return np.sign(gradient)

    def project(self, points, X):
        """Return the nearest points of the ball around X, within bounds."""
        radius = X.dtype.type(self.radius)
        return np.clip(np.clip(points, X - radius, X + radius), *self.bounds)

    def draw(self, X, rng):
        """Return random points of the ball."""
        return X + rng.uniform(-self.radius, self.radius, X.shape).astype(X.dtype)


@dataclass(frozen=True)
class _Ball(_Box):
    """All points whose Euclidean distance is at most `radius`, within `bounds`."""

    def direction(self, gradient):
        norms = _norms(gradient)
        return np.divide(gradient, norms, out=np.zeros_like(gradient), where=norms > 0)

    def project(self, points, X):
        moved = (points - X).astype(np.float64)
        norms = _norms(moved)
        moved *= np.minimum(1, self.radius * WITHIN / np.maximum(norms, np.finfo(float).tiny))
        return np.clip((X + moved).astype(X.dtype), *self.bounds)  # clipping only brings points closer to X

    def draw(self, X, rng):
        moved = self.direction(rng.normal(size=X.shape))
        lengths = self.radius * rng.random(len(X)) ** (1 / max(1, math.prod(X.shape[1:])))
        return X + (moved * _column(lengths, X)).astype(X.dtype)


def _norms(rows):
    """Return the Euclidean norm of each row, with axes of 1."""
    return np.sqrt(np.square(rows).sum(axis=tuple(range(1, rows.ndim)), keepdims=True))


def _column(values, rows):
    """Return one value a row, with axes of 1 behind it."""
    return values.reshape(-1, *[1] * (rows.ndim - 1))


def _checked(model, X, y, epsilon, bounds):
    """Return X, y and epsilon, checked."""
    X = check_X(as_numbers("X", X), model.input_shape, model.dtype)  # sparse rows would not stay sparse
    low, high = bounds
    if len(X) and not low <= X.min() <= X.max() <= high:
        raise InvalidValue(f"X runs from {X.min():g} to {X.max():g}; attacks move what lies in [{low:g}, {high:g}]: "
                           "train with scaling='unit'")
    y = check_targets(y, model, cross_entropy)
    if len(y) != len(X):
        raise InvalidValue(f"X has {len(X)} rows and y {len(y)}: there must be as many")
    return X, y, np.inf if epsilon == np.inf else check_real("epsilon", epsilon, 0)


def _by_batches(attack, model, X, y, rng):
    """Return what `attack` (X, y, rng) gives for all rows, a few at a time: an array, or several."""
    size, rng = model.rows_at_once(), as_rng(rng)
    with one_blas_thread():
        found = [attack(X[i : i + size], y[i : i + size], rng) for i in range(0, max(len(X), 1), size)]
    if isinstance(found[0], tuple):
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.concatenate(found)


def attacked(name: str, model, X: np.ndarray, y: np.ndarray, *, epsilon: float, rng: Seed = None) -> np.ndarray:
    """Return what the attack of this name makes of X, with its defaults but for `epsilon`, measured in its norm."""
    attack: Callable = ATTACKS[name]
    return attack(model, X, y, epsilon=epsilon, **({"rng": rng} if name in DRAWING else {}))


BALLS = {LINF: _Box, L2: _Ball}
ATTACKS = {"fgsm": fgsm, "pgd": pgd, "pgd_l2": pgd_l2, "deepfool": deepfool, "random_search": random_search}
DRAWING = ("pgd", "pgd_l2", "random_search")  # take rng
NORMS = {name: L2 if name in ("pgd_l2", "deepfool") else LINF for name in ATTACKS}

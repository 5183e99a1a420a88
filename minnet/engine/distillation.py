"""Distillation and augmentation in training: what a batch is, and what its loss is, beyond rows and labels.

    teacher = Teacher(dense, temperature=4, share=0.5)
    for step in train(small, data, teacher=teacher, augment=shift(2)): ...

The training loop takes rows of X and a loss; `seen` returns both so that the rows are augmented, and the loss knows
which rows they were. One thread, layer by layer.
"""
from collections.abc import Callable
from functools import partial

import numpy as np

from minnet.engine.augmentation import Augment, Mix
from minnet.engine.losses import cross_entropy, softmax
from minnet.engine.model import Model
from minnet.engine.state import State
from minnet.engine.tape import Tape
from minnet.errors import InvalidType, InvalidValue, Unsupported, check_fraction, check_positive, quoted

Attack = Callable[[Model, np.ndarray, np.ndarray], np.ndarray]
DRAWN = 2  # the random stream of augmentation; those below are in state.py


class Teacher:
    """Hold a net whose outputs another one learns: a copy, which later changes of the model do not touch.

    With logits v of the teacher and z of the student, the loss of a row is (1 - a) CE(y, softmax z)
    + a T^2 KL(softmax(v / T) || softmax(z / T)), a being `share` and T `temperature`. The teacher runs as in use, on
    the batch that the student sees, augmented or not.

    Parameters
    ----------
    model : Model
        The teacher, mostly the dense net; it takes the inputs that the student takes, and has as many outputs.
    temperature : float, default 4
        What logits are divided by; T^2 keeps the size of the gradient.
    share : float, default 0.5
        The share of the teacher in the loss; at 0 it is not asked.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument is wrong.

    References
    ----------
    .. [1] Hinton, Vinyals and Dean, 2015, "Distilling the knowledge in a neural network", section 2.
    """

    def __init__(self, model: Model, temperature: float = 4.0, share: float = 0.5) -> None:
        if not isinstance(model, Model):
            raise InvalidType(f"Teacher({quoted(repr(model))}): give a Model, such as the dense net")
        self.temperature = check_positive("temperature", temperature)
        self.share = check_fraction("share", share)
        self.model = model.clone()

    def logits(self, X: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the outputs for a batch, as the student takes it.

        Parameters
        ----------
        X : ndarray
            The batch.
        tape : Tape
            A tape of the teacher's model.

        Returns
        -------
        ndarray of shape (rows, k)
        """
        return self.model.forward(X.astype(tape.dtype, copy=False), tape)


class Batches:
    """The rows of a training, as the student sees them: `batches[rows]` is a dense batch, augmented, attacked if asked.

    What is drawn follows from the run's seed and step, so that a run goes on bit for bit. `last` is what was taken
    last, as a Mix.
    """

    why = "augment=, adversarial= or teacher=: one thread, layer by layer"

    def __init__(self, X, augment: Augment | None, state: State, attack: Attack | None = None, y=None) -> None:
        self.X, self.augment, self.state, self.attack, self.y = X, augment, state, attack, y
        self.last = Mix(np.zeros(0), np.zeros(0, int), 1.0)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows):
        X = made = self.X[rows]
        if self.augment is not None:
            made = self.augment(X, np.random.default_rng([self.state.seed, DRAWN, self.state.t]))
        if self.attack is not None:
            if isinstance(made, Mix):
                raise InvalidValue("adversarial beside mixup, which changes the targets of rows: give one of them")
            made = self.attack(self.state.model, np.ascontiguousarray(made, X.dtype), self.y[rows])
        mix = made if isinstance(made, Mix) else Mix(made, rows, 1.0)
        if np.shape(mix.X) != X.shape:
            raise InvalidValue(f"augment returned {quoted(repr(np.shape(mix.X)))} for a batch of shape {X.shape}: it "
                               "keeps the shape")
        self.last = mix._replace(X=np.ascontiguousarray(mix.X, X.dtype))
        return self.last.X


class SeenLoss:
    """The loss of the batch that was taken last: of both rows where rows are mixed, and with a share of a teacher."""

    def __init__(self, loss: Callable, batches: Batches, teacher: Teacher | None) -> None:
        self.loss, self.batches, self.teacher = loss, batches, teacher
        self.tape = None if teacher is None else Tape(teacher.model)

    def __call__(self, logits, y, dlogits, n, losses=None):
        """Return the sum of the rows' losses / n; write its gradient to `dlogits`, and the rows' own to `losses`."""
        losses = np.empty(len(logits)) if losses is None else losses
        _, partner, share = self.batches.last
        total = self.loss(logits, y, dlogits, n, losses)
        if share < 1:
            blend(partial(self.loss, logits, y[partner]), share, dlogits, n, losses)
            total = losses.sum() / n
        if self.teacher is not None:
            blend(partial(self.soft, logits), 1 - self.teacher.share, dlogits, n, losses)
            total = losses.sum() / n
        return total

    def soft(self, logits, dlogits, n, losses):
        """Write T^2 KL of the teacher's softened outputs to the student's, row by row, and its gradient / n."""
        t = self.teacher.temperature
        p, q = softmax(self.teacher.logits(self.batches.last.X, self.tape) / t), softmax(logits / t)
        tiny = np.finfo(q.dtype).tiny
        losses[:] = t**2 * (p * (np.log(np.maximum(p, tiny)) - np.log(np.maximum(q, tiny)))).sum(axis=1)
        dlogits[...] = t / n * (q - p)


def blend(other: Callable, share: float, dlogits: np.ndarray, n: float, losses: np.ndarray) -> None:
    """Make of losses and gradient `share` of what they are and 1 - share of what `other` writes, in place."""
    there, dthere = np.empty_like(losses), np.empty_like(dlogits)
    other(dthere, n, there)
    losses *= share
    losses += (1 - share) * there
    dlogits *= share
    dlogits += (1 - share) * dthere


def seen(X, loss: Callable, augment: Augment | None, teacher: Teacher | None, state: State,
         attack: Attack | None = None, y: np.ndarray | None = None) -> tuple[Batches, SeenLoss]:
    """Return the rows and the loss of a training that is augmented, attacked, or taught."""
    batches = Batches(X, augment, state, attack, y)
    return batches, SeenLoss(loss, batches, teacher)


def check_seen(augment: Augment | None, teacher: Teacher | Model | None, model: Model, loss: Callable
               ) -> tuple[bool, Teacher | None]:
    """Return whether the batch or the loss is changed, and the teacher where it is asked.

    Raises
    ------
    InvalidType, InvalidValue, Unsupported
        If the augmentation is no function, or the teacher does not fit the student or the loss.
    """
    if augment is not None and not callable(augment):
        raise InvalidType(f"augment={quoted(repr(augment))}: give a function (X, rng) -> X, such as shift(2)")
    if isinstance(teacher, Model):
        if teacher is model:
            raise InvalidValue("teacher is the model that is trained: give Teacher(model), a copy of what it is now")
        teacher = Teacher(teacher)
    if teacher is None:
        return augment is not None, None
    if not isinstance(teacher, Teacher):
        raise InvalidType(f"teacher={quoted(repr(teacher))}: give a Model, or Teacher(model, temperature, share)")
    for name in ("input_shape", "output_shape"):
        if getattr(teacher.model, name) != getattr(model, name):
            raise InvalidValue(f"the teacher's {name} is {getattr(teacher.model, name)}, the student's "
                               f"{getattr(model, name)}: they must be equal")
    if getattr(loss, "func", loss) is not cross_entropy:
        raise Unsupported(f"a teacher with the loss {quoted(getattr(loss, '__name__', repr(loss)))}: distillation "
                          "compares probabilities of classes, by cross_entropy")
    asked = teacher if teacher.share else None
    return augment is not None or asked is not None, asked

"""What a job trains with: optimizer, penalties, a teacher, batches that are changed, a mean of nets.

    teacher_of(Settings(teacher=("dense", 4, 0.5)))      # Lesson(source="dense", temperature=4, share=0.5)
    steps = averaged(steps, ("ema", 0.999), stride=9)

All of it holds for the dense net too, so that both nets differ by pruning only.
"""
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from minnet.engine.attacks import ATTACKS
from minnet.engine.augmentation import AUGMENTATIONS, compose
from minnet.engine.averaging import AVERAGES
from minnet.engine.distillation import Teacher
from minnet.engine.normalise import BatchNorm
from minnet.engine.optimizers import OPTIMIZERS, SGD, Adam, Optimizer
from minnet.engine.state import Step
from minnet.errors import InvalidValue, check_choice, check_fraction, check_positive, quoted
from minnet.model import Model
from minnet.pruning.penalties import PENALTIES, MaxNorm, Penalty
from minnet.study.settings import (
    DENSE_TEACHER,
    LARGE_BATCH,
    LESSON,
    MANY_ROWS,
    MOMENTUM,
    NUMBERS_LR,
    PRETRAINED_LR,
    SGD_DECAY,
    SGD_LR,
    SMALL_BATCH,
    Settings,
)

SINGLE = {name: made for name, made in AUGMENTATIONS.items() if made is not compose}  # each takes one number
USUAL = {"swa": 0.75, "ema": 0.999}  # where a mean begins, as a share of a training; what stays of it after each batch


class Lesson(NamedTuple):
    """Which net is learnt beside the labels: a file, or the job's own dense net; as in `Teacher`."""

    source: str
    temperature: float = LESSON["temperature"]
    share: float = LESSON["share"]

    @property
    def is_own(self) -> bool:
        """Return True for the job's dense net, which is trained first."""
        return self.source == DENSE_TEACHER and not os.path.isfile(self.source)


def teacher_of(settings: Settings) -> Lesson | None:
    """Return what the settings say of a teacher, checked."""
    if settings.teacher is None:
        return None
    lesson = Lesson(*settings.teacher) if isinstance(settings.teacher, tuple) else Lesson(settings.teacher)
    check_positive("the teacher's temperature", lesson.temperature)
    check_fraction("the teacher's share", lesson.share)
    return lesson


def penalties_of(settings: Settings) -> tuple[Penalty, ...]:
    """Return the penalties of the settings, the bound of norms among them."""
    found = tuple(check_choice("penalty", name, PENALTIES)(strength) for name, strength in settings.penalty)
    return found if settings.max_norm is None else (*found, MaxNorm(check_positive("max_norm", settings.max_norm)))


def changes_of(settings: Settings) -> dict[str, object]:
    """Return the arguments of `train` that change what a batch is; those that are given."""
    found: dict[str, object] = {}
    if settings.augment:
        found["augment"] = compose(*[check_choice("augmentation", name, SINGLE)(
            int(number) if number == int(number) else number) for name, number in settings.augment])
    if settings.adversarial is not None:
        name, epsilon = settings.adversarial
        found["adversarial"] = partial(check_choice("attack", name, ATTACKS), epsilon=epsilon)
    return found


def check_beside(settings: Settings, model: Model, task: str, has_dense: bool) -> None:
    """Raise, before any training, for what the model, the data or the job cannot have beside a training."""
    averaged(iter(()), settings.average, 1)
    if settings.recalibrate and not any(isinstance(layer, BatchNorm) for layer in model.layers.values()):
        raise InvalidValue("recalibrate=True is for statistics of BatchNorm, and the model has none that is trained: "
                           "leave it out")
    lesson = teacher_of(settings)
    if lesson is not None and lesson.is_own:
        if not has_dense:
            raise InvalidValue(f"teacher={quoted(repr(DENSE_TEACHER))} is the dense net of `minnet prune`, and here is "
                               "none: give the file of a saved model")
        if task != "classes":
            raise InvalidValue(f"teacher={quoted(repr(DENSE_TEACHER))}: distillation compares probabilities of "
                               "classes, and these data have none: leave it out")


def own_teacher(settings: Settings, dense: Model) -> dict[str, object]:
    """Return the argument of `train` that makes the job's dense net the teacher, where that is asked for."""
    lesson = teacher_of(settings)
    return {"teacher": Teacher(dense, *lesson[1:])} if lesson is not None and lesson.is_own else {}


def averaged(steps: Iterator[Step], average: str | tuple | None, stride: int) -> Iterator[Step]:
    """Return the steps, one each `stride` batches, after which the model becomes the mean that is asked for, if any."""
    if average is None:
        return steps
    name, number = (average, None) if isinstance(average, str) else average
    mean = check_choice("average", name, AVERAGES)
    number = check_fraction(f"the number of average {name}", USUAL[name] if number is None else number)
    return mean(steps, begin=number) if name == "swa" else mean(steps, decay=number**stride)


def optimizer_of(settings: Settings, task: str = "classes") -> Optimizer:
    """Return the optimizer of the settings.

    Default: SGD with Nesterov's momentum, for "numbers" with half the learning rate; with pretrained weights Adam with
    a small one. Other optimizers have their own defaults.
    """
    if settings.optimizer is None and settings.weights is not None:
        optimizer = Adam(PRETRAINED_LR)
    else:
        make = check_choice("optimizer", settings.optimizer or "sgd", OPTIMIZERS)
        lr = NUMBERS_LR if task == "numbers" else SGD_LR
        optimizer = SGD(lr, MOMENTUM, nesterov=True, weight_decay=SGD_DECAY) if make is SGD else make()
    given = {name: getattr(settings, name) for name in ("lr", "weight_decay") if getattr(settings, name) is not None}
    return replace(optimizer, **given)


def batch_for(rows: int) -> int:
    """Return the batch size for a number of training rows: small for few rows."""
    return SMALL_BATCH if rows < MANY_ROWS else LARGE_BATCH

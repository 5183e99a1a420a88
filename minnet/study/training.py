"""The first half of every job: data, a model, and its training, as the settings say.

    training = Training(Settings(data="digits", epochs=10))
    for news in training.run():
        print(news.epoch, news.loss)
    training.model, training.scores()
"""
import os
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from minnet.data import SCALINGS, load_data, none, unit
from minnet.engine.metrics import evaluate
from minnet.engine.optimizers import OPTIMIZERS, SGD, Adam
from minnet.engine.split import cached, join, split
from minnet.errors import InvalidValue, check_choice, quoted
from minnet.files import sniff
from minnet.formats.onnx_read import load_onnx
from minnet.formats.storage import describe, load
from minnet.model import Model
from minnet.models import MODELS, vgg16, vgg16_input
from minnet.pruning.penalties import PENALTIES
from minnet.study.settings import (
    FROZEN,
    LARGE_BATCH,
    MANY_ROWS,
    MOMENTUM,
    PRETRAINED,
    PRETRAINED_LR,
    SGD_DECAY,
    SGD_LR,
    SMALL_BATCH,
)
from minnet.training import train

LR_SCHEDULE = "cosine"
CLIP_NORM = 1.0  # lets one learning rate serve dense and convolutional nets
WEIGHTS, TRAINING, PRUNING, REHEARSAL = range(4)  # what a stream of random numbers is for
DENSE = "dense"
NOT_KEPT = ("data", "model", "guard", "weights")  # settings that a model's file leaves out: they may be paths


@dataclass(frozen=True)
class News:
    """One finished epoch: `epoch` of `epochs` in all stages together, the loss, the sparsity of the net's weights."""

    stage: str
    epoch: int
    epochs: int
    loss: float
    sparsity: float


class Training:
    """Data and a model by `settings`. `given` is True where the model was trained before, and is not to be again.

    `history` has a dict for each finished epoch; `kept` is the net after the last one, for who is stopped on the way.
    Errors: those of `load_data`, `load` and the models.
    """

    def __init__(self, settings):
        self.settings = settings
        self.images, model, self.given = begin(settings, self.seed(WEIGHTS))
        self.base, self.model, self.data = frozen(settings, model, self.images)
        self.start = self.scores() if self.given else None
        self.arguments = training_arguments(settings, len(self.data.X_train))
        self.train = partial(train, **self.arguments)
        self.epochs = settings.epochs
        self.history, self._kept = [], None

    def run(self):
        """Train the model; a generator of News, once an epoch. Raises Diverged."""
        return self.stage(DENSE, self.model, self.train(self.model, self.data, rng=self.seed(TRAINING),
                                                        epochs=self.settings.epochs))

    def stage(self, name, model, steps, keep=True):
        """Pass the steps of a stage on as News, and note where it stands."""
        for step in steps:
            if step.batch:
                continue
            if keep:
                self._kept = (model, model.values.copy(), model.mask.copy())
            self.history.append({"stage": name, "loss": step.loss, "sparsity": model.sparsity})
            yield News(name, len(self.history), self.epochs, step.loss, model.sparsity)

    @property
    def kept(self):
        """The net as it was after the last finished epoch, or None before the first."""
        if self._kept is None:
            return None
        model, values, mask = self._kept
        copy = model.clone()
        copy.values[:] = values
        copy.mask[:] = mask
        return self.whole(copy)

    def whole(self, model):
        """`model` behind what is frozen before it: the net that takes images."""
        return model if self.base is None else join(self.base, model)

    def scores(self):
        """How good the model is as it is now, on the test part."""
        return dict(evaluate(self.model, self.data.X_test, self.data.y_test))

    @property
    def made(self):
        """What a file of the model says of how it came to be, and of the scaling that `predict` needs; no paths."""
        data, settings = self.data, self.settings.record()
        settings = {name: value for name, value in settings.items() if name not in NOT_KEPT}
        return {"data": data.name, "classes": data.classes.tolist(), "scaling": data.scaling,
                "shift": data.shift.tolist(), "scale": data.scale.tolist(), "settings": settings}

    def seed(self, use):
        """A Generator for one use; the same seed gives the same one."""
        return np.random.default_rng([self.settings.seed, use])


def begin(settings, rng):
    """(data as the model takes them, the model that the settings mean, whether it is trained already)."""
    data = data_for(settings.model, settings.data, settings.seed, settings.target)
    if settings.model == PRETRAINED:
        return data, vgg16(data.shape, data.n_classes, weights=settings.weights, rng=rng), False
    if settings.weights is not None:
        raise InvalidValue(f"weights={quoted(str(settings.weights))} are those of {PRETRAINED}, and the model is "
                           f"{quoted(str(settings.model))}: take model {PRETRAINED}, or `minnet import`")
    return data, *model_of(settings, data, rng)


def data_for(model, data, seed, target=None):
    """The Dataset that `data` means, scaled as `model` takes it: a name, a Model, or a file, which says it itself."""
    scaling = PRETRAINED if model == PRETRAINED else "unit"
    if is_onnx(model):
        scaling = as_given.__name__
    elif is_saved(model):
        scaling = describe(model)["made"].get("scaling", scaling)
    rule = as_given if scaling == as_given.__name__ else scaling if scaling in SCALINGS else "unit"
    data = load_data(data, rng=seed, target=target, scaling=rule)
    return vgg16_input(data) if scaling == PRETRAINED and data.scaling != PRETRAINED else data


def frozen(settings, model, data):
    """(the frozen base, the model behind it, its outputs as data), or (None, model, data) where nothing is frozen."""
    last = settings.freeze or (FROZEN if settings.weights is not None else None)
    if last is None:
        return None, model, data
    base, rest = split(model, last)
    return base, rest, cached(base, data)


def model_of(settings, data, rng):
    """(the model that the settings mean, whether it is trained already): a Model, the file of one, or a name."""
    model = settings.model
    if isinstance(model, Model):
        return model, True
    if is_saved(model) or is_onnx(model):
        return load_model(model), True
    return check_choice("model", model, MODELS)(data.shape, data.n_classes, rng=rng), False


def is_onnx(model):
    """Whether the setting `model` is an ONNX file."""
    return _is_file(model, "onnx")


def is_saved(model):
    """Whether the setting `model` is the file of a model that minnet saved."""
    return _is_file(model, "safetensors")


def _is_file(model, kind):
    return isinstance(model, str | os.PathLike) and os.path.isfile(model) and sniff(model) == kind


def as_given(X, full_scale):
    """The scaling for a model from elsewhere, which knows its own: only bytes are divided by 255."""
    return unit(X, full_scale) if X.dtype == np.uint8 or full_scale is not None else none(X, full_scale)


def load_model(path):
    """The Model in the file `path`: saved by minnet, that of a training run in it, or imported from ONNX."""
    if is_onnx(path):
        return load_onnx(path)
    found = load(path)
    return found if isinstance(found, Model) else found.model


def training_arguments(settings, rows):
    """The arguments of `train` that hold in every stage."""
    penalties = tuple(check_choice("penalty", name, PENALTIES)(strength) for name, strength in settings.penalty)
    return {"optimizer": optimizer_of(settings), "batch_size": settings.batch_size or batch_for(rows),
            "lr_schedule": LR_SCHEDULE, "penalty": penalties, "clip_norm": CLIP_NORM}


def optimizer_of(settings):
    """The optimizer that the settings name: SGD with Nesterov's momentum, others as they come, unless told; after
    pretrained weights Adam at a small rate."""
    if settings.optimizer is None and settings.weights is not None:
        optimizer = Adam(PRETRAINED_LR)
    else:
        make = check_choice("optimizer", settings.optimizer or "sgd", OPTIMIZERS)
        optimizer = SGD(SGD_LR, MOMENTUM, nesterov=True, weight_decay=SGD_DECAY) if make is SGD else make()
    given = {name: getattr(settings, name) for name in ("lr", "weight_decay") if getattr(settings, name) is not None}
    return replace(optimizer, **given)


def batch_for(rows):
    """How many rows of a batch: many small steps where there are few rows."""
    return SMALL_BATCH if rows < MANY_ROWS else LARGE_BATCH

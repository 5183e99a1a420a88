"""The first half of every job: data, a model, and its training, by the settings.

    training = Training(Settings(data="digits", epochs=10))
    for progress in training.run():
        print(progress.epoch, progress.loss)
    training.model, training.scores()

The same settings give the same model.
"""
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from minnet import __version__
from minnet.data import Dataset, Scaling, Signature, load_data, none, scaled, unit
from minnet.engine.distillation import Teacher
from minnet.engine.metrics import evaluate, scores
from minnet.engine.sample import signature_for
from minnet.engine.split import cached, join, split
from minnet.engine.state import Step
from minnet.errors import InvalidValue, check_choice, quoted
from minnet.files import file_digest, sniff
from minnet.formats.checkpoint import remember
from minnet.formats.onnx_read import load_onnx
from minnet.formats.storage import describe, load
from minnet.model import Model
from minnet.models import MODELS, as_bgr, vgg16, vgg16_input
from minnet.pruning.compensation import recalibrate_batchnorm
from minnet.pruning.recipes.goal import Train
from minnet.study.arguments import (
    averaged,
    batch_for,
    changes_of,
    check_beside,
    optimizer_of,
    penalties_of,
    teacher_of,
)
from minnet.study.budget import then
from minnet.study.settings import (
    FROZEN,
    PRETRAINED,
    Settings,
)
from minnet.study.stages import Past, Stages
from minnet.training import train
from minnet.typing import Path, Seed

LR_SCHEDULE = "cosine"
CLIP_NORM = 1.0  # allows one learning rate for dense and convolutional models
WEIGHTS, TRAINING, PRUNING, DRY_RUN, STATISTICS = range(5)  # uses of random numbers, each with its own stream
DENSE, SPARSE, AGAIN = "dense", "pruning", "dense, the same epochs"  # stages
TRIED = "pruning, not kept"  # what was tried by a guard's search, or by another criterion
FILES = ("data", "model", "weights", "teacher", "test", "valid")  # settings that may be files
NOT_KEPT = (*FILES, "guard")  # left out of a model's file: they may be paths
WHERE_GIVEN = ("average", "max_norm", "recalibrate")  # in a model's file where they are not the default
PARTS = 4  # per epoch: so often a recipe may prune, and a mean takes a net in


@dataclass(frozen=True)
class Progress:
    """One finished epoch.

    Parameters
    ----------
    stage : str
        Name of the stage.
    epoch, epochs : int
        Number of the epoch and their total, over all stages.
    loss : float
        Mean training loss of the epoch.
    sparsity : float
        Share of the model's weights that are masked.
    """

    stage: str
    epoch: int
    epochs: int
    loss: float
    sparsity: float


class Training:
    """Data, a model and its training, by the settings.

    `given` is True if the model was trained before, so that it is not trained again. `history` has a dict for each
    finished epoch; `kept` is the model after the last finished epoch, for saving if the run is interrupted.

    Parameters
    ----------
    settings : Settings
        The settings.

    Raises
    ------
    MinnetError
        What `load_data`, `load` and the models raise.
    """

    has_dense = False  # whether it trains a dense net that may be a teacher

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.images, model, self.given = load_parts(settings, self.seed(WEIGHTS))
        self.base, self.model, self.data = frozen(settings, model, self.images)
        self.start = dict(scores(self.model, self.data.X_test, self.data.y_test)) if self.given else None
        check_beside(settings, self.model, self.data.signature.task, self.has_dense)
        self.arguments = training_arguments(settings, len(self.data.y_train), self.data.signature.task)
        self.epochs, self.stages = settings.epochs, None
        self.history, self._kept = [], None

    def run(self) -> Iterator[Progress]:
        """Train the model.

        Yields
        ------
        Progress
            Once per epoch.

        Raises
        ------
        Diverged
            If the loss or a weight is no longer finite.
        """
        return self.stage(DENSE, self.model, self.trained(self.model, TRAINING))

    def store(self, folder: Path, *, resume: bool = True, save_every: float | None = None) -> None:
        """Store each stage in a folder while it runs; go on from what is stored there, or remove it.

        Parameters
        ----------
        folder : str or path
            The folder.
        resume : bool
            Go on from what is there, which must be of the same settings and data; False removes it.
        save_every : float, optional
            Also store the stage under way after so many seconds. Default: after each of its epochs alone.
        """
        lesson = teacher_of(self.settings)
        files = {name: getattr(self.settings, name) for name in FILES} | {"teacher": lesson and lesson.source}
        about = self.settings.record() | {"minnet": __version__} | {
            f"{name}_sha256": file_digest(path) for name, path in files.items() if is_file(path)}
        self.stages = Stages(folder, about=about, resume=resume, save_every=save_every)

    def stored(self, model: Model, make: Callable[[Train], Iterator[Step]]) -> Iterator[Step | Past]:
        """Return the steps of make(train), with the settings bound to `train`; stored where `store` was called.

        The model has its signature from here on, as `train` gives it, which a stage that was stored does not call.
        """
        model.signature = signature_for(model, self.data)

        def steps(train):
            made = make(partial(train, **self.arguments))
            return then(made, partial(self.recalibrate, model)) if self.settings.recalibrate else made
        return steps(train) if self.stages is None else self.stages.run(model, steps)

    def recalibrate(self, model: Model) -> None:
        """Measure the statistics of BatchNorm anew."""
        recalibrate_batchnorm(model, self.data, rng=self.seed(STATISTICS))

    @property
    def stride(self) -> int:
        """Return after how many batches a recipe may prune, and a mean takes a net in."""
        return -(-len(self.data.y_train) // (self.arguments["batch_size"] * PARTS))

    def averaged(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Return the steps, after which the model becomes a mean of its nets where that is asked for."""
        return averaged(steps, self.settings.average, self.stride)

    def trained(self, model: Model, use: int) -> Iterator[Step | Past]:
        """Return the steps of training alone; `use` says which random numbers."""
        def make(train):
            remember(train)
            often = {} if self.settings.average is None else {"every": self.stride}
            return self.averaged(train(model, self.data, epochs=self.settings.epochs, rng=self.seed(use), **often))
        return self.stored(model, make)

    def stage(self, name: str, model: Model, steps: Iterable[Step | Past], keep: bool = True) -> Iterator[Progress]:
        """Run the steps of a stage, record them, and yield a Progress per epoch.

        Parameters
        ----------
        name : str
            Name of the stage.
        model : Model
            The model that the steps change.
        steps : iterable of Step or Past
            The training.
        keep : bool
            Update `kept` after each epoch.

        Yields
        ------
        Progress
            Once per epoch.
        """
        cut = None
        for step in steps:
            cut = cut if step.cut is None else step.cut
            if step.batch:
                continue
            if keep and isinstance(step, Step):
                self._kept = (model, model.values.copy(), model.mask.copy())
            share = step.sparsity if isinstance(step, Past) else model.sparsity
            entry = {"stage": name, "loss": step.loss, "sparsity": share}
            self.history.append(entry if cut is None else entry | {"cut": cut})
            cut = None
            yield Progress(name, len(self.history), self.epochs, step.loss, share)

    @property
    def kept(self) -> Model | None:
        """Return the model after the last finished epoch, or None before the first."""
        if self._kept is None:
            return None
        model, values, mask = self._kept
        copy = model.clone()
        copy.values[:] = values
        copy.mask[:] = mask
        return self.whole(copy)

    def whole(self, model: Model) -> Model:
        """Join `model` to the frozen part, if there is one, so that it takes images.

        Parameters
        ----------
        model : Model
            The trainable part.

        Returns
        -------
        Model
            The whole model.
        """
        return model if self.base is None else join(self.base, model)

    def scores(self) -> dict[str, object]:
        """Evaluate the model on the test part.

        Returns
        -------
        dict of str to object
            The entries of `evaluate`.
        """
        return dict(evaluate(self.model, self.data.X_test, self.data.y_test))

    @cached_property
    def made(self) -> dict[str, object]:
        """Return what a model's file records beside its signature: data and settings, without paths.

        Made once, since it reads the user's files to know them again.
        """
        data, settings = self.data, self.settings.record()
        settings = {name: value for name, value in settings.items()
                    if name not in NOT_KEPT and (value or name not in WHERE_GIVEN)}
        made = {"data": data.name, "scaling": data.scaling, "settings": settings}
        if data.enlarged is not None:
            shift, scale = data.enlarged.scaling or (np.zeros(()), np.ones(()))
            made["enlarged"] = {"shift": shift.tolist(), "scale": scale.tolist()}
        if is_file(self.settings.data):
            made["data_sha256"] = file_digest(self.settings.data)
        if is_file(self.settings.test):
            made["test_sha256"] = file_digest(self.settings.test)
        return made

    def seed(self, use: int, number: int = 0) -> np.random.Generator:
        """Return a Generator for one use, determined by the seed of the settings.

        Parameters
        ----------
        use : int
            WEIGHTS, TRAINING, PRUNING or DRY_RUN.
        number : int
            Of several such uses, which one it is, from 0.

        Returns
        -------
        Generator
            A new one.
        """
        return np.random.default_rng([self.settings.seed, use, number] if number else [self.settings.seed, use])


def load_parts(settings: Settings, rng: Seed) -> tuple[Dataset, Model, bool]:
    """Return the data as the model expects it, the model of the settings, and whether it is already trained."""
    given = given_model(settings.model)
    check_test_part(settings.model, settings.data, settings.test)
    data = data_for(settings.model if given is None else given, settings.data, settings.seed, settings.reading,
                    enlarged=is_enlarged(settings.model))
    if settings.model == PRETRAINED:
        return data, vgg16(data.shape, data.n_outputs, weights=settings.weights, rng=rng), False
    if settings.weights is not None:
        raise InvalidValue(f"weights={quoted(str(settings.weights))} need model {PRETRAINED}, not "
                           f"{quoted(str(settings.model))}: use model {PRETRAINED}, or `minnet import`")
    if given is not None:
        return data, given, True
    return data, check_choice("model", settings.model, MODELS)(data.shape, data.n_outputs, rng=rng), False


def data_for(model: object, data: object, seed: Seed, reading: Mapping, *, enlarged: bool = False) -> Dataset:
    """Return the Dataset `data` for `model`, a name or a Model, to whose signature the data are held.

    `reading` holds further arguments of `load_data`.

    A Model without a signature gets one: it takes rows as given. Where images are to be `enlarged`, see `vgg16_input`.
    """
    if isinstance(data, Dataset) and (not enlarged or data.enlarged is not None):
        return data
    trained, reading = isinstance(model, Model), dict(reading)
    scaling = reading.pop("scaling", None)
    if scaling is not None and (trained or enlarged):
        raise InvalidValue(f"scaling={quoted(repr(scaling))}: the model scales what it takes itself; leave it out")
    if enlarged:
        found = vgg16_input(load_data(data, rng=seed, **reading))
        if trained and model.signature is not None:
            labels = model.signature
            for part in ("train", "valid", "test"):
                labels.codes(getattr(found, f"y_{part}"))  # which refuses unknown ones
            n_classes = 0 if labels.classes is None else len(labels.classes)
            found = replace(found, signature=labels, classes=labels.classes, n_classes=n_classes)
        return found
    if not trained:
        return load_data(data, rng=seed, **reading, scaling=scaling or "unit")
    if model.signature is not None:
        return load_data(data, rng=seed, **reading, model=model)
    found = load_data(data, rng=seed, **reading, scaling=as_given)
    model.signature = elsewhere(model, found)
    return replace(found, signature=model.signature)


def check_test_part(model: object, data: object, test: object = None) -> None:
    """Refuse to split the file that a saved model was trained on where its test part was a file of its own.

    Rows that the model has learnt would be its test. Raises InvalidValue.
    """
    made = describe(model)["made"] if is_saved(model) else {}
    if test is None and made.get("test_sha256") and is_file(data) and made.get("data_sha256") == file_digest(data):
        raise InvalidValue(f"the model has learnt from any row of {quoted(str(data))}, for its test part was a file of "
                           "its own: give that one too, --test FILE (to evaluate, instead: --data FILE)")


def elsewhere(model: Model, data: Dataset) -> Signature:
    """Return the signature of a model that knows none, for these data: rows as given, and labels 0 ... k-1.

    Text, whose labels no number tells, is in the order of the alphabet where there is one for each output. Numbers are
    those that the model gives.
    """
    signature, k = data.signature.reshape(model.input_shape), model.output_shape[-1]
    if signature.task != "classes":
        if data.n_outputs != k:
            kind = "numbers" if data.classes is None else "labels"
            raise InvalidValue(f"the data have {data.n_outputs} {kind} a row to learn; the model gives {k} outputs")
        return replace(signature, target_scaling=None)
    if data.classes.dtype.kind == "U" and data.n_classes == k:
        return signature
    if data.classes.dtype.kind == "U" or not 0 <= data.classes.min() <= data.classes.max() < k:
        raise InvalidValue(f"the data have the labels {quoted(str(data.classes.tolist()))}; the model gives {k} "
                           "outputs and knows no names: name them, as in `minnet import FILE --classes a,b,c`")
    return replace(signature, classes=np.arange(k))


def frozen(settings: Settings, model: Model, data: Dataset) -> tuple[Model | None, Model, Dataset]:
    """Return the frozen base, the model after it and the base's outputs as data; (None, model, data) without one."""
    last = settings.freeze or (FROZEN if settings.weights is not None else None)
    if last is None:
        return None, model, data
    base, rest = split(model, last)
    return base, rest, cached(base, data)


def given_model(model: object) -> Model | None:
    """Return the Model that the setting `model` is or whose file it names, None for the name of an architecture."""
    if isinstance(model, Model):
        return model
    return load_model(model) if is_trained(model) else None


def is_trained(model: object) -> bool:
    """Return True if the setting `model` is a Model or the file of one, not the name of an architecture."""
    return isinstance(model, Model) or is_saved(model) or is_onnx(model)


def is_enlarged(model: object) -> bool:
    """Return True if the setting `model` takes images that `vgg16_input` has enlarged."""
    return model == PRETRAINED or (is_saved(model) and describe(model)["made"].get("scaling") == PRETRAINED)


def is_onnx(model: object) -> bool:
    """Return True if the setting `model` is an ONNX file."""
    return _is_file(model, "onnx")


def is_saved(model: object) -> bool:
    """Return True if the setting `model` is the file of a model that minnet saved."""
    return _is_file(model, "safetensors")


def is_file(source: object) -> bool:
    """Return True if `source` is the name of a file that is there."""
    return isinstance(source, str | os.PathLike) and os.path.isfile(source)


def enlarged_by(path: Path, model: Model) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the function that enlarges raw images as the training of the model in a file did, None for most models."""
    if not is_enlarged(path):
        return None
    made = describe(path)["made"]
    before = made.get("enlarged") or made  # where a file of the first version has it
    scaling = Scaling(np.asarray(before["shift"], np.float64), np.asarray(before["scale"], np.float64))
    return lambda X: as_bgr(scaled(X, scaling, np.float64), model.input_shape[0])


def _is_file(model, kind):
    return is_file(model) and sniff(model) == kind


def as_given(X: np.ndarray, full_scale: float | None) -> tuple:
    """Return the scaling for a model from elsewhere, which contains its own: only named sets of images are scaled."""
    return unit(X, full_scale) if full_scale is not None else none(X, full_scale)


def load_model(path: Path) -> Model:
    """Load the Model in a file: saved by minnet, that of a training run, or an ONNX model."""
    if is_onnx(path):
        return load_onnx(path)
    found = load(path)
    return found if isinstance(found, Model) else found.model


def training_arguments(settings: Settings, rows: int, task: str = "classes") -> dict[str, object]:
    """Return the arguments of `train` that all stages share; `task` is that of the signature."""
    return {"optimizer": optimizer_of(settings, task), "batch_size": settings.batch_size or batch_for(rows),
            "lr_schedule": LR_SCHEDULE, "penalty": penalties_of(settings), "clip_norm": CLIP_NORM,
            "class_weight": settings.class_weight, **beside(settings)}


def beside(settings: Settings) -> dict[str, object]:
    """Return the arguments of `train` that change what a batch is, and what is learnt of it; those that are given."""
    lesson = teacher_of(settings)
    if lesson is None or lesson.is_own:
        return changes_of(settings)
    return {"teacher": Teacher(load_model(lesson.source), *lesson[1:])} | changes_of(settings)

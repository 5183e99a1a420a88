"""Settings of the main job, with the defaults of `minnet prune digits`.

    Settings(data="digits", sparsity=0.95, criterion="taylor", seed=1)

This module imports nothing heavy, so that the command line shows the defaults without loading NumPy.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial

SGD_LR, MOMENTUM, SGD_DECAY = 0.1, 0.9, 5e-4
NUMBERS_LR = SGD_LR / 2  # of SGD for numbers: the gradient of the squared error is twice that of half of it
SMALL_BATCH, LARGE_BATCH = 32, 128
MANY_ROWS = 10_000  # training samples from which on LARGE_BATCH is used
PRETRAINED, PRETRAINED_LR, FROZEN = "vgg16", 1e-4, "block4_pool"  # the model with weights, and its fixed part
READING = ("target", "task", "ignore", "delimiter", "header", "decimal", "encoding", "test", "valid",
           "text", "categories", "missing", "words", "hashed", "scaling")  # for load_data
MOST, LEAST = "max", "min"  # what a guard searches for
COSTS = ("macs", "bytes", "flash", "ram")  # budgets of what may remain
GRADUAL = {"criterion": "magnitude", "distribution": "global", "schedule": "cubic"}  # where a recipe has no own
DENSE_TEACHER = "dense"  # the job's own dense net
LESSON = {"temperature": 4.0, "share": 0.5}  # of a teacher, as in `Teacher`
SPARSITY = 0.9  # used if no other budget and no structure gives the number


@dataclass(frozen=True)
class Settings:
    """Settings of a `Job` or a `Training`; the same settings give the same models.

    Parameters
    ----------
    data : str or Dataset
        Name or file of a data set, or a Dataset.
    model : str or Model
        Name of an architecture, or a trained model (a Model or a file), which is pruned at once.
    sparsity : float or "max", optional
        Fraction of the scope (`layers` without `protect`) to remove; "max" searches for the largest that the guard
        allows. Default: 0.9, unless `count`, `keep`, the structure or the distribution determines it.
    macs, bytes, latency : "min", optional
        Search, instead, for the fewest multiply-adds or bytes on disk, or the shortest time of one row by the rates
        that `freeze` plans with, that the guard allows. Scores are divided by what each weight or unit costs.
    count : int, optional
        Number of weights or units to remove, instead of `sparsity`.
    keep : int, optional
        Number of weights or units to keep, instead of `sparsity`.
    macs, bytes, flash, ram : int, float or str, optional
        What may remain, as in `prune`, instead of `sparsity` (flash and ram also together). How much is removed is
        planned by the dense model's scores; what is over the budget after training is removed then.
    arithmetic : {"float", "int8"}, optional
        What the C computes with whose flash or RAM is limited.
    criterion, structure, distribution, schedule, recipe : str or callable
        Entries of the tables of these names, or functions like these; `structure` is a name only. Options are bound by
        `functools.partial`, as in ``recipe=partial(mn.recipes.lottery_ticket, rounds=10)``. Criterion, distribution and
        schedule are by default those of the recipe, for most magnitude, global and cubic; a recipe with a score of its
        own takes no criterion. One that is made for untrained nets (sparse all the way, at initialisation, granet,
        lottery_ticket) begins with initial weights, and trains for twice the epochs, as the dense net does.
    safe : bool
        Change as little as can be: prune weights alone and keep every unit, leave the first and the last layer and
        those that the sensitivity scan calls key as they are (unless `layers` names what to prune), and of several
        criteria that meet the budget take the one whose net predicts most like the dense one.
    compensate : str or callable, optional
        Weight update after pruning, a name in COMPENSATIONS.
    penalty : tuple of (str, float)
        Names and strengths of regularisation terms.
    epochs : int
        Epochs of dense training, and again of pruning.
    layers, protect : tuple of str, optional
        Names or patterns of the layers to prune, and of those not to.
    value_range : (float, float), optional
        Remove only weights with a magnitude in this range.
    weights : str, optional
        File of pretrained weights, in Keras's layout.
    freeze : str, optional
        Last layer of the fixed part of the model: it is evaluated once, and is not pruned.
    optimizer : str, optional
        Name in OPTIMIZERS. Default: sgd, or adam with pretrained weights.
    lr, batch_size, weight_decay : float, int, float, optional
        Default: by optimizer, task and number of training samples.
    class_weight : "balanced" or mapping, optional
        Weights of the classes in training, as in `train`. Scores are of unweighted rows.
    teacher : str or tuple of (str, float, float), optional
        File of a trained model whose outputs are learnt beside the labels, in every training; or "dense", the job's own
        dense net, for the trainings after its first. With its temperature and its share of the loss (4 and 0.5).
    average : str or tuple of (str, float), optional
        "swa", the mean of the nets after each epoch from a share of each training on (0.75), or "ema", the moving mean
        of which a share stays after each batch (0.999), looked at four times an epoch: what a training leaves. Where
        the mask changes the mean begins anew.
    max_norm : float, optional
        The largest Euclidean norm of the weights into a unit, after every step.
    recalibrate : bool
        Measure the statistics of BatchNorm anew after every training, over a sample of the training part.
    augment : tuple of (str, float)
        Names in AUGMENTATIONS with their number, such as ("shift", 2): what is done to the images of each batch.
    adversarial : tuple of (str, float), optional
        Name in ATTACKS and how far it goes: each batch is attacked before it is learnt.
    guard : mapping of str to float
        Largest loss allowed for a score on the validation part (on the training part where there is none), by a name
        in `guard.SCORES`, "robust_accuracy" that under an attack among them. Where the recipe breaks a limit, the
        sparsest net that does not is searched for.
    guard_bound : bool
        The bound of each loss at 95 % may not exceed its limit either. Refused where there are too few rows for it.
    target : str or tuple of str, optional
        Column of a file that contains the classes or numbers, or several columns of numbers or labels.
    task : {"classification", "regression", "multilabel"}, optional
        Whether these are classes, numbers, or several labels a row as 0 and 1. Default: that of a trained model, else
        classes where they look so.
    ignore : tuple of str
        Columns of a table that are not read.
    delimiter, header, decimal, encoding : optional
        How a table is written, as in `load_data`.
    test, valid : str, optional
        Files of the test and validation parts.
    text, categories : tuple of str
        Columns of a table that hold text or categories, as in `load_data`.
    missing, words, hashed : optional
        What is done about missing numbers and how words become numbers, as in `load_data`.
    scaling : str, optional
        How rows are scaled, as in `load_data`, by default "unit"; a trained model has its own.
    precision : str, optional
        "int8": store the pruned model's weights in 8 bits, and measure it with them; also say what they would cost the
        dense one. Default: floats.
    seed : int
        Seed of all random numbers.
    """

    data: object = "digits"
    model: object = "lenet_300_100"
    sparsity: float | str | None = None
    latency: str | None = None
    count: int | None = None
    keep: int | None = None
    macs: int | float | str | None = None
    bytes: int | float | str | None = None
    flash: int | float | str | None = None
    ram: int | float | str | None = None
    arithmetic: str | None = None
    criterion: str | Callable | None = None
    structure: str = "weight"
    distribution: str | Callable | None = None
    schedule: str | Callable | None = None
    recipe: str | Callable = "gradual"
    compensate: str | Callable | None = None
    penalty: tuple = ()
    epochs: int = 30
    layers: tuple | None = None
    protect: tuple | None = None
    value_range: tuple | None = None
    weights: str | None = None
    freeze: str | None = None
    optimizer: str | None = None
    lr: float | None = None
    batch_size: int | None = None
    weight_decay: float | None = None
    class_weight: str | Mapping | None = None
    teacher: str | tuple | None = None
    average: str | tuple | None = None
    max_norm: float | None = None
    recalibrate: bool = False
    augment: tuple = ()
    adversarial: tuple | None = None
    guard: Mapping = field(default_factory=dict)
    guard_bound: bool = False
    safe: bool = False
    target: str | tuple | None = None
    task: str | None = None
    ignore: tuple = ()
    delimiter: str | None = None
    header: bool | None = None
    decimal: str | None = None
    encoding: str | None = None
    test: str | None = None
    valid: str | None = None
    text: tuple = ()
    categories: tuple = ()
    missing: str | None = None
    words: int | None = None
    hashed: bool | None = None
    scaling: str | None = None
    precision: str | None = None
    seed: int = 0

    @property
    def reading(self) -> dict[str, object]:
        """Return the arguments of `load_data` that say how files are read and what the parts are."""
        return {name: getattr(self, name) for name in READING}

    def record(self) -> dict[str, object]:
        """Return the settings as JSON types: functions and classes by name, None as GRADUAL says.

        Returns
        -------
        dict of str to object
            One entry per setting.
        """
        given = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}
        return given | {name: own for name, own in GRADUAL.items() if given[name] is None}


def _plain(value):
    """Return a setting as a JSON type."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return name_of(value)


def name_of(value: object) -> str:
    """Return the name of a function or class, with the options that are bound to it, or the name that is given."""
    if isinstance(value, str):
        return value
    if isinstance(value, partial):
        options = ",".join(f"{name}={option}" for name, option in value.keywords.items())
        return name_of(value.func) + (options and f":{options}")
    return getattr(value, "__name__", None) or getattr(value, "name", None) or type(value).__name__

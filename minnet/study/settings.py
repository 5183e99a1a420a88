"""Settings: all that decides how the main job comes out, with the defaults of `minnet prune digits`.

    Settings(data="digits", sparsity=0.95, criterion="taylor", seed=1)

Nothing is loaded here, so the command line can tell the defaults without NumPy.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

SGD_LR, MOMENTUM, SGD_DECAY = 0.1, 0.9, 5e-4
SMALL_BATCH, LARGE_BATCH = 32, 128
MANY_ROWS = 10_000  # from here on the large batch
PRETRAINED, PRETRAINED_LR, FROZEN = "vgg16", 1e-4, "block4_pool"  # the model that takes weights, and what stays of it
SPARSITY = 0.9  # where neither `sparsity` nor `count` is given, nor a structure that fixes the count itself


@dataclass(frozen=True)
class Settings:
    """`data` and `model` are names, or a Dataset and a Model (trained already, so pruning begins at once).

    `sparsity` is the fraction of the scope (`layers` less `protect`) to remove, `count` how many weights or units;
    `value_range` limits who may go; `compensate` is how what stays makes up for what went. `weights` is the file of
    pretrained ones; the layers up to the one named `freeze` then stay as they are, run once, and are in no scope.
    `criterion` and the other names may be functions. `penalty` holds pairs (name, strength). `epochs` count for
    training and again for pruning. `optimizer` None: sgd, or adam after pretrained weights. `lr`, `weight_decay` and
    `batch_size` None: by optimizer and number of rows. `guard` maps a score to the most it may lose; `target` is a
    file's column of classes. `precision` "int8" asks what both nets are worth with weights of eight bits, too.
    """

    data: object = "digits"
    model: object = "lenet_300_100"
    sparsity: float | None = None
    count: int | None = None
    criterion: str | Callable = "magnitude"
    structure: str = "weight"
    distribution: str | Callable = "global"
    schedule: str | Callable = "cubic"
    recipe: str = "gradual"
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
    guard: Mapping = field(default_factory=dict)
    target: str | None = None
    precision: str | None = None
    seed: int = 0

    def record(self):
        """As JSON has it: functions by name, everything else as it is."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value):
    """A setting as JSON has it."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return getattr(value, "__name__", None) or getattr(value, "name", None) or type(value).__name__

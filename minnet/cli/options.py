"""Options that several commands share, and how they become minnet's own arguments.

Defaults stand in one place, `study.settings`, and are told from there; an option that is not given is None here.
"""
import os
from contextlib import suppress
from pathlib import Path

from minnet.cli import parser as kinds
from minnet.errors import InvalidValue, quoted
from minnet.study.settings import (
    FROZEN,
    LARGE_BATCH,
    MANY_ROWS,
    PRETRAINED,
    PRETRAINED_LR,
    SGD_DECAY,
    SGD_LR,
    SMALL_BATCH,
    SPARSITY,
    Settings,
)

OUT = "minnet-out"
DATA_HELP = "digits (embedded), mnist, fashion-mnist, a .npz with X and y, or a .csv"
DEFAULT = {name: field.default for name, field in Settings.__dataclass_fields__.items()}


def data_options(parser):
    """--target, for data that comes as a file."""
    add = parser.options.add_argument
    add("--target", metavar="COLUMN", help="the column (member of a .npz) of the classes (the last; y)")


def training_options(parser):
    """How a net is made and trained."""
    add = parser.options.add_argument
    add("--model", metavar="NAME", help=f"({DEFAULT['model']})")
    add("--epochs", type=kinds.whole(1), metavar="N", help=f"dense, and again in pruning ({DEFAULT['epochs']})")
    add("--weights", metavar="FILE", help=f"pretrained weights in Keras's layout, for --model {PRETRAINED}")
    add("--freeze", metavar="LAYER", help=f"layers up to this one stay as they are ({FROZEN} after --weights)")
    add("--optimizer", metavar="NAME", help=f"(sgd; adam at {PRETRAINED_LR:g} after --weights)")
    add("--lr", type=kinds.positive, metavar="RATE", help=f"learning rate (sgd {SGD_LR:g}, others 0.001)")
    add("--batch-size", type=kinds.whole(1), metavar="N",
        help=f"({SMALL_BATCH}; {LARGE_BATCH} from {MANY_ROWS:,} rows on)")
    add("--weight-decay", type=kinds.real, metavar="X", help=f"(sgd {SGD_DECAY:g}, others their own)")
    add("--penalty", type=kinds.pair("NAME:STRENGTH, as in l1:0.0001", kinds.positive), action="append",
        metavar="NAME:STRENGTH", help="added to the loss, as l1:0.0001; may be repeated")


def pruning_options(parser):
    """What goes, where and when."""
    add = parser.options.add_argument
    add("--sparsity", type=kinds.fraction, metavar="S", help=f"the fraction to remove ({SPARSITY:g})")
    add("--count", type=kinds.whole(0), metavar="N", help="how many weights (or units) to remove, instead")
    for name, words in PRUNING.items():
        add(f"--{name}", metavar="NAME", help=f"{words} ({DEFAULT[name]})")
    add("--compensate", metavar="NAME", help="how what stays makes up for what went (not at all)")
    add("--rule", metavar="FILE:FUNCTION", help="your own criterion: (model, data) -> scores; it is run")
    add("--layers", type=kinds.patterns, action="extend", metavar="NAMES", help="only these, as 'conv*,dense1'")
    add("--protect", type=kinds.patterns, action="extend", metavar="NAMES", help="never these")
    add("--value-range", type=kinds.real, nargs=2, metavar=("LO", "HI"), help="only where LO <= |w| <= HI")
    add("--guard", type=kinds.pair("SCORE:LOSS, as in accuracy:0.01"), action="append", metavar="SCORE:LOSS",
        help="exit 1 if the score loses more, as accuracy:0.01")
    add("--precision", metavar="NAME", help="int8: also show both nets with weights of eight bits")


def out_option(parser):
    """Where files go."""
    add = parser.options.add_argument
    add("--out", metavar="DIR", default=OUT, help=f"the folder for what is written ({OUT})")


def settings_from(args, **known):
    """The Settings of the options that were given; `known` settings win."""
    given = {name: getattr(args, name) for name in DEFAULT if getattr(args, name, None) is not None}
    if given.get("guard"):
        given["guard"] = dict(given["guard"])
    if getattr(args, "rule", None):
        if "criterion" in given:
            raise InvalidValue(f"--criterion {given['criterion']} and --rule {args.rule}: give one of them")
        from minnet.cli.rule import load_rule

        given["criterion"] = load_rule(args.rule)
    return Settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()} | known)


def checked_out(args):
    """The folder of --out, made and found writable; `args.made` are then the folders that were missing, for `tidy`."""
    from minnet.files import check_writable

    out = Path(args.out)
    args.made = [folder for folder in (out, *out.parents) if not os.path.lexists(folder)]
    return Path(check_writable(out))


def tidy(args):
    """Take away the folders that `checked_out` made, where nothing was written to them."""
    for folder in getattr(args, "made", ()):
        with suppress(OSError):  # it holds something
            folder.rmdir()


def beginning(args):
    """What DATA and --data mean: the settings `data` and, where DATA is the file of a saved model, `model`."""
    what = args.what or DEFAULT["data"]
    if not is_model(what):
        if args.data is not None:
            _refuse_as_model(what, args.data)
        return {"data": what}
    if args.data is None:
        raise InvalidValue(f"{quoted(what)} is a saved model: say on which data, as in --data digits")
    if args.model is not None:
        raise InvalidValue(f"--model {quoted(args.model)} beside the saved model {quoted(what)}: give one of them")
    return {"data": args.data, "model": what}


def _refuse_as_model(what, data):
    """Say that `what` is a data set's name, or what is wrong with it as the file of a model."""
    from minnet.data import DATASETS
    from minnet.study.training import load_model

    if what not in DATASETS:
        load_model(what)
    raise InvalidValue(f"--data {quoted(data)} goes with a saved model, and {quoted(what)} is none: give data alone")


def is_model(what):
    """Whether `what` is a file that holds a model, by its content."""
    from minnet.files import sniff

    return os.path.isfile(what) and sniff(what) in ("safetensors", "onnx")


PRUNING = {
    "criterion": "which weights matter",
    "structure": "what goes: weight, neuron, filter, 2:4, ...",
    "distribution": "how much from each layer",
    "schedule": "how fast the sparsity grows",
    "recipe": "when pruning and training take turns",
}

"""Options that several commands share, and their conversion to minnet's own arguments.

Defaults are defined in one place, `study.settings`, and shown from there; an option that is not given is None here.
"""
import os
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from minnet.cli import parser as kinds
from minnet.cli.parser import Parser
from minnet.errors import InvalidValue, quoted
from minnet.study.settings import (
    FROZEN,
    LARGE_BATCH,
    LEAST,
    MANY_ROWS,
    MOST,
    NUMBERS_LR,
    PRETRAINED,
    PRETRAINED_LR,
    READING,
    SGD_DECAY,
    SGD_LR,
    SMALL_BATCH,
    SPARSITY,
    Settings,
)

OUT = "minnet-out"
DATA_HELP = "digits (built in), mnist, fashion-mnist, a .npz file with X and y (or X_train, x_test, ...), or a .csv"
DATA_OR_MODEL_HELP = f"data set: {DATA_HELP} (default: digits); or the file of a saved model"
MODEL_DATA_HELP = "data set for a saved model"
TASKS = ("classification", "regression", "multilabel")  # as in data/tasks.py, which would load NumPy
MISSING = ("median", "error")  # as in delimited.py
SCALINGS = ("unit", "max", "standard", "none")  # as in data/scaling.py
DEFAULT = {name: field.default for name, field in Settings.__dataclass_fields__.items()}


def data_options(parser: Parser) -> None:
    """Add --target, --task and how a table is written, for data from a file."""
    add = parser.options.add_argument
    add("--target", metavar="COLUMN", action=kinds.Several,
        help="name or number of a .csv's column (array of a .npz) with the classes or numbers (default: last; y); may "
             "be repeated for numbers, and for labels of 0 and 1")
    add("--task", choices=TASKS,
        help="learn classes, or numbers, or any number of labels a row, each a column of 0 and 1 (default: classes; "
             "of a saved model its own)")
    table_options(parser)


def table_options(parser: Parser) -> None:
    """Add how a table is written."""
    add = parser.options.add_argument
    add("--ignore", action="append", metavar="COLUMN",
        help="name or number of a .csv's column not to read, as an index; may be repeated")
    add("--delimiter", metavar="CHAR",
        help="what separates a .csv's columns: a character, tab or space (default: found out)")
    add("--header", type=kinds.yes_or_no, metavar="yes|no",
        help="whether a .csv's first line names its columns (default: found out)")
    add("--decimal", metavar="CHAR", help="decimal mark of a .csv, a point or comma (default: found out)")
    add("--encoding", metavar="NAME", help="encoding of a .csv, as latin-1 or utf-16 (default: utf-8)")


def column_options(parser: Parser) -> None:
    """Add what columns hold, and how that becomes numbers."""
    add = parser.options.add_argument
    add("--scaling", choices=SCALINGS,
        help="how each feature is scaled, by what the training part says: to [0, 1], by its largest size, to mean 0 "
             "and deviation 1, or not (default: unit; a saved model has its own)")
    add("--categories", action="append", metavar="COLUMN",
        help="name or number of a column of categories, as codes are; may be repeated (default: text of which few "
             "differ)")
    add("--text", action="append", metavar="COLUMN",
        help="name or number of a column of text, which becomes counts of words; may be repeated (default: sentences "
             "that mostly differ)")
    add("--words", type=kinds.integer(1), metavar="N", help="words of a column of text at most (default: 2,000)")
    add("--hashed", action="store_const", const=True,
        help="hash words into N numbers instead of counting those that occur most")
    add("--missing", choices=MISSING,
        help="missing numbers: fill in the median of the training part, or fail (default: median for a .csv)")


def part_options(parser: Parser) -> None:
    """Add --test and --valid, parts of the data in files of their own."""
    add = parser.options.add_argument
    add("--test", metavar="FILE", help="data of the test part (default: the official one, else a fifth of DATA)")
    add("--valid", metavar="FILE", help="data of the validation part (default: the official one, else drawn)")


def reading(args: Namespace) -> dict[str, object]:
    """Return the arguments of `load_data` that the options of a file give."""
    return {name: getattr(args, name) for name in READING if getattr(args, name, None) is not None}


def class_weight_option(parser: Parser, text: str) -> None:
    """Add --class-weight."""
    parser.options.add_argument("--class-weight", choices=["balanced"], help=text)


def per_class_option(parser: Parser) -> None:
    """Add --per-class."""
    parser.options.add_argument("--per-class", action="store_true", help="also print a table of the classes or labels")


def check_per_class(args: Namespace, of_classes: bool) -> None:
    """Refuse --per-class for a model that gives numbers."""
    if args.per_class and not of_classes:
        raise InvalidValue("--per-class is for classes, and this model gives numbers: leave it out")


def training_options(parser: Parser, epochs: str = "epochs of training") -> None:
    """Add the options of models and their training; `epochs` is the help text of --epochs."""
    add = parser.options.add_argument
    add("--model", metavar="NAME", help=f"architecture of the network (default: {DEFAULT['model']})")
    add("--epochs", type=kinds.integer(1), metavar="N", help=f"{epochs} (default: {DEFAULT['epochs']})")
    add("--weights", metavar="FILE", help=f"pretrained weights in Keras's layout, for --model {PRETRAINED}")
    add("--freeze", metavar="LAYER",
        help=f"keep this layer and those before it fixed (default: none; with --weights {FROZEN})")
    add("--optimizer", metavar="NAME",
        help=f"training algorithm (default: sgd; with --weights adam, learning rate {PRETRAINED_LR:g})")
    add("--lr", type=kinds.positive, metavar="RATE",
        help=f"learning rate (default: sgd {SGD_LR:g}, in regression {NUMBERS_LR:g}; others 0.001)")
    add("--batch-size", type=kinds.integer(1), metavar="N",
        help=f"samples per training step (default: {SMALL_BATCH}; {LARGE_BATCH} from {MANY_ROWS:,} samples)")
    add("--weight-decay", type=kinds.real, metavar="X",
        help=f"weight decay coefficient (default: sgd {SGD_DECAY:g}, others the optimizer's own)")
    add("--penalty", type=kinds.pair("NAME:STRENGTH, as in l1:0.0001", kinds.positive), action="append",
        metavar="NAME:STRENGTH", help="regularisation term, e.g. l1:0.0001; may be repeated (default: none)")
    class_weight_option(parser, "give every class the same weight in the loss (default: every row the same)")


def pruning_options(parser: Parser) -> None:
    """Add the options of pruning."""
    add = parser.options.add_argument
    add("--sparsity", type=kinds.number_or(MOST, kinds.fraction), metavar="S",
        help=f"fraction of the weights (or units) to remove (default: {SPARSITY:g}); max: as many as --guard allows")
    add("--latency", type=kinds.number_or(LEAST), metavar=LEAST,
        help="instead, the shortest time of one sample, by the measured speed of this machine's kernels, that --guard "
             "allows")
    add("--count", type=kinds.integer(0), metavar="N", help="number of weights (or units) to remove, instead")
    add("--keep", type=kinds.integer(0), metavar="N",
        help="number of weights (or units) to keep, instead, as in --structure input --keep 8: columns, and of text "
             "each word counts as one")
    for name, text in LESS.items():
        add(f"--{name}", type=kinds.number_or(LEAST, kinds.amount()), metavar=f"N|{LEAST}",
            help=f"instead, {text} that may remain: a number, a share of the dense model's such as 0.5, or {LEAST}: "
                 "the fewest that --guard allows")
    add("--flash", type=kinds.amount(named=True), metavar="N|CHIP",
        help="flash that the model takes as C, by minnet fit: bytes, a share, or a chip such as stm32f0, of which "
             "three quarters; instead")
    add("--ram", type=kinds.amount(named=True), metavar="N|CHIP",
        help="RAM, instead or beside --flash; for --structure neuron or filter")
    add("--arithmetic", choices=("float", "int8"), help="what that C computes with (default: float)")
    for name, text in PRUNING.items():
        add(f"--{name}", metavar="NAME", help=f"{text} (default: {DEFAULT[name]})")
    add("--compensate", metavar="NAME", help="weight update after pruning, e.g. least_squares (default: none)")
    add("--rule", metavar="FILE:FUNCTION", help="your own criterion (model, data) -> scores; the file is executed")
    add("--layers", type=kinds.patterns, action="extend", metavar="NAMES",
        help="layers to prune, e.g. 'conv*,dense1' (default: all)")
    add("--protect", type=kinds.patterns, action="extend", metavar="NAMES",
        help="layers not to prune (default: none)")
    add("--value-range", type=kinds.real, nargs=2, metavar=("LO", "HI"),
        help="remove only weights with LO <= |w| <= HI (default: any)")
    add("--precision", metavar="NAME",
        help="int8: write the pruned model with 8-bit weights, and measure it so (default: float32)")
    guard_options(parser)


def guard_options(parser: Parser) -> None:
    """Add what must not be lost."""
    add = parser.options.add_argument
    add("--guard", type=kinds.pairs("SCORE:LOSS, as in accuracy:0.01"), action="extend", metavar="SCORE:LOSS,...",
        help="largest loss of a score on the validation part, e.g. accuracy:0.01,per_class_recall:0.03,flips:0.02 "
             "(regression: r2:0.01; multilabel: f1_micro:0.01); where it is exceeded, the sparsest net within it is "
             "searched for; exit code 1 if there is none; may be repeated")
    add("--guard-bound", action="store_const", const=True,
        help="the bound of each loss at 95%% may not exceed its limit either; needs 598 images for accuracy:0.005")
    add("--safe", action="store_const", const=True,
        help="change as little as can be: weights alone, every unit stays, the first, the last and key layers are "
             "left (--protect middle adds that one), and of several criteria the net is taken that predicts most like "
             "the dense one")


def out_option(parser: Parser) -> None:
    """Add --out."""
    add = parser.options.add_argument
    add("--out", metavar="DIR", default=OUT, help=f"folder for the output files (default: {OUT})")


def _once(limits: list[tuple[str, float]]) -> dict[str, float]:
    """Return the limits by score; refuse two of one score."""
    found: dict[str, float] = {}
    for name, limit in limits:
        if name in found:
            raise InvalidValue(f"--guard {name}:{found[name]:g} and {name}:{limit:g}: give one limit for a score")
        found[name] = limit
    return found


def settings_from(args: Namespace, **known: object) -> Settings:
    """Return the Settings of the options that were given; `known` settings take precedence."""
    given = {name: getattr(args, name) for name in DEFAULT if getattr(args, name, None) is not None}
    if given.get("guard"):
        given["guard"] = _once(given["guard"])
    if getattr(args, "rule", None):
        if "criterion" in given:
            raise InvalidValue(f"--criterion {given['criterion']} and --rule {args.rule}: give one of them")
        from minnet.cli.rule import load_rule

        given["criterion"] = load_rule(args.rule)
    for kind in ("criterion", "recipe"):
        if isinstance(given.get(kind), str):
            from minnet.cli.rule import spelled

            given[kind] = spelled(kind, given[kind])
    return Settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()} | known)


def output_folder(args: Namespace) -> Path:
    """Create the folder of --out, check that it is writable, and return it.

    `args.made` lists the folders that were created, for `remove_empty_dirs`.
    """
    from minnet.files import check_writable
    from minnet.study.transaction import finish

    out = Path(args.out)
    args.made = [folder for folder in (out, *out.parents) if not os.path.lexists(folder)]
    out = Path(check_writable(out))
    finish(out)
    return out


def remove_empty_dirs(args: Namespace) -> None:
    """Remove the folders that `output_folder` created if nothing was written to them."""
    for folder in getattr(args, "made", ()):
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def data_and_model(args: Namespace) -> dict[str, str]:
    """Return the settings that DATA and --data give: `data` and, if DATA is the file of a saved model, `model`."""
    source = args.what or DEFAULT["data"]
    if not is_model(source):
        if args.data is not None:
            _refuse_as_model(source, args.data)
        return {"data": source}
    if args.data is None:
        raise InvalidValue(f"{quoted(source)} is a saved model: name its data set, as in --data digits")
    if args.model is not None:
        raise InvalidValue(f"--model {quoted(args.model)} and the saved model {quoted(source)}: give one of them")
    return {"data": args.data, "model": source}


def _refuse_as_model(source: str, data: str) -> None:
    """Raise an error that says what is wrong with `source` as the file of a model."""
    from minnet.data import DATASETS
    from minnet.study.training import load_model

    if source not in DATASETS:
        load_model(source)
    raise InvalidValue(f"--data {quoted(data)} needs a saved model, and {quoted(source)} is a data set: give one data "
                       "set, without --data")


def is_model(path: str) -> bool:
    """Return True if `path` is a file that contains a model, judged by its content."""
    from minnet.files import sniff

    return os.path.isfile(path) and sniff(path) in ("safetensors", "onnx")


LESS = {"macs": "multiply-adds", "bytes": "bytes on disk"}
PRUNING = {
    "criterion": "scores of the weights, lowest removed first, with options as in taylor:variant=signed",
    "structure": "what is removed as one: weight, neuron, filter, 2:4, ...",
    "distribution": "how removals are divided among layers",
    "schedule": "growth of the sparsity over time",
    "recipe": "how pruning and training alternate, with options as in lottery_ticket:rounds=10,rewind=2, or "
              "FILE:FUNCTION, your own",
}

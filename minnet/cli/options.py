"""Options that several commands share, and their conversion to minnet's own arguments.

Defaults are defined in one place, `study.settings`, and shown from there; an option that is not given is None here.
"""
from __future__ import annotations

import os
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minnet.cli import parser as kinds
from minnet.cli.parser import Parser
from minnet.errors import InvalidValue, quoted
from minnet.study.settings import (
    FROZEN,
    GRADUAL,
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

if TYPE_CHECKING:  # NumPy is loaded by commands alone
    from minnet.cli.console import Console
    from minnet.study.training import Training

OUT = "minnet-out"
STAGES = "stages"  # the folder in it of what a stopped run goes on from
DATA_HELP = "digits, mnist, fashion-mnist, a .csv or .npz file"
DATA_OR_MODEL_HELP = ("digits (default), mnist, a .csv, .npz or model file; also fashion-mnist; a .npz has X "
                      "and y (or X_train, x_test, ...)")
MODEL_DATA_HELP = "data, where DATA is a model"
TASKS = ("classification", "regression", "multilabel")  # as in data/tasks.py, which would load NumPy
MISSING = ("median", "error")  # as in delimited.py
SCALINGS = ("unit", "max", "standard", "none")  # as in data/scaling.py
DEFAULT = {name: field.default for name, field in Settings.__dataclass_fields__.items()}


def data_options(parser: Parser) -> None:
    """Add --target, --task and how a table is written, for data from a file."""
    add = parser.topic("input").add_argument
    add("--target", metavar="COLUMN", action=kinds.Several,
        help="column with the classes or numbers (default: last, y); a .csv's name or number, an array of a .npz; may "
             "be repeated for numbers, and for labels of 0 and 1")
    add("--task", choices=TASKS, metavar="TASK",
        help="classification (default), regression or multilabel; multilabel: any number of labels a row, each a "
             "column of 0 and 1; a saved model has its own task")
    table_options(parser)


def table_options(parser: Parser) -> None:
    """Add how a table is written."""
    add = parser.topic("tables", folded=True).add_argument
    add("--ignore", action="append", metavar="COLUMN",
        help="a .csv's column not to read, by name or number; may be repeated")
    add("--delimiter", metavar="CHAR",
        help="what separates a .csv's columns (default: found out); a character, tab or space")
    add("--header", type=kinds.yes_or_no, metavar="yes|no",
        help="a .csv's first line names its columns (default: found out)")
    add("--decimal", metavar="CHAR", help="decimal mark of a .csv (default: found out); a point or comma")
    add("--encoding", metavar="NAME", help="encoding of a .csv, e.g. latin-1 (default: utf-8)")


def column_options(parser: Parser) -> None:
    """Add what columns hold, and how that becomes numbers."""
    add = parser.topic("tables", folded=True).add_argument
    add("--scaling", choices=SCALINGS, metavar="NAME",
        help="unit, max, standard or none, of each feature (default: unit); by what the training part says: to [0, 1], "
             "by its largest size, to mean 0 and deviation 1, or not; a saved model has its own")
    add("--categories", action="append", metavar="COLUMN",
        help="column of categories (default: text of few values); by name or number, as for codes; may be repeated")
    add("--text", action="append", metavar="COLUMN",
        help="column of text, for counts of words (default: sentences); by name or number; may be repeated")
    add("--words", type=kinds.integer(1), metavar="N", help="most words of a column of text (default: 2,000)")
    add("--hashed", action="store_const", const=True,
        help="words are hashed into N numbers; instead of counting those that occur most")
    add("--missing", choices=MISSING, metavar="NAME",
        help="median: fill in missing numbers, error: fail (default: median for a .csv); that of the training part")


def part_options(parser: Parser) -> None:
    """Add --test and --valid, parts of the data in files of their own."""
    add = parser.topic("tables", folded=True).add_argument
    add("--test", metavar="FILE", help="data of the test part (default: the official one, or a fifth)")
    add("--valid", metavar="FILE", help="data of the validation part (default: official, or drawn)")


def reading(args: Namespace) -> dict[str, object]:
    """Return the arguments of `load_data` that the options of a file give."""
    return {name: getattr(args, name) for name in READING if getattr(args, name, None) is not None}


def class_weight_option(parser: Parser, text: str) -> None:
    """Add --class-weight."""
    parser.topic("training", folded=True).add_argument("--class-weight", choices=["balanced"], metavar="balanced",
                                                       help=text)


def per_class_option(parser: Parser) -> None:
    """Add --per-class."""
    parser.topic("output").add_argument("--per-class", action="store_true",
                                        help="a table of the classes or labels is printed too")


def check_per_class(args: Namespace, of_classes: bool) -> None:
    """Refuse --per-class for a model that gives numbers."""
    if args.per_class and not of_classes:
        raise InvalidValue("--per-class is for classes, and this model gives numbers: leave it out")


def training_options(parser: Parser, epochs: str = "epochs of training") -> None:
    """Add the options of models and their training; `epochs` is the help text of --epochs."""
    add = parser.topic("input").add_argument
    add("--model", metavar="NAME", help=f"architecture of the net (default: {DEFAULT['model']})")
    add("--epochs", type=kinds.integer(1), metavar="N", help=f"{epochs} (default: {DEFAULT['epochs']})")
    add = parser.topic("training", folded=True).add_argument
    add("--weights", metavar="FILE", help=f"pretrained weights for --model {PRETRAINED}; in Keras's layout")
    add("--freeze", metavar="LAYER",
        help=f"last layer that is not trained (default: none); with --weights {FROZEN}")
    add("--optimizer", metavar="NAME",
        help=f"training algorithm (default: sgd); with --weights adam, learning rate {PRETRAINED_LR:g}")
    add("--lr", type=kinds.positive, metavar="RATE",
        help=f"learning rate (default: sgd {SGD_LR:g}, others 0.001); in regression {NUMBERS_LR:g} for sgd")
    add("--batch-size", type=kinds.integer(1), metavar="N",
        help=f"samples of a step (default: {SMALL_BATCH}, or {LARGE_BATCH}); {LARGE_BATCH} from {MANY_ROWS:,} samples")
    add("--weight-decay", type=kinds.real, metavar="X",
        help=f"weight decay (default: sgd {SGD_DECAY:g}, others their own)")
    add("--penalty", type=kinds.pair("NAME:STRENGTH, as in l1:0.0001", kinds.positive), action="append",
        metavar="NAME:STRENGTH", help="regularisation, e.g. l1:0.0001 (default: none); may be repeated")
    add("--teacher", metavar="FILE", type=kinds.teacher,
        help="learn a saved model's outputs beside the labels; distillation: half of the loss is its, at temperature "
             "4, or as in teacher.safetensors:temperature=2,share=0.3; in prune also dense: its own dense net, once "
             "that is trained")
    add("--average", metavar="NAME:NUMBER", type=kinds.name_and_number("swa, ema, or as in swa:0.75, ema:0.999"),
        help="a training leaves a mean of its nets, swa or ema:0.999; swa: of those after each epoch from three "
             "quarters on (swa:0.5: from half on), ema: the moving mean, of which so much stays after each batch; both "
             "since the mask last changed")
    add("--max-norm", metavar="LIMIT", type=kinds.positive,
        help="the largest norm of the weights into a unit, e.g. 3; after every step")
    add("--recalibrate", action="store_const", const=True,
        help="measure the statistics of BatchNorm anew after each training; over 1,024 samples of the training part")
    add("--augment", type=kinds.pairs("NAME:NUMBER, as in shift:2"), action="extend", metavar="NAME:NUMBER",
        help="change the images of each batch, e.g. shift:2,rotate:10; at random: shift by pixels, rotate by degrees, "
             "elastic: a smooth bend, cutout: a grey square, mixup: means of two, last; may be repeated")
    add("--adversarial", type=kinds.pair("ATTACK:EPSILON, as in fgsm:0.1", kinds.positive), metavar="ATTACK:EPS",
        help="learn attacked batches, e.g. fgsm:0.1; each is moved by the attack, so far, to raise the loss of the net "
             "as it is then; fgsm doubles the time, pgd takes eleven times as long")
    class_weight_option(parser, "every class gets the same weight in the loss; default: every row")


def pruning_options(parser: Parser) -> None:
    """Add the options of pruning."""
    add = parser.topic("amount").add_argument
    add("--sparsity", type=kinds.number_or(MOST, kinds.fraction), metavar="S",
        help=f"fraction to remove (default: {SPARSITY:g}), max: by --guard; of the weights, or of the units of a "
             "structure such as filter")
    add("--latency", type=kinds.number_or(LEAST), metavar=LEAST,
        help="or: the shortest time that --guard allows; of one sample, by the measured speed of this machine's "
             "kernels")
    add("--count", type=kinds.integer(0), metavar="N", help="or: number of weights or units to remove")
    add("--keep", type=kinds.integer(0), metavar="N",
        help="or: number of weights or units to keep; --structure input --keep 8: columns, of text each word is one")
    for name, text in LESS.items():
        add(f"--{name}", type=kinds.number_or(LEAST, kinds.amount()), metavar=f"N|{LEAST}",
            help=f"or: {text} that may remain; a number, a share of the dense model's such as 0.5, or {LEAST}: the "
                 "fewest that --guard allows")
    add = parser.topic("chips", folded=True).add_argument
    add("--flash", type=kinds.amount(named=True), metavar="N|CHIP",
        help="or: flash that its C may take; by minnet fit: bytes, a share, or a chip such as stm32f0, of which three "
             "quarters")
    add("--ram", type=kinds.amount(named=True), metavar="N|CHIP",
        help="or, or also: RAM that its C may take; for --structure neuron or filter")
    add("--arithmetic", choices=("float", "int8"), metavar="NAME",
        help="float or int8: what that C computes with; default: float")
    add = parser.topic("method").add_argument
    for name in PRUNING:
        add(f"--{name}", metavar="NAME", help=named_help(name))
    add("--compensate", metavar="NAME", help="update of what is left (default: none); e.g. least_squares")
    add("--rule", metavar="FILE:FUNCTION", help="your own criterion; (model, data) -> scores; the file is executed")
    add("--layers", type=kinds.patterns, action="extend", metavar="NAMES",
        help="layers to prune, e.g. 'conv*,dense1' (default: all)")
    add("--protect", type=kinds.patterns, action="extend", metavar="NAMES",
        help="layers not to prune (default: none)")
    add("--value-range", type=kinds.real, nargs=2, metavar=("LO", "HI"),
        help="only weights with LO <= |w| <= HI may go (default: any)")
    parser.topic("output").add_argument(
        "--precision", metavar="NAME",
        help="float32 (default) or int8, of the weights; of what is written, and scores are of that")
    guard_options(parser)


def named_help(name: str) -> str:
    """Return the help of --criterion and its kin, with the default in the first clause."""
    first, _, more = PRUNING[name].partition("; ")
    default = GRADUAL.get(name, DEFAULT[name])
    return f"{first} (default: {default}); {more}".removesuffix("; ")


def guard_options(parser: Parser) -> None:
    """Add what must not be lost."""
    add = parser.topic("limits").add_argument
    add("--guard", type=kinds.pairs("SCORE:LOSS, as in accuracy:0.01"), action="extend", metavar="SCORE:LOSS",
        help="largest loss of a score, e.g. accuracy:0.01,flips:0.02; on the validation part (also "
             "per_class_recall:0.03, robust_accuracy:0.02, that under an attack, PGD of each net by 0.1; "
             "regression: r2:0.01; multilabel: f1_micro:0.01); where it is exceeded, the sparsest net within it is "
             "searched for; exit code 1 if there is none; may be repeated")
    add("--guard-bound", action="store_const", const=True,
        help="each loss's bound at 95%% is limited too; needs 598 images for accuracy:0.005")
    add("--safe", action="store_const", const=True,
        help="the least change of shape and predictions; weights alone, every unit stays, the first, the last and key "
             "layers are left (--protect middle adds that one), and of several criteria the net is taken that predicts "
             "most like the dense one")


def out_option(parser: Parser) -> None:
    """Add --out."""
    add = parser.topic("output").add_argument
    add("--out", metavar="DIR", default=OUT, help=f"folder for the output files (default: {OUT})")


def resume_options(parser: Parser) -> None:
    """Add --resume and --save-every."""
    add = parser.topic("output").add_argument
    add("--resume", action="store_true",
        help="go on with a run that was stopped; by Ctrl-C, a kill or power loss, by the same command: what is written "
             "is the same, bit for bit, as without the stop; the run is stored in DIR/stages after each epoch, "
             "of those shorter than a second once a second")
    add("--save-every", type=kinds.positive, metavar="SECONDS",
        help="store the run within epochs too, so often; default: after each epoch alone")


def store_stages(args: Namespace, job: Training, out: Path, console: Console) -> None:
    """Store the stages of a job in the folder of its results; with --resume go on from those that are there."""
    job.store(out / STAGES, resume=args.resume, save_every=args.save_every)
    if args.resume:
        found = f"going on with the run in {quoted(str(out))}" if job.stages.resumes else (
            f"no stopped run in {quoted(str(out))}: beginning anew")
        console.info(found)


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

    if not args.out.strip():
        raise InvalidValue(f"--out {quoted(repr(args.out))} names no folder; wanted one, such as {OUT}")
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
    "criterion": "scores, lowest removed first; with options as in taylor:variant=signed",
    "structure": "what is removed as one; weight, neuron, filter, 2:4, ...",
    "distribution": "shares of the layers; of some recipes their own, such as erk",
    "schedule": "growth of the sparsity over time; of some recipes their own",
    "recipe": "how pruning and training alternate; with options as in lottery_ticket:rounds=10,rewind=2, or "
              "FILE:FUNCTION, your own; those for untrained nets, such as set, begin with initial weights and "
              "train for twice the epochs",
}

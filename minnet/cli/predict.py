"""Predict the class of every sample, one per line, named as in the training data; or its numbers, in their units.

Of several labels a row print 0 or 1 for each, in the order of training, separated by commas.

  minnet predict minnet-out/model.safetensors new.csv        rows of numbers; a column of classes is ignored
  minnet predict minnet-out/model.safetensors new.npz        its array X, or X_test of an official split
  minnet predict minnet-out/model.safetensors digits         the test part of a named data set

The samples are scaled as the training data were, images for VGG16 enlarged: the model's file records how.
"""
from argparse import Namespace

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import DATA_HELP, reading, table_options
from minnet.cli.parser import Parser
from minnet.errors import InvalidValue, quoted


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("model", metavar="MODEL_FILE", type=kinds.model_file,
                        help="file of a saved model, or a folder with model.safetensors")
    parser.add_argument("what", metavar="DATA", help=f"samples: {DATA_HELP}")
    add("--target", metavar="COLUMN", action=kinds.Several,
        help="name or number of a .csv's column of classes, not to read (default: as learnt, else last, if any)")
    table_options(parser)


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    from minnet.cli.compiling import announce_compilation
    from minnet.cli.rows import rows_of
    from minnet.runtime.freeze import freeze
    from minnet.study.training import enlarged_by, load_model

    model = load_model(args.model)
    if model.signature is None:
        raise InvalidValue(f"{quoted(args.model)} records neither the scaling of its data nor the names of its "
                           "classes: files of `minnet train`, `minnet import` and `minnet prune MODEL_FILE --data "
                           "DATA` do; `minnet evaluate` accepts any model, with labelled data")
    enlarge = enlarged_by(args.model, model)
    X = rows_of(args.what, None if enlarge else model.signature, reading(args), args.seed)
    announce_compilation(console)
    found = freeze(model).predict(enlarge(X) if enlarge else X)
    kind = model.signature.task
    lines = map(str, found.tolist()) if kind == "classes" else (
        ",".join(f"{number:.9g}" for number in row) for row in found.reshape(len(found), -1).tolist())
    result = {"model": args.model, "data": args.what, kind: found.tolist()}
    if kind == "multilabel" and model.signature.classes is not None:
        result["labels"] = model.signature.classes.tolist()
    console.result("\n".join(map(quoted, lines)), result)

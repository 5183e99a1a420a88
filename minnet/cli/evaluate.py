"""Score a model on data: accuracy, macro recall, macro F1, loss, and each class on request; or R2, MAE, RMSE, loss.

Of several labels a row: subset accuracy, Hamming loss, micro and macro F1, loss, and each label on request.

  minnet evaluate minnet-out/model.safetensors --data later.csv            every row of a file
  minnet evaluate minnet-out/model.safetensors --data digits               the test part of a named data set
  minnet evaluate minnet-out/model.safetensors --data mine.csv --part test

The model's file says how rows are scaled and what the classes are called: columns and labels are matched by name, and
classes may be absent. Parts are those of the training if --seed is the same.
"""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import DATA_HELP, check_per_class, class_weight_option, data_options, per_class_option, reading
from minnet.cli.parser import Parser
from minnet.cli.parts import PARTS, part_of
from minnet.cli.tables import aligned, facts_text, single
from minnet.report.classes import interval_text

if TYPE_CHECKING:  # NumPy is loaded by `run` alone
    import numpy as np

    from minnet.model import Model


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("model", metavar="MODEL_FILE", type=kinds.model_file,
                        help="file of a saved model, or a folder with model.safetensors")
    add("--data", metavar="DATA", default="digits", help=f"data set: {DATA_HELP} (default: digits)")
    add("--part", choices=PARTS,
        help="part of the data to score (default: all of a file; test of a named data set or one with a test part)")
    data_options(parser)
    class_weight_option(parser, "give every class the same weight in all scores (default: every row the same)")
    per_class_option(parser)


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    from minnet.cli.compiling import announce_compilation
    from minnet.engine.metrics import evaluate
    from minnet.study.result import plain
    from minnet.study.training import load_model

    model = load_model(args.model)
    part = part_for(args)
    name, X, y = rows_of(model, part, args, console)
    announce_compilation(console)
    facts = {"data": name, "part": part, "samples": len(y), "parameters": model.n_parameters,
             "sparsity": model.sparsity}
    scores = evaluate(model, X, y, class_weight=args.class_weight)
    result = plain(facts | dict(scores) | ({"classes": labels_of(model)} if "per_class" in scores else {}))
    check_per_class(args, "per_class" in scores)
    lines = [facts_text(single(result))]
    if args.per_class:
        lines += ["", *aligned(class_table(result), console)]
    console.result("\n".join(lines), result)


def labels_of(model: Model) -> Sequence:
    """Return the label of each output."""
    labels = model.signature and model.signature.classes
    return list(range(model.output_shape[-1])) if labels is None else labels.tolist()


def class_table(result: Mapping) -> list[tuple[str, ...]]:
    """Return the rows of the table of classes or labels: name, support, and scores in percent with their intervals."""
    names = {"precision": "precision", "recall": "recall", "f1": "F1"}
    kind = "label" if "hamming_loss" in result else "class"
    rows = [(kind, "samples", *(f"{name} (95 %)" for name in names.values()))]
    table = result["per_class"]
    for i, label in enumerate(result["classes"]):
        cells = (f"{table[name][i]:.1%} ({interval_text(table['intervals'][name][i])})" for name in names)
        rows.append((str(label), f"{table['support'][i]:,g}", *cells))
    return rows


def part_for(args: Namespace) -> str:
    """Return --part, or "all" of a file without parts, else "test"."""
    from minnet.data import is_split
    from minnet.study.training import is_file

    return args.part or ("all" if is_file(args.data) and not is_split(args.data) else "test")


def rows_of(model: Model, part: str, args: Namespace, console: Console) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the name of the data, and the rows and labels to score."""
    from pathlib import Path

    from minnet.cli.target import say_target
    from minnet.data import is_split, load_rows
    from minnet.files import file_digest
    from minnet.formats.storage import describe
    from minnet.study.training import check_test_part, data_for, is_enlarged, is_file, is_saved

    enlarged = is_enlarged(args.model)
    if part == "all" and is_file(args.data) and not is_split(args.data) and model.signature and not enlarged:
        made = describe(args.model)["made"] if is_saved(args.model) else {}
        if made.get("data_sha256") == file_digest(args.data):
            own = bool(made.get("test_sha256"))
            console.info("the model was trained on rows of this very file: " + (
                "its test part was another one" if own else "--part test scores those it has not seen"))
        X, y, target = load_rows(args.data, model, **reading(args))
        say_target(args.data, target, args.target, (model.signature.task, len(labels_of(model))), console)
        return Path(args.data).stem, X, y
    check_test_part(args.model, args.data)
    data = data_for(model, args.data, args.seed, reading(args), enlarged=enlarged)
    say_target(args.data, data.signature.target, args.target, data.gives, console)
    return data.name, *part_of(data, part)

"""Score a saved model on data: accuracy, macro recall, macro F1, loss, and each class on request.

  minnet evaluate minnet-out/model.safetensors --data digits
  minnet evaluate minnet-out/model.safetensors --data mine.csv --part all

The data are scaled as the model expects, and split as in training if --seed is the same; by default the test part is
scored.
"""
from argparse import Namespace
from collections.abc import Mapping

from minnet.cli.console import Console
from minnet.cli.options import DATA_HELP, class_weight_option, data_options, per_class_option
from minnet.cli.parser import Parser
from minnet.cli.parts import PARTS, part_of
from minnet.cli.tables import aligned, facts_text, single
from minnet.report.classes import interval_text


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("model", metavar="MODEL_FILE", help="file of a saved model")
    add("--data", metavar="DATA", default="digits", help=f"data set: {DATA_HELP} (default: digits)")
    add("--part", choices=PARTS, default="test", help="part of the data to score (default: test)")
    data_options(parser)
    class_weight_option(parser, "give every class the same weight in all scores (default: every row the same)")
    per_class_option(parser)


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    from minnet.cli.compiling import announce_compilation
    from minnet.engine.metrics import evaluate
    from minnet.study.result import plain
    from minnet.study.training import data_for, load_model

    model = load_model(args.model)
    data = data_for(args.model, args.data, args.seed, args.target)
    announce_compilation(console)
    X, y = part_of(data, args.part)
    facts = {"data": data.name, "part": args.part, "samples": len(y), "parameters": model.n_parameters,
             "sparsity": model.sparsity}
    result = plain(facts | dict(evaluate(model, X, y, class_weight=args.class_weight)) | {"classes": data.classes})
    lines = [facts_text(single(result), console)]
    if args.per_class:
        lines += ["", *aligned(class_table(result), console)]
    console.result("\n".join(lines), result)


def class_table(result: Mapping) -> list[tuple[str, ...]]:
    """Return the rows of the table of classes: label, support, and scores in percent with their intervals."""
    names = {"precision": "precision", "recall": "recall", "f1": "F1"}
    rows = [("class", "samples", *(f"{name} (95 %)" for name in names.values()))]
    table = result["per_class"]
    for i, label in enumerate(result["classes"]):
        cells = (f"{table[name][i]:.1%} ({interval_text(table['intervals'][name][i])})" for name in names)
        rows.append((str(label), f"{table['support'][i]:,g}", *cells))
    return rows

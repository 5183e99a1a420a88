"""Score a saved model on data: accuracy, macro recall, macro F1 and loss.

  minnet evaluate minnet-out/model.safetensors --data digits
  minnet evaluate minnet-out/model.safetensors --data mine.csv --part all

The data are scaled as the model expects, and split as in training if --seed is the same; by default the test part is
scored.
"""
from argparse import Namespace

from minnet.cli.console import Console
from minnet.cli.options import DATA_HELP, data_options
from minnet.cli.parser import Parser
from minnet.cli.parts import PARTS, part_of
from minnet.cli.tables import facts_text


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("model", metavar="MODEL_FILE", help="file of a saved model")
    add("--data", metavar="DATA", default="digits", help=f"data set: {DATA_HELP} (default: digits)")
    add("--part", choices=PARTS, default="test", help="part of the data to score (default: test)")
    data_options(parser)


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
    result = plain(facts | dict(evaluate(model, X, y)))
    console.result(facts_text(result, console), result)

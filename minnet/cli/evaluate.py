"""Score a saved model on data: accuracy, macro recall, macro F1 and loss.

  minnet evaluate minnet-out/model.safetensors --data digits
  minnet evaluate minnet-out/model.safetensors --data mine.csv --part all

The data are scaled as the model takes them, and split as in training if --seed is the same; by default the test part
is scored.
"""
from minnet.cli.options import DATA_HELP, data_options
from minnet.cli.parts import PARTS, part_of
from minnet.cli.tables import facts_text


def options(parser):
    """What it takes."""
    add = parser.options.add_argument
    parser.add_argument("model", metavar="MODEL_FILE", help="a saved model")
    add("--data", metavar="DATA", default="digits", help=f"{DATA_HELP} (digits)")
    add("--part", choices=PARTS, default="test", help="which samples (test)")
    data_options(parser)


def run(args, talk):
    """Do it; returns the exit code."""
    from minnet.cli.compiling import tell_compiling
    from minnet.engine.metrics import evaluate
    from minnet.study.result import plain
    from minnet.study.training import data_for, load_model

    model = load_model(args.model)
    data = data_for(args.model, args.data, args.seed, args.target)
    tell_compiling(talk)
    X, y = part_of(data, args.part)
    facts = {"data": data.name, "part": args.part, "samples": len(y), "parameters": model.n_parameters,
             "sparsity": model.sparsity}
    result = plain(facts | dict(evaluate(model, X, y)))
    talk.result(facts_text(result, talk), result)

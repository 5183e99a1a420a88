"""Show the contents of a file: the layers of a model and their sparsity, or the samples of a data set.

Of a model that reads text, show the words that some weight still reads, the strongest first.

  minnet inspect minnet-out/model.safetensors
  minnet inspect mine.csv --target kind

A file is recognised by its content, not by its name.
"""
from argparse import Namespace

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import DATA_HELP, column_options, data_options, is_model, part_options, reading
from minnet.cli.parser import Parser
from minnet.cli.tables import aligned, facts_text
from minnet.errors import quoted

MOST_WORDS = 30  # that are shown; --json has all


def options(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("what", metavar="FILE", type=kinds.model_file,
                        help=f"file of a saved model, or data set: {DATA_HELP}")
    data_options(parser)
    column_options(parser)
    part_options(parser)


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    facts, layers, words = _model(args) if is_model(args.what) else (_data(args), [], [])
    head = ("layer", "shape", "weights", "remaining", "sparsity", "multiply-adds")
    rows = [(row["name"], " x ".join(map(str, row["shape"])), f"{row['weights']:,}", f"{row['remaining']:,}",
             f"{row['sparsity']:.1%}", f"{row['macs']:,}") for row in layers]
    text = "\n".join([facts_text(facts, console), *(["", *aligned([head, *rows], console)] if rows else []),
                      *_word_lines(words, console)])
    told = {"words": [{"column": column.name, "of": column.of, "kept": column.words} for column in words]}
    console.result(text, facts | ({"layers": layers} if rows else {}) | (told if words else {}))


def _word_lines(words, console):
    """Return tables of the words that are left of each column of text."""
    lines = []
    for column in words:
        shown = [(quoted(word), f"{norm:.3f}") for word, norm in column.words[:MOST_WORDS]]
        lines += ["", f"words left of {quoted(repr(column.name))}: {len(column.words):,} of {column.of:,}"]
        lines += aligned([("strongest", "norm of weights"), *shown], console)
    return lines


def _model(args):
    """Return (facts, layers) of a saved model."""
    from minnet.formats.storage import describe, load
    from minnet.model import Model
    from minnet.pruning.paths import effective_sparsity
    from minnet.study.result import layers_of, plain
    from minnet.study.words import words_of

    found, about = load(args.what), describe(args.what)
    model = found if isinstance(found, Model) else found.model
    facts = {"kind": "a model" if model is found else f"a training run, after {found.epoch} epochs",
             "input_shape": " x ".join(map(str, model.input_shape)), "outputs": model.output_shape[-1],
             "bytes": about["bytes"], "dtype": model.dtype.name, "precision": about["precision"],
             "parameters": model.n_parameters, "sparsity": model.sparsity,
             "effective_sparsity": effective_sparsity(model), "macs": model.macs,
             "trained_on": about["made"].get("data"), "format_version": about["format_version"],
             "fingerprint": about["fingerprint"]}
    return plain(facts), plain(layers_of(model)), words_of(model)


def _data(args):
    """Return the facts of a data set."""
    from minnet.data import load_data

    data = load_data(args.what, rng=args.seed, **reading(args))
    return {"kind": "a data set", "data": data.name, "shape": " x ".join(map(str, data.shape)),
            "train": len(data.y_train), "valid": len(data.y_valid), "test": len(data.y_test),
            "target": data.signature.target and quoted(str(data.signature.target)), **_targets(data),
            "scaling": data.scaling}


def _targets(data):
    """Return the facts of the classes, or of the numbers or labels to learn."""
    if data.classes is None:
        return {"numbers": data.n_outputs}
    names = "labels" if data.signature.task == "multilabel" else "classes"
    return {f"n_{names}": data.n_classes, names: quoted(", ".join(map(str, data.classes.tolist())))}

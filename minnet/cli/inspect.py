"""Show the contents of a file or folder: a model, its layers and masks; a data set; a finished run.

  minnet inspect minnet-out                      what the run found, as it was told
  minnet inspect minnet-out/model.safetensors    layers, how dense each is
  minnet inspect minnet-out/model.safetensors --masks    where live weights are
  minnet inspect mine.csv --target kind

A file is recognised by its content, not by its name. Of a pruned model whose first layer reads an image, a picture
shows which pixels are still read; of one that reads text, the words that some weight still reads, the strongest first.
"""
from argparse import Namespace
from pathlib import Path

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import DATA_HELP, column_options, data_options, is_model, part_options, reading
from minnet.cli.parser import Parser
from minnet.cli.tables import aligned, facts_text, fill
from minnet.errors import quoted
from minnet.study.folder import RESULT

MOST_WORDS = 30  # that are shown; --json has all


def options(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("what", metavar="FILE", help=f"a model's file, a run's folder, or data; data: {DATA_HELP}")
    parser.options.add_argument("--masks", action="store_true", help="a picture of each layer's mask")
    data_options(parser)
    column_options(parser)
    part_options(parser)


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    folder, args.what = args.what, kinds.model_file(args.what)
    facts, layers, words, pictures = _model(args) if is_model(args.what) else (_data(args), [], [], [])
    told = {"words": [{"column": column.name, "of": column.of, "kept": column.words} for column in words]}
    found = facts | ({"layers": layers} if layers else {}) | (told if words else {})
    if (Path(folder) / RESULT).is_file():
        lines, run_facts = _run_of(folder, console)
        found |= run_facts
        pictures = pictures if args.masks else []
    else:
        lines = [facts_text(facts), *_layer_lines(layers, console)]
        pictures = [*pictures, *_word_lines(words, console)]
    console.result("\n".join([*lines, *pictures]), found)


def _layer_lines(layers, console):
    """Return the table of a model's layers, none for no layers."""
    from minnet.cli.masks import bar

    head = ("layer", "shape", "weights", "remaining", "sparsity", "MACs", "density")
    rows = [(row["name"], "x".join(map(str, row["shape"])), f"{row['weights']:,}", f"{row['remaining']:,}",
             f"{row['sparsity']:.1%}", f"{row['macs']:,}", bar(1 - row["sparsity"])) for row in layers]
    return ["", *aligned([head, *rows], console)] if rows else []


def _run_of(folder, console):
    """Return the lines of a finished run as it was told, and {"run": its result, "files": their names}."""
    from minnet.cli.prune import text
    from minnet.study.folder import files_of_run, read_result

    result, files = read_result(folder), files_of_run(Path(folder))
    told = text(result, console)
    lines = [told, "", fill(f"command: {quoted(result.get('command', '?'))}", indent=2),
             fill(f"files: {quoted(', '.join(files))}", indent=2)]
    return lines, {"run": result, "files": files}


def _pictures(model, every):
    """Return the lines of pictures: the pixels that a pruned model still reads and, if asked for, each layer's mask."""
    from minnet.cli.masks import mask_pictures, picture, read_inputs

    lines, pixels = [], read_inputs(model) if model.sparsity > 0 else None
    if pixels is not None:
        lines += ["", "pixels that live weights of the first layer read, the most read the darkest:", *picture(pixels)]
    return [*lines, *(mask_pictures(model) if every else ())]


def _word_lines(words, console):
    """Return tables of the words that are left of each column of text."""
    lines = []
    for column in words:
        shown = [(quoted(word), f"{norm:.3f}") for word, norm in column.words[:MOST_WORDS]]
        lines += ["", f"words left of {quoted(repr(column.name))}: {len(column.words):,} of {column.of:,}"]
        lines += aligned([("strongest", "norm of weights"), *shown], console)
    return lines


def _model(args):
    """Return (facts, layers, words, lines of pictures) of a saved model."""
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
    return plain(facts), plain(layers_of(model)), words_of(model), _pictures(model, args.masks)


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

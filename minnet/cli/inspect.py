"""What a file holds: the layers of a model and what remains of them, or the samples of a data set.

  minnet inspect minnet-out/model.safetensors
  minnet inspect mine.csv --target kind
"""
from minnet.cli.options import DATA_HELP, data_options, is_model
from minnet.cli.tables import aligned, facts_text


def options(parser):
    """What it takes."""
    parser.add_argument("what", metavar="FILE", help=f"a saved model, or data: {DATA_HELP}")
    data_options(parser)


def run(args, talk):
    """Do it; returns the exit code."""
    facts, layers = _model(args) if is_model(args.what) else (_data(args), [])
    head = ("layer", "shape", "weights", "remaining", "sparsity", "multiply-adds")
    rows = [(row["name"], " x ".join(map(str, row["shape"])), f"{row['weights']:,}", f"{row['remaining']:,}",
             f"{row['sparsity']:.1%}", f"{row['macs']:,}") for row in layers]
    text = "\n".join([facts_text(facts, talk), *(["", *aligned([head, *rows], talk)] if rows else [])])
    talk.result(text, facts | {"layers": layers} if rows else facts)


def _model(args):
    """(facts, layers) of a saved model."""
    from minnet.formats.storage import describe, load
    from minnet.model import Model
    from minnet.pruning.paths import effective_sparsity
    from minnet.study.result import layers_of, plain

    found, about = load(args.what), describe(args.what)
    model = found if isinstance(found, Model) else found.model
    facts = {"kind": "a model" if model is found else f"a training run, after {found.epoch} epochs",
             "input_shape": " x ".join(map(str, model.input_shape)), "outputs": model.output_shape[-1],
             "bytes": about["bytes"], "dtype": model.dtype.name, "parameters": model.n_parameters,
             "sparsity": model.sparsity, "effective_sparsity": effective_sparsity(model), "macs": model.macs,
             "trained_on": about["made"].get("data"), "format_version": about["format_version"]}
    return plain(facts), plain(layers_of(model))


def _data(args):
    """Facts of a data set."""
    from minnet.data import load_data
    from minnet.errors import quoted

    data = load_data(args.what, rng=args.seed, target=args.target)
    return {"kind": "a data set", "data": data.name, "shape": " x ".join(map(str, data.shape)),
            "train": len(data.y_train), "valid": len(data.y_valid), "test": len(data.y_test),
            "n_classes": data.n_classes, "classes": quoted(", ".join(map(str, data.classes.tolist()))),
            "scaling": data.scaling}

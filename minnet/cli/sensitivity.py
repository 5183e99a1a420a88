"""Measure how the validation accuracy falls when each layer alone is pruned, at each sparsity.

  minnet sensitivity digits                                     trains, then measures
  minnet sensitivity minnet-out/dense.safetensors --data digits
  minnet sensitivity mnist --model lenet_5 --structure filter --sparsity 0.5

The model is not changed. Writes DIR/sensitivity.json. `minnet prune --layers insensitive:2` measures the same and
prunes the two least sensitive layers.
"""
from argparse import Namespace
from collections.abc import Mapping

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import (
    DATA_OR_MODEL_HELP,
    MODEL_DATA_HELP,
    data_and_model,
    data_options,
    named_help,
    out_option,
    output_folder,
    part_options,
    settings_from,
    training_options,
)
from minnet.cli.parser import Parser
from minnet.cli.train import train_with_progress
from minnet.errors import quoted

FILE = "sensitivity.json"


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("what", nargs="?", metavar="DATA", default="digits",
                        type=kinds.model_file, help=DATA_OR_MODEL_HELP)
    add("--data", metavar="DATA", help=MODEL_DATA_HELP)
    add("--sparsity", dest="sparsities", type=kinds.fraction, action="append", metavar="S",
        help="fraction to remove; may be repeated (default: 0.5 0.7 0.8 0.9 0.95 0.99)")
    for name in ("criterion", "structure"):
        add(f"--{name}", metavar="NAME", help=named_help(name))
    for name, text in (("layers", "layers to measure, e.g. 'conv*,dense1' (default: all)"),
                       ("protect", "layers not to measure (default: none)")):
        add(f"--{name}", type=kinds.patterns, action="extend", metavar="NAMES", help=text)
    training_options(parser)
    data_options(parser)
    part_options(parser)
    out_option(parser)


def tables() -> dict[str, Mapping]:
    """Return the tables of names that can be given."""
    from minnet.models import MODELS
    from minnet.pruning.criteria import CRITERIA
    from minnet.pruning.structures import STRUCTURES

    return {"models": MODELS, "criteria": CRITERIA, "structures": STRUCTURES}


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    settings = settings_from(args, **data_and_model(args))
    out = output_folder(args)
    from minnet.cli.compiling import announce_compilation
    from minnet.cli.target import say_target
    from minnet.cli.writing import save_on_failure
    from minnet.pruning.choose import choose
    from minnet.pruning.one_layer import SPARSITIES, candidates_of, deciding_part
    from minnet.pruning.scores import Ranking
    from minnet.study.folder import as_json, write_files
    from minnet.study.guard import WORDS
    from minnet.study.result import plain
    from minnet.study.sensitivity import sensitivity
    from minnet.study.settings import GRADUAL
    from minnet.study.training import Training

    announce_compilation(console)
    job, criterion = Training(settings), settings.criterion or GRADUAL["criterion"]
    say_target(settings.data, job.data.signature.target, settings.target, job.data.gives, console)
    if not job.given:  # errors in the arguments are raised before the training
        candidates_of(job.model, choose(job.model, settings.layers, settings.protect),
                      Ranking(criterion, settings.structure, job.data, rng=args.seed))
    with save_on_failure(job, out):
        if not job.given:
            train_with_progress(job, console)
        found = sensitivity(job.model, job.data, sparsities=args.sparsities or SPARSITIES, layers=settings.layers,
                            protect=settings.protect, criterion=criterion, structure=settings.structure,
                            rng=args.seed)
    names = ("model", "criterion", "structure", "seed")
    part = deciding_part(job.data)
    how = {name: settings.record()[name] for name in names}
    result = plain({"data": job.data.name, "part": part} | how | found.record())
    write_files(out, {FILE: as_json(result)})
    console.result(str(found), result)
    console.info(f"measured on the {WORDS[part]} part, {len(getattr(job.data, f'y_{part}')):,} samples")
    console.info(f"wrote {FILE} to {quoted(str(out))}")

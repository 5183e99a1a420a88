"""What it costs to prune each layer alone, at each sparsity, on the validation part; nothing is kept of the pruning.

  minnet sensitivity digits                                     trains, then measures
  minnet sensitivity minnet-out/dense.safetensors --data digits
  minnet sensitivity mnist --model lenet_5 --structure filter --sparsity 0.5 --sparsity 0.8

Writes DIR/sensitivity.json. `minnet prune --layers insensitive:2` measures the same and prunes the two that mind least.
"""
from minnet.cli import parser as kinds
from minnet.cli.options import (
    DATA_HELP,
    DEFAULT,
    beginning,
    checked_out,
    data_options,
    out_option,
    settings_from,
    training_options,
)
from minnet.cli.train import follow
from minnet.errors import quoted

FILE = "sensitivity.json"


def options(parser):
    """What it takes."""
    add = parser.options.add_argument
    parser.add_argument("what", nargs="?", metavar="DATA", default="digits",
                        help=f"{DATA_HELP} (digits); or the file of a saved model")
    add("--data", metavar="DATA", help="the data for a saved model")
    add("--sparsity", dest="sparsities", type=kinds.fraction, action="append", metavar="S",
        help="may be repeated (0.5 0.7 0.8 0.9 0.95 0.99)")
    for name, words in (("criterion", "which weights of a layer go"), ("structure", "in which pieces")):
        add(f"--{name}", metavar="NAME", help=f"{words} ({DEFAULT[name]})")
    for name, words in (("layers", "only these, as 'conv*,dense1'"), ("protect", "never these")):
        add(f"--{name}", type=kinds.patterns, action="extend", metavar="NAMES", help=words)
    training_options(parser)
    data_options(parser)
    out_option(parser)


def tables():
    """The names that may be given."""
    from minnet.models import MODELS
    from minnet.pruning.criteria import CRITERIA
    from minnet.pruning.structures import STRUCTURES

    return {"models": MODELS, "criteria": CRITERIA, "structures": STRUCTURES}


def run(args, talk):
    """Do it; returns the exit code."""
    settings = settings_from(args, **beginning(args))
    out = checked_out(args)
    from minnet.cli.compiling import tell_compiling
    from minnet.cli.writing import keeping
    from minnet.pruning.alone import SPARSITIES, pool_of
    from minnet.pruning.choose import choose
    from minnet.study.folder import as_json, write_files
    from minnet.study.result import plain
    from minnet.study.sensitivity import sensitivity
    from minnet.study.training import Training

    tell_compiling(talk)
    job = Training(settings)
    if not job.given:  # what is wrong with them is told before the training
        pool_of(job.model, choose(job.model, settings.layers, settings.protect), job.data, settings.criterion,
                settings.structure, rng=args.seed)
    with keeping(job, out):
        if not job.given:
            follow(job, talk)
        found = sensitivity(job.model, job.data, sparsities=args.sparsities or SPARSITIES, layers=settings.layers,
                            protect=settings.protect, criterion=settings.criterion, structure=settings.structure,
                            rng=args.seed)
    names = ("model", "criterion", "structure", "seed")
    result = plain({"data": job.data.name} | {name: settings.record()[name] for name in names} | found.record())
    write_files(out, {FILE: as_json(result)})
    talk.result(str(found), result)
    talk.say(f"wrote {FILE} to {quoted(str(out))}")

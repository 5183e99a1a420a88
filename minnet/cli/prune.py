"""Train a dense net, prune it, shrink it, and show what was won and what it cost.

  minnet prune digits                                   30 epochs dense, 30 while 90% go, gradually
  minnet prune digits --sparsity 0.95 --criterion taylor --seed 1
  minnet prune digits --model small_conv --structure filter --sparsity 0.5
  minnet prune mine.csv --target kind --guard accuracy:0.01
  minnet prune minnet-out/dense.safetensors --data digits      starts from a saved model
  minnet prune model.onnx --data mine.npz --structure filter   from any framework's; writes model.onnx too
  minnet prune digits --rule my_rules.py:smallest       your own criterion: (model, data) -> scores

The dense net is given the same epochs, so that pruning is all the two differ in. Writes to DIR model.safetensors (the
pruned net), dense.safetensors, result.json and report.html.
"""
from minnet.cli.options import (
    DATA_HELP,
    beginning,
    checked_out,
    data_options,
    out_option,
    pruning_options,
    settings_from,
    training_options,
)
from minnet.cli.signals import LISTENER
from minnet.cli.tables import aligned
from minnet.report.rows import comparison, layers, names


def options(parser):
    """What it takes."""
    add = parser.options.add_argument
    parser.add_argument("what", nargs="?", metavar="DATA", help=f"{DATA_HELP} (digits); or the file of a saved model")
    add("--data", metavar="DATA", help="the data for a saved model")
    pruning_options(parser)
    training_options(parser)
    data_options(parser)
    out_option(parser)


def tables():
    """The names that may be given."""
    from minnet.engine.optimizers import OPTIMIZERS
    from minnet.models import MODELS
    from minnet.pruning.compensation import COMPENSATIONS
    from minnet.pruning.criteria import CRITERIA
    from minnet.pruning.distributions import DISTRIBUTIONS
    from minnet.pruning.penalties import PENALTIES
    from minnet.pruning.recipes import RECIPES
    from minnet.pruning.schedules import SCHEDULES
    from minnet.pruning.structures import STRUCTURES

    return {"models": MODELS, "criteria": CRITERIA, "structures": STRUCTURES, "distributions": DISTRIBUTIONS,
            "schedules": SCHEDULES, "recipes": RECIPES, "compensations": COMPENSATIONS, "penalties": PENALTIES,
            "optimizers": OPTIMIZERS}


def run(args, talk):
    """Do it; returns the exit code."""
    out = checked_out(args)
    from minnet.cli.compiling import compiling
    from minnet.cli.writing import keeping, write_outcome
    from minnet.study.guard import check_guards
    from minnet.study.job import Job

    settings = settings_from(args, **beginning(args))
    with compiling(talk) as all_compiled:
        job = Job(settings)
        talk.say(job.plan)
        with keeping(job, out):
            _follow(job, talk)
            all_compiled()
            result = job.measure() | {"command": args.command}
    wrote = write_outcome(job, result, out)
    talk.result(text(result, talk), result)
    talk.say(wrote)
    check_guards(job.guard, result["before"], result["after"])


def _follow(job, talk):
    """Train and prune, and show how far it is."""
    with talk.progress() as bar:
        bar("starting", 0, job.epochs)
        for news in job.run():
            LISTENER.check()
            bar(f"{news.stage}: loss {news.loss:.3f}, {news.sparsity:.0%} gone", news.epoch, job.epochs)


def text(result, talk):
    """The result as a person reads it."""
    first, second = names(result)
    rows = [(row.label, row.before, row.after, row.change) for row in comparison(result)]
    return "\n".join([
        talk.heading(f"{result['data']}, {result['model']}, seed {result['seed']}"),
        *aligned([("", first, second, "change"), *rows], talk), "",
        *aligned([("layer", "shape", "weights", "remaining", "sparsity"), *layers(result)], talk), "", result["words"]])

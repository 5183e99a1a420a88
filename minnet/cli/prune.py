"""Train a dense model, prune it, compact it, and compare the two.

  minnet prune digits               30 epochs dense, 30 while 90% are removed
  minnet prune mine.csv --sparsity 0.95 --criterion taylor
  minnet prune digits --model small_conv --structure filter --sparsity 0.5
  minnet prune mine.csv --guard accuracy:0.01,per_class_recall:0.03
  minnet prune model.onnx --data mine.npz    a model of any framework

The dense model is trained for as many epochs. Scores are of the test part; what decides, such as --guard, sees the
validation part. Writes model.safetensors (the pruned model), dense.safetensors, result.json and report.html to DIR.

More examples:
  minnet prune digits --guard accuracy:0.01 --sparsity max    the sparsest net
  minnet prune digits --safe        the least change of shape and predictions
  minnet prune mine.csv --structure input --keep 8    the best 8 columns alone
  minnet prune mine.csv --flash 8000 --precision int8    as C in 8,000 bytes
  minnet prune mine.csv --ram atmega328p --structure neuron --arithmetic int8
  minnet prune prices.csv --target price --task regression    numbers
  minnet prune photos.csv --task multilabel --target beach --target sunset
  minnet prune minnet-out/dense.safetensors --data digits    a saved model
  minnet prune digits --rule my_rules.py:smallest    (model, data) -> scores
  minnet prune digits --recipe lottery_ticket:rounds=10,rewind=2
  minnet prune digits --criterion taylor:variant=signed    with options
  minnet prune digits --recipe my_loops.py:mine    your own recipe

Where a recipe breaks the guard it goes on from its last net within, with half the step; the sparsest net within is
written.
"""
from argparse import Namespace
from collections.abc import Mapping

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import (
    DATA_OR_MODEL_HELP,
    MODEL_DATA_HELP,
    check_per_class,
    column_options,
    data_and_model,
    data_options,
    out_option,
    output_folder,
    part_options,
    per_class_option,
    pruning_options,
    resume_options,
    settings_from,
    store_stages,
    training_options,
)
from minnet.cli.parser import Parser
from minnet.cli.signals import SIGNALS
from minnet.cli.tables import aligned, fill
from minnet.report.changes import changes
from minnet.report.classes import class_rows, notable
from minnet.report.rows import LAYER, comparison, guards, inputs, last_cut, layers, names
from minnet.study.settings import name_of


def options(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("what", nargs="?", metavar="DATA", type=kinds.model_file, help=DATA_OR_MODEL_HELP)
    parser.topic("input").add_argument("--data", metavar="DATA", help=MODEL_DATA_HELP)
    pruning_options(parser)
    training_options(parser, "epochs dense, and again pruning")
    data_options(parser)
    column_options(parser)
    part_options(parser)
    per_class_option(parser)
    out_option(parser)
    resume_options(parser)


def tables() -> dict[str, Mapping]:
    """Return the tables of names that can be given."""
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


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    out = output_folder(args)
    from minnet.cli.compiling import compiling
    from minnet.cli.imbalance import hint_imbalance, say_missing_classes, say_nothing_learned
    from minnet.cli.target import say_columns, say_target
    from minnet.cli.writing import save_on_failure, write_job
    from minnet.study.budget import check_budgets
    from minnet.study.guard import check_guards
    from minnet.study.job import Job

    settings = settings_from(args, **data_and_model(args))
    with compiling(console) as wait_for_kernels:
        job = Job(settings)
        check_per_class(args, job.data.n_classes > 0)
        console.info(job.plan)
        _say_beginning(job, console)
        _hint_columns(job, console)
        say_target(settings.data, job.data.signature.target, settings.target, job.data.gives, console)
        say_columns(job.data, console)
        hint_imbalance(job, console)
        say_missing_classes(job, console)
        store_stages(args, job, out, console)
        with save_on_failure(job, out):
            _show_progress(job, console)
            wait_for_kernels()
            result = job.measure() | {"command": args.command}
            message = write_job(job, result, out)
            job.stages.clear()
    console.result(text(result, console, args.per_class), result)
    console.info(message)
    say_nothing_learned(result["before"], console)
    if "guard" in result:
        check_guards(result["guard"])
        check_budgets(result.get("budget", {}))
        _say_short(result["guard"]["search"], console)
    else:
        _say_missed(job, console)


def _say_beginning(job, console):
    """Print a line where the recipe is for nets that are not trained: where it begins, and for how long it trains."""
    from minnet.study.method import beginning

    line = beginning(job.settings.recipe, job.span, job.given)
    if line:
        console.info(line)


def _hint_columns(job, console):
    """Print a line where so few weights are to remain that columns of a table were meant."""
    keep, features = job.settings.keep, job.data.shape[-1]
    if keep and job.planned.units.unit == "weight" and len(job.data.shape) == 1 and keep <= features:
        console.info(f"--keep counts weights here, all but {keep:,} are removed: to keep {keep:,} of the {features:,} "
                     "columns add --structure input")


def _say_short(search, console):
    """Print a line where the search stopped short of the sparsity that was asked for."""
    asked = search["asked"]
    if isinstance(asked, float) and search["reached"] < search["rounds"][0]["asked"]:
        console.info(f"stopped at {search['reached']:.1%} removed, short of the {asked:.1%} asked for: more breaks the "
                     "guard")


def _say_missed(job, console):
    """Print a line where the recipe, as one of the user's may, removed less than was asked for."""
    total = job.planned.units.total
    if job.sparsity is not None and round(job.reached * total) < round(job.sparsity * total):
        console.info(f"{name_of(job.settings.recipe)} removed {job.reached:.1%} where {job.sparsity:.1%} were asked "
                     "for: a recipe prunes to the sparsity that it is given, its third argument")


def _show_progress(job, console):
    """Train and prune with a progress bar."""
    with console.progress() as bar:
        bar("starting", 0, job.epochs)
        told = False
        for progress in job.run():
            SIGNALS.check()
            if job.stages.forgets and not told:
                told = True
                console.info(f"{name_of(job.settings.recipe)} does not call mn.remember(train, ...) before it trains: "
                             "stopped on the way, it is begun anew by --resume")
            bar(f"{progress.stage}: loss {progress.loss:.3f}, sparsity {progress.sparsity:.0%}", progress.epoch,
                job.epochs)


def text(result: dict, console: Console, per_class: bool = False) -> str:
    """Return the result as tables and one sentence.

    Classes have a table where `per_class` asks for it, and those whose recall changed have one in any case.
    """
    first, second = names(result)
    rows = [(row.label, row.before, row.after, row.change) for row in comparison(result)]
    return "\n".join([
        console.heading(f"{result['data']}, {result['model']}, seed {result['seed']}"),
        *aligned([("", first, second, "change"), *rows], console), "",
        *aligned([LAYER, *layers(result)], console), "",
        *_class_lines(result, console, per_class),
        *(fill(line, indent=2) for line in (*inputs(result), *guards(result), *changes(result), *last_cut(result),
                                            *budgets(result), result["words"]))])


def budgets(result: dict) -> list[str]:
    """Return a line for each budget of what may remain: what was reached, and the most that it may be."""
    return [f"{name}: {row['reached']:,.0f} of at most {row['most']:,.0f}"
            for name, row in result.get("budget", {}).items()]


def _class_lines(result, console, per_class):
    """Return the table of classes: all of them, or those whose recall changed, or no lines."""
    changed = notable(result)
    rows = class_rows(result, None if per_class else changed)
    if not rows:
        return []
    kind = "label" if "hamming_loss" in result["before"] else "class"
    rates = ("precision", "recall") if per_class else ("recall",)
    heads = [f"{name[0].upper()} {when}" for name in rates for when in names(result)]
    cells = [(row.label, row.support, *_before_and_after(row.rates, rates),
              _change_of_recall(row.rates["recall"], interval=not per_class), row.lost, row.gained) for row in rows]
    title = "precision P, recall R and its change, in points:" if per_class else \
        "recall R changed in (interval of 95 % in brackets, in points):"
    return [title, *aligned([(kind, "samples", *heads, "change", "lost", "gained"), *cells], console), ""]


def _before_and_after(rates, chosen):
    """Return the cells of some rates of a class: each before and after."""
    return [value for name in chosen for value in (rates[name].before, rates[name].after)]


def _change_of_recall(rate, interval):
    """Return the cell of the change of recall, with its interval where that is wanted and known."""
    return " ".join(filter(None, (rate.change, f"({rate.change_interval})" * interval)))

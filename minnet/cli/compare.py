"""Compare criteria, sparsities, recipes or any settings over several seeds.

  minnet compare digits                                 magnitude, random and taylor at five sparsities, five seeds
  minnet compare digits --criteria magnitude,obd --sparsities 0.9,0.95 --jobs 2
  minnet compare mine.csv --target kind --recipes gradual,rigl --seeds 10
  minnet compare digits --structure neuron --sparsities 0.3,0.5,0.7
  minnet compare digits --grid lr=0.1,0.05 --grid distribution=global,erk     any other setting of minnet prune
  minnet compare digits --grid lr=0.2,0.1,0.05 --grid epochs=10,30 --draws 4     drawn at random
  minnet compare digits --recipes snip --controls      the controls of Frankle et al. (2021) as well
  minnet compare mnist --scheduler tcp://10.0.0.1:8786  on the workers of a Dask scheduler

Each seed has one dense net, which is trained once and which all pruned nets of this seed begin from. Scores are those
after the last epoch; choices are for the validation part, and the test part is scored once. Tests are paired over seeds
and say first how much differs. Each finished cell is kept in DIR: after Ctrl-C or a crash the same command goes on, and
one with more seeds or criteria runs what is new. Writes sweep.json, cells.csv and sweep.html to DIR.
"""
from argparse import Namespace
from collections.abc import Mapping

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import (
    DATA_OR_MODEL_HELP,
    DEFAULT,
    MODEL_DATA_HELP,
    column_options,
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
from minnet.cli.signals import SIGNALS, Stopped
from minnet.errors import InvalidValue, quoted

CRITERIA = "magnitude,random,taylor"
SEEDS = 5
TABLES = ("models", "criteria", "structures", "distributions", "schedules", "recipes")  # of those of `minnet prune`
RESULT, CELLS_CSV, PAGE = "sweep.json", "cells.csv", "sweep.html"


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("what", nargs="?", metavar="DATA", type=kinds.model_file, help=DATA_OR_MODEL_HELP)
    add("--data", metavar="DATA", help=MODEL_DATA_HELP)
    add("--criteria", type=kinds.choices, action="extend", metavar="NAMES",
        help=f"criteria (default: {CRITERIA}); with options as in taylor:variant=signed, or "
             "FILE:FUNCTION")
    add("--sparsities", type=kinds.fractions, metavar="S,...",
        help="fractions to remove (default: 0.5,0.8,0.9,0.95,0.98)")
    add("--recipes", type=kinds.choices, action="extend", metavar="NAMES",
        help=f"recipes (default: {DEFAULT['recipe']}); with options as in lottery_ticket:rounds=3")
    add("--seeds", type=kinds.integer(1), default=SEEDS, metavar="N",
        help=f"how many seeds, from --seed on (default: {SEEDS})")
    add("--grid", type=kinds.named_values, action="append", metavar="NAME=V,...",
        help="values of another setting, as in lr=0.1,0.05; by its name in Python; may be repeated")
    add("--draws", type=kinds.integer(1), metavar="N", help="N combinations drawn at random, instead of all")
    add("--controls", action="store_true",
        help="the controls of each recipe that has them are added; lottery_ticket, snip, grasp, ...: highest scores "
             "removed, mask shuffled in each layer or random, weights initialised again")
    for name in ("structure", "distribution", "schedule"):
        add(f"--{name}", metavar="NAME", help=named_help(name))
    add("--layers", type=kinds.patterns, action="extend", metavar="NAMES", help="layers to prune (default: all)")
    add("--protect", type=kinds.patterns, action="extend", metavar="NAMES", help="layers not to prune (default: none)")
    add("--jobs", type=kinds.integer(1), metavar="N",
        help="processes (default: one for each CPU); the result does not depend on it")
    add("--scheduler", metavar="ADDRESS", help="run at a Dask scheduler, as in tcp://10.0.0.1:8786")
    training_options(parser, "epochs dense, and again pruning")
    data_options(parser)
    column_options(parser)
    part_options(parser)
    out_option(parser)


def tables() -> dict[str, Mapping]:
    """Return the tables of names that can be given."""
    from minnet.cli.prune import tables as of_prune

    found = of_prune()
    return {name: found[name] for name in TABLES}


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    grid = grid_of(args)
    out = output_folder(args)
    from minnet.report.sweep_page import sweep_page
    from minnet.study.folder import as_json, write_files
    from minnet.study.sweep import sweep

    found = _sweep(args, grid, out, sweep, console)
    result = found.record() | {"command": args.command}
    write_files(out, {RESULT: as_json(result), CELLS_CSV: found.csv(), PAGE: sweep_page(result)})
    console.result(str(found), result)
    console.info(f"wrote {RESULT}, {CELLS_CSV} and {PAGE} to {quoted(str(out))}")


def grid_of(args: Namespace) -> dict[str, object]:
    """Return the grid that the options give: what was given once is the same in all cells."""
    settings = settings_from(args)
    fixed = {name: getattr(settings, name) for name in DEFAULT if getattr(args, name, None) is not None}
    grid = fixed | data_and_model(args) | {"seed": list(range(args.seed, args.seed + args.seeds))}
    more = dict(args.grid or ())
    given = {"recipe": args.recipes, "sparsity": args.sparsities, "criterion": args.criteria}
    for name in more:
        if (grid | given).get(name) is not None:
            raise InvalidValue(f"--grid {name}=... beside another option that gives {name}: give one of them")
    if not (args.criteria or "criterion" in more):
        given["criterion"] = kinds.patterns(CRITERIA)
    grid |= more | {name: values for name, values in given.items() if values is not None}
    from minnet.cli.rule import spelled

    for name in {"criterion", "recipe"} & set(grid):
        grid[name] = [spelled(name, value) for value in grid[name]]
    return grid


def _sweep(args, grid, out, sweep, console):
    """Run the sweep with a progress bar; what is done is kept if it is stopped."""
    state = {"done": 0, "total": 0}
    with console.progress() as bar:
        def show(description, done, total):
            if description == "starting" and done:
                console.info(f"{done} of {total} cells and dense nets are in {quoted(str(out))}: going on from there")
            state.update(done=done, total=total)
            bar(description, done, total)
            SIGNALS.check()

        try:
            return sweep(grid, out, draws=args.draws, jobs=args.jobs, scheduler=args.scheduler,
                         controls=args.controls, rng=args.seed, progress=show)
        except Stopped as stop:
            stop.kept = f"{state['done']} of {state['total']} cells and dense nets are kept in {quoted(str(out))}; " \
                        "the same command goes on"
            raise

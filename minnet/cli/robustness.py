"""Measure the accuracy of a saved model under attacks and corruptions; of a folder of results before and after pruning.

  minnet robustness minnet-out --data digits              dense.safetensors beside model.safetensors
  minnet robustness minnet-out --data mine.npz --attack pgd --epsilon 0.2
  minnet robustness minnet-out --data mnist --attack none --corruption blur

Attacks are of each model itself. Inputs must lie in [0, 1], as --scaling unit makes them. Rows are those that
`evaluate` scores. Writes DIR/robustness.json.
"""
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.evaluate import part_for, rows_of
from minnet.cli.options import DATA_HELP, data_options, out_option, output_folder
from minnet.cli.parser import Parser
from minnet.cli.parts import PARTS
from minnet.errors import quoted

FILE, NONE = "robustness.json", "none"


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("model", metavar="MODEL_FILE", type=kinds.model_file,
                        help="file of a saved model, or a folder with model.safetensors")
    add("--data", metavar="DATA", default="digits", help=f"data set: {DATA_HELP} (default: digits)")
    add("--part", choices=PARTS, help="part of the data (default: all of a file; test of one with a test part)")
    for name, text in (("attack", "attack"), ("corruption", "corruption")):
        add(f"--{name}", action="append", metavar="NAME",
            help=f"{text}, or {NONE}; may be repeated (default: all)")
    add("--epsilon", type=kinds.real, metavar="E", help="how far an attack may move each number (default: 0.1)")
    add("--epsilon-l2", type=kinds.real, metavar="E",
        help="how far an attack in L2 may move a row (default: 1)")
    add("--samples", type=kinds.integer(1), metavar="N", help="rows at most (default: 1000)")
    data_options(parser)
    out_option(parser)


def tables() -> dict[str, Mapping]:
    """Return the tables of names that can be given."""
    from minnet.engine.attacks import ATTACKS
    from minnet.study.corruptions import CORRUPTIONS

    return {"attacks": ATTACKS, "corruptions": CORRUPTIONS}


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    out = output_folder(args)
    from minnet.cli.compiling import announce_compilation
    from minnet.study.folder import as_json, write_files
    from minnet.study.result import plain
    from minnet.study.robustness import beside, robustness

    models, part = _models(args.model), part_for(args)
    name, X, y = rows_of(next(iter(models.values())), part, args, console)
    announce_compilation(console)
    given = {key: getattr(args, key) for key in ("epsilon", "epsilon_l2", "samples") if getattr(args, key) is not None}
    given |= {f"{kind}s": [] if names == [NONE] else names for kind in ("attack", "corruption")
              if (names := getattr(args, kind)) is not None}
    found = {key: robustness(model, (X, y), rng=args.seed, **given) for key, model in models.items()}
    result = plain({"data": name, "part": part, "seed": args.seed}
                   | {key: one.record() for key, one in found.items()})
    write_files(out, {FILE: as_json(result)})
    console.result(beside(found), result)
    console.info(f"measured on {next(iter(found.values())).samples:,} samples")
    console.info(f"wrote {FILE} to {quoted(str(out))}")


def _models(path):
    """Return {"after": the model}, and "before" it the dense model of the same folder of results, if there is one."""
    from minnet.study.folder import DENSE_MODEL, MODEL
    from minnet.study.training import load_model

    dense = Path(path).with_name(DENSE_MODEL)
    if Path(path).name != MODEL or not dense.is_file():
        return {"accuracy": load_model(path)}
    return {"before": load_model(dense), "after": load_model(path)}

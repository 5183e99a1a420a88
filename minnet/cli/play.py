"""Play with a net: draw, or move its inputs, and watch the dense and the pruned net answer in the browser.

  minnet play                           the result in minnet-out; without one trains and prunes digits' net first
  minnet play DIR                       that of `minnet prune ... --out DIR`
  minnet play --criterion obd --criterion wanda    which criteria the page compares, up to five

Writes DIR/play.html, one file without requests, which a browser opens from disk, and report.html with it. Scores at
each sparsity are measured on the test part beforehand. Chains of dense layers, convolutions, pools, BatchNorm and
activations of up to 1,000,000 weights can be played; from 65,537 weights on the page holds 16 bits of each.
"""
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

from minnet.cli.console import Console, is_terminal
from minnet.cli.options import OUT, data_options, reading
from minnet.cli.parser import Parser
from minnet.errors import InvalidValue, quoted

FIRST = ("digits",)  # what `minnet prune` is given where there is no result yet


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("dir", nargs="?", metavar="DIR", help=f"folder written by `minnet prune` (default: {OUT})")
    add("--data", metavar="DATA", help="data set, where it is elsewhere now (default: that of the result)")
    add("--criterion", action="append", metavar="NAME",
        help="criterion to compare, up to five times (default: that of the result, magnitude, gradient, taylor, obd, "
             "random)")
    add("--no-open", action="store_true", help="write the page without opening a browser")
    data_options(parser)


def tables() -> dict[str, Mapping]:
    """Return the tables of names that can be given."""
    from minnet.pruning.criteria import CRITERIA

    return {"criteria": CRITERIA}


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    from minnet.files import check_writable
    from minnet.play.page import description, playground
    from minnet.report.page import page
    from minnet.study.folder import MODEL, PLAY, RESULT, read_result, write_page
    from minnet.study.training import load_model

    folder = Path(OUT if args.dir is None else args.dir)
    if args.dir is None and not (folder / RESULT).exists():
        _prune_digits(folder, console)
    result = read_result(folder)
    check_writable(folder)
    dense = _dense(folder)
    pruned = load_model(folder / MODEL) if (folder / MODEL).exists() else None
    title, words = description(result)
    with console.progress() as bar:
        play = playground(dense, pruned, _data(dense, result, args), criteria=_criteria(args, result), title=title,
                          words=words, seed=result["seed"], bar=bar)
    write_page(folder, page, play)
    path, size = folder / PLAY, len(play.encode())
    console.result(quoted(str(path)), {"play": str(path), "bytes": size})
    console.info(f"{size / 1e6:.2f} MB; open it in any browser")
    if not args.no_open and not console.json and is_terminal(sys.stdout):
        _open(path)


def _prune_digits(folder, console):
    """Do what `minnet prune digits` does."""
    from minnet.cli.commands import load

    console.info(f"no result in {quoted(str(folder))}: training and pruning digits' net first")
    parser, prune = load("prune")
    args = parser.parse_args([*FIRST, "--out", str(folder)])
    args.command = f"minnet prune {' '.join(FIRST)}"
    with redirect_stdout(sys.stderr):  # the result of this command is the page
        prune(args, console)


def _dense(folder):
    """Return the dense net in the folder."""
    from minnet.study.folder import DENSE_MODEL
    from minnet.study.training import load_model

    if not (folder / DENSE_MODEL).exists():
        raise InvalidValue(f"{quoted(str(folder))} has no {DENSE_MODEL}: give a folder written by `minnet prune`")
    return load_model(folder / DENSE_MODEL)


def _data(dense, result, args):
    """Return the data of the result, in the parts that it was pruned with."""
    from minnet.study.settings import READING
    from minnet.study.training import data_for

    settings = result["settings"]
    known = {name: settings[name] for name in READING if settings.get(name) not in (None, []) and name != "scaling"}
    return data_for(dense, args.data or settings["data"], result["seed"], known | reading(args))


def _criteria(args, result):
    """Return the criteria that the page compares: those given, or that of the result and the usual ones."""
    from minnet.errors import check_choice
    from minnet.play.page import CRITERIA, MOST_CRITERIA
    from minnet.pruning.criteria import CRITERIA as ALL
    from minnet.pruning.criteria import traits_of

    for name in args.criterion or ():
        if traits_of(check_choice("criterion", name, ALL)).needs == "initial":
            raise InvalidValue(f"--criterion {name} needs the initial weights, which a folder of results has not: "
                               "leave it out")
    if args.criterion:
        return tuple(args.criterion)
    own = result.get("criterion")
    first = (own,) if own in ALL and own not in CRITERIA and traits_of(ALL[own]).needs != "initial" else ()
    return (*first, *CRITERIA)[:MOST_CRITERIA]


def _open(path):
    """Open the page in the user's browser, if there is one."""
    import webbrowser

    webbrowser.open(path.resolve().as_uri())

"""The command line: `minnet COMMAND ...`, each command in a file of its own.

    main(["prune", "digits", "--sparsity", "0.95"])     # the exit code: 0, 1, 2, 130, 143

A command is a module with `options(parser)`, which adds its options, and `run(args, console)`, which executes it and
returns the exit code; one row in `COMMANDS` (commands.py) adds it. NumPy and Numba are loaded by `run`, never before.
"""
import os
import re
import sys
from collections.abc import Sequence

from minnet.cli.commands import COMMANDS, load
from minnet.cli.console import Console, print_error, warnings_as_lines
from minnet.cli.options import remove_empty_dirs
from minnet.cli.parser import Parser, Usage, overview
from minnet.cli.signals import SIGNALS, Stopped, handle_signals
from minnet.errors import Diverged, InvalidType, InvalidValue, MinnetError, MissingExtra, quoted, unknown
from minnet.study.guard import GuardMissed

DONE, FAILED, USAGE = 0, 1, 2
IN_PYTHON = re.compile(r" \(in Python [^()]*\)")
ARGUMENT = re.compile(r"(^|and |or |with )([a-z_]+)=(?=\S)")  # and its value
BROKEN_PIPE = 128 + 13  # as if SIGPIPE had ended the process: the reader of standard output has closed it


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the process's arguments) names and return the exit code.

    Every error is reported in one line on standard error. 0: done; 1: the command ran and failed; 2: bad arguments or
    bad input; 130 and 143: interrupted and terminated.
    """
    with handle_signals():
        try:
            code = _run_with_signals(sys.argv[1:] if argv is None else list(argv))
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
        except BrokenPipeError:
            return _close_pipe()
        except Stopped as stop:
            return _fail(stop.text, stop.code)
        except (Diverged, GuardMissed) as error:
            return _fail(error, FAILED)
        except (Usage, MinnetError) as error:
            return _fail(error, USAGE)
        except MemoryError:
            return _fail("out of memory: use a smaller model, fewer rows or, in training, smaller batches", FAILED)
        except OSError as error:  # minnet's own files raise FileError: mostly standard output on a full disk
            return _fail(f"cannot write: {error.strerror or error}: free some disk space, or write elsewhere", FAILED)


def _run_with_signals(argv: list[str]) -> int:
    """Call `_run`; an error that replaced Stopped on its way becomes Stopped again.

    A C extension that is interrupted during its import raises such an error. Errors of minnet itself are kept as they
    are, except MissingExtra.
    """
    try:
        return _run(argv)
    except Exception as error:
        ours = isinstance(error, MinnetError | BrokenPipeError) and not isinstance(error, MissingExtra)
        if SIGNALS.number is None or ours:
            raise
        raise Stopped(SIGNALS.number) from error


def _run(argv: list[str]) -> int:
    """Find the command, parse its options and execute it."""
    if not argv:
        raise Usage("no command given: try `minnet prune digits`, or `minnet --help`")
    name, *rest = argv
    if name in ("-h", "--help", "-V", "--version"):
        return _about(name)
    if name.startswith("-"):
        raise Usage(f"{quoted(name)} before the command: give options after it, as in `minnet prune digits --seed 1`")
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    parser, run = load(name)
    args = parser.parse_args(rest)
    if args.help:
        print(parser.format_help(args.topic), end="")
        return DONE
    if args.print_config:
        from minnet.cli.config import as_toml

        print(as_toml(parser, args.given), end="")
        return DONE
    console = Console(json=args.json, quiet=args.quiet)
    try:
        with warnings_as_lines(console):
            return run(args, console) or DONE
    except (InvalidValue, InvalidType) as error:
        raise Usage(_by_option(str(error), parser)) from error
    finally:
        remove_empty_dirs(args)


def _by_option(message: str, parser: Parser) -> str:
    """Return a message that names arguments in Python, as `keep=9; wanted ...`, with the command's options."""
    def option(found: re.Match) -> str:
        name = "--" + found[2].replace("_", "-")
        return f"{found[1]}{name} " if name in parser.named else found[0]

    return ARGUMENT.sub(option, message)


def _about(name: str) -> int:
    """Print the version or the list of commands."""
    if name in ("-V", "--version"):
        from minnet import __version__

        print(f"minnet {__version__}")
    else:
        print(overview(COMMANDS), end="")
    return DONE


def _fail(message: object, code: int) -> int:
    """Print the message in one line on standard error and return the exit code.

    What it says of arguments in Python is left out: the options are named before it.
    """
    print_error("minnet: " + IN_PYTHON.sub("", " ".join(str(message).split())))
    return code


def _close_pipe() -> int:
    """Redirect standard output to the null device: its reader has closed it, and flushing it at exit would fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE

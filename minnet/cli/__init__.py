"""The command line: `minnet COMMAND ...`, each command in a file of its own.

    main(["prune", "digits", "--sparsity", "0.95"])     # the exit code: 0, 1, 2, 130, 143

A command is a module with `options(parser)`, which adds what it takes, and `run(args, talk)`, which does it and returns
the exit code; one row in `COMMANDS` (commands.py) adds it. NumPy and Numba are loaded by `run`, never before.
"""
import os
import sys

from minnet.cli.commands import COMMANDS, load
from minnet.cli.options import tidy
from minnet.cli.parser import Usage, overview
from minnet.cli.signals import LISTENER, Stopped, listening
from minnet.cli.talk import Talk, to_standard_error
from minnet.errors import Diverged, MinnetError, MissingExtra, quoted, unknown
from minnet.study.guard import GuardMissed

DONE, FAILED, USAGE = 0, 1, 2
BROKEN_PIPE = 128 + 13  # as if ended by SIGPIPE: who read our output has left


def main(argv=None):
    """Run the command that `argv` (the process's arguments by default) names; returns the exit code.

    Whatever goes wrong is told in one line on standard error. 0: done; 1: it ran and failed; 2: bad arguments or bad
    input; 130 and 143: interrupted and terminated.
    """
    with listening():
        try:
            code = _heard(sys.argv[1:] if argv is None else list(argv))
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
        except BrokenPipeError:
            return _reader_left()
        except Stopped as stop:
            return _tell(stop.text, stop.code)
        except (Diverged, GuardMissed) as error:
            return _tell(error, FAILED)
        except (Usage, MinnetError) as error:
            return _tell(error, USAGE)
        except MemoryError:
            return _tell("out of memory: take a smaller model, fewer rows, or smaller batches in training", FAILED)
        except OSError as error:  # minnet's own files raise FileError: mostly a full standard output
            return _tell(f"cannot write: {error.strerror or error}: free some space, or use another place", FAILED)


def _heard(argv):
    """`_run`; where a signal came and went on as another error (that of a C extension, which was interrupted while it
    was imported), it is Stopped again. Errors of our own that say where something is stay, but for MissingExtra."""
    try:
        return _run(argv)
    except Exception as error:
        ours = isinstance(error, MinnetError | BrokenPipeError) and not isinstance(error, MissingExtra)
        if LISTENER.number is None or ours:
            raise
        raise Stopped(LISTENER.number) from error


def _run(argv):
    """Find the command, read its options, do it."""
    if not argv:
        raise Usage("no command given: try `minnet prune digits`, or `minnet --help`")
    name, *rest = argv
    if name in ("-h", "--help", "-V", "--version"):
        return _about(name)
    if name.startswith("-"):
        raise Usage(f"{quoted(name)} before the command: options go after it, as in `minnet prune digits --seed 1`")
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    parser, run = load(name)
    args = parser.parse_args(rest)
    if args.help:
        print(parser.format_help(), end="")
        return DONE
    try:
        return run(args, Talk(json=args.json, quiet=args.quiet)) or DONE
    finally:
        tidy(args)


def _about(name):
    if name in ("-V", "--version"):
        from minnet import __version__

        print(f"minnet {__version__}")
    else:
        print(overview(COMMANDS), end="")
    return DONE


def _tell(what, code):
    """One line on standard error."""
    to_standard_error("minnet: " + " ".join(str(what).split()))
    return code


def _reader_left():
    """Nobody reads standard output any more: point it elsewhere, so that the interpreter ends without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE

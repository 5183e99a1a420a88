"""Print a script that completes minnet's commands, options and names, for bash, zsh or fish.

  source <(minnet completion bash)                       in ~/.bashrc
  source <(minnet completion zsh)                        in ~/.zshrc
  minnet completion fish | source                        in config.fish

Options that take a name, such as --criterion, are completed by the tables of this installation; others by file
names.
"""
import shlex
from argparse import Namespace
from collections.abc import Mapping

from minnet.cli.commands import COMMANDS, load
from minnet.cli.console import Console
from minnet.cli.help import clause
from minnet.cli.parser import Parser

TABLES = {"criterion": "criteria", "structure": "structures", "distribution": "distributions", "schedule": "schedules",
          "recipe": "recipes", "compensate": "compensations", "penalty": "penalties", "optimizer": "optimizers",
          "model": "models", "criteria": "criteria", "recipes": "recipes"}  # of an option's names

BASH = """_minnet() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} names=
    if [ "$COMP_CWORD" -eq 1 ]; then names={commands}
    else
        case "$command $before" in
{values}
        esac
        if [ -z "$names" ]; then case "$command" in
{options}
        esac; fi
        case "$word" in -*) ;; *) [ "${{names#--}}" != "$names" ] && names= ;; esac
    fi
    COMPREPLY=($(compgen -W "$names" -- "$word"))
    [ -n "$names" ] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _minnet minnet
"""
ZSH = "autoload -Uz compinit bashcompinit && compinit -u && bashcompinit\n"  # zsh then knows bash's `complete`


def options(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("shell", metavar="SHELL", choices=tuple(SCRIPTS), help="bash, zsh or fish")


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    script = SCRIPTS[args.shell]()
    console.result(script.rstrip("\n"), {"shell": args.shell, "script": script})


def bash() -> str:
    """Return the script for bash."""
    parsers = {name: load(name)[0] for name in COMMANDS}
    values = [f"        {shlex.quote(f'{name} {option}')}) names={shlex.quote(' '.join(words))} ;;"
              for name, parser in parsers.items() for option, words in values_of(parser).items()]
    lists = [f"        {name}) names={shlex.quote(' '.join(parser.named))} ;;" for name, parser in parsers.items()]
    return BASH.format(commands=shlex.quote(" ".join(COMMANDS)), values="\n".join(values), options="\n".join(lists))


def zsh() -> str:
    """Return the script for zsh, which runs that for bash."""
    return ZSH + bash()


def fish() -> str:
    """Return the script for fish, with the first clause of each option's help."""
    lines = [f"complete -c minnet -n __fish_use_subcommand -a {name} -d {quoted(row.help)}"
             for name, row in COMMANDS.items()]
    for name in COMMANDS:
        parser = load(name)[0]
        values = values_of(parser)
        for option, action in parser.named.items():
            words = f" -x -a {quoted(' '.join(values[option]))}" if option in values else ""
            takes = " -r" if action.nargs != 0 and not words and option != "--help" else ""
            when = f"-n '__fish_seen_subcommand_from {name}'"
            lines.append(f"complete -c minnet {when} -l {option[2:]}{takes}{words} -d {quoted(clause(action))}")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Return the text in single quotes, as fish reads them."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def values_of(parser: Parser) -> Mapping[str, list[str]]:
    """Return the names that options take, by option: choices, or those of a table."""
    from minnet.cli.listing import tables

    found, known = {}, tables()
    for option, action in parser.named.items():
        if action.choices:
            found[option] = [str(choice) for choice in action.choices]
        elif option[2:] in TABLES:
            found[option] = list(known[TABLES[option[2:]]])
    return found


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}

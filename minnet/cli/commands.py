"""The table of commands, and the function that loads one."""
import importlib
from collections.abc import Callable
from dataclasses import dataclass

from minnet.cli.parser import Parser


@dataclass(frozen=True)
class Command:
    """A row: the module with `options(parser)` and `run(args, console)`, and one line for `minnet --help`."""

    module: str
    help: str


def load(name: str) -> tuple[Parser, Callable]:
    """Return the parser and the `run` function of the command `name`."""
    row = COMMANDS[name]
    module = importlib.import_module(row.module)
    parser = Parser(name, module.__doc__, getattr(module, "tables", None))
    module.options(parser)
    return parser, module.run


COMMANDS = {
    "prune": Command("minnet.cli.prune", "train, prune, compact, measure and report: the main command"),
    "compare": Command("minnet.cli.compare", "compare criteria, sparsities, recipes over seeds; may be stopped"),
    "train": Command("minnet.cli.train", "train a model and save it"),
    "evaluate": Command("minnet.cli.evaluate", "score a saved model on data"),
    "predict": Command("minnet.cli.predict", "predict the class of every sample, one per line"),
    "import": Command("minnet.cli.importing", "import a model or weights from another framework"),
    "export": Command("minnet.cli.export", "export a model as ONNX, C source or PyTorch weights"),
    "fit": Command("minnet.cli.fit", "say whether a model fits a microcontroller: flash, RAM, time"),
    "inspect": Command("minnet.cli.inspect", "show the contents of a model or data file"),
    "sensitivity": Command("minnet.cli.sensitivity", "measure the loss of accuracy when each layer alone is pruned"),
    "robustness": Command("minnet.cli.robustness", "measure accuracy under attacks and corruptions"),
    "list": Command("minnet.cli.listing", "list what can be given by name, or explain one name"),
    "completion": Command("minnet.cli.completion", "complete commands, options and names in bash, zsh or fish"),
    "bench": Command("minnet.cli.bench", "time dense and pruned models here, and other libraries"),
    "report": Command("minnet.cli.report", "write the HTML report of a result again"),
    "play": Command("minnet.cli.play", "draw in the browser, and the dense and the pruned net answer"),
}

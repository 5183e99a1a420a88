"""The table of commands, and how one is loaded."""
import importlib
from dataclasses import dataclass

from minnet.cli.parser import Parser


@dataclass(frozen=True)
class Command:
    """A row: the module with `options(parser)` and `run(args, talk)`, and one line for `minnet --help`."""

    module: str
    help: str


def load(name):
    """(parser, run) of the command `name`."""
    row = COMMANDS[name]
    module = importlib.import_module(row.module)
    parser = Parser(name, module.__doc__, getattr(module, "tables", None))
    module.options(parser)
    return parser, module.run


COMMANDS = {
    "prune": Command("minnet.cli.prune", "train, prune, shrink, measure and report: the main job"),
    "train": Command("minnet.cli.train", "train a model and save it"),
    "evaluate": Command("minnet.cli.evaluate", "score a saved model on data"),
    "predict": Command("minnet.cli.predict", "the class of every sample, one a line"),
    "import": Command("minnet.cli.importing", "take over a model or weights from another framework"),
    "export": Command("minnet.cli.export", "hand a model on: ONNX, C source, or weights for PyTorch"),
    "inspect": Command("minnet.cli.inspect", "what a model or data file holds"),
    "sensitivity": Command("minnet.cli.sensitivity", "what it costs to prune each layer alone"),
    "bench": Command("minnet.cli.bench", "this machine: dense against sparse"),
    "report": Command("minnet.cli.report", "write the HTML report of a result again"),
}

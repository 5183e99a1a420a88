"""Say whether a model fits a microcontroller: flash, RAM and time, chip by chip, as C of float32, int8 or integers.

  minnet fit minnet-out/model.safetensors
  minnet fit minnet-out/model.safetensors --chip stm32f0,rp2040

Constants and memory are those of `minnet export --to c`; code is estimated, and time within a factor of two. TIGHT is
above three quarters of the chip's flash or RAM. `float32`: weights and arithmetic in floats; `int8`: weights in 8 bits,
arithmetic in floats; `integers`: no floats (--arithmetic int8).
"""
from argparse import Namespace

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.parser import Parser
from minnet.cli.tables import aligned


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("what", metavar="MODEL_FILE", type=kinds.model_file,
                        help="file of a saved model, or an ONNX model")
    add("--chip", metavar="NAMES", type=kinds.patterns, help="chips, separated by commas (default: all that are known)")
    add("--form", metavar="NAMES", type=kinds.patterns, help="of float32, int8, integers (default: all three)")


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    from minnet.formats.c_fit import fit
    from minnet.study.training import load_model

    rows = fit(load_model(args.what), args.chip, args.form)
    head = ("chip", "form", "flash", "of", "RAM", "of", "multiply-adds", "time", "")
    cells = [(row.chip.name, row.form, f"{row.flash / 1000:,.1f} kB", f"{row.chip.flash / 1000:,.0f} kB",
              f"{row.ram / 1000:,.1f} kB", f"{row.chip.ram / 1000:,.0f} kB", f"{row.products:,}",
              duration(row.milliseconds), row.verdict) for row in rows]
    console.result("\n".join(aligned([head, *cells], console)), {"fits": [
        {"chip": row.chip.name, "part": row.chip.part, "source": row.chip.source, "form": row.form, "flash": row.flash,
         "chip_flash": row.chip.flash, "ram": row.ram, "chip_ram": row.chip.ram, "macs": row.products,
         "milliseconds": row.milliseconds, "verdict": row.verdict} for row in rows]})


def duration(milliseconds: float) -> str:
    """Return a time of which two digits are worth something."""
    return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.2g} ms"

"""Time a dense model and the same model pruned on this machine, both frozen, beside other installed libraries.

  minnet bench                                          lenet_300_100 on 28 x 28 images, 80% to 98% pruned
  minnet bench --model lenet_5 --sparsity 0.9 --sparsity 0.99

The models are not trained: latency depends on the mask, not on the values. ONNX Runtime, PyTorch and scikit-learn run
the same models on the same rows, with one thread or all, whichever is faster: pip install "minnet-lab[peers]".
"""
from argparse import Namespace
from collections.abc import Mapping

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.parser import Parser
from minnet.cli.tables import aligned

IMAGE, CLASSES = (28, 28, 1), 10
SPARSITIES = [0.8, 0.9, 0.95, 0.98]


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    add("--model", metavar="NAME", default="lenet_300_100",
        help="architecture of the network (default: lenet_300_100)")
    add("--sparsity", type=kinds.fraction, action="append", metavar="S",
        help="fraction of the weights to remove; may be repeated (default: 0.8 0.9 0.95 0.98)")


def tables() -> dict[str, Mapping]:
    """Return the tables of names that can be given."""
    from minnet.models import MODELS

    return {"models": MODELS}


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    from minnet.cli.compiling import announce_compilation
    from minnet.errors import check_choice
    from minnet.models import MODELS
    from minnet.study.speed import machine_speed

    make = check_choice("model", args.model, MODELS)
    announce_compilation(console)
    result = machine_speed(make(IMAGE, CLASSES, rng=args.seed), args.sparsity or SPARSITIES, rng=args.seed)
    shape = " x ".join(map(str, IMAGE))
    head = console.heading(f"{args.model}, images {shape}, {CLASSES} classes, {result['threads']} threads")
    absent = f"not installed, or not able to run this model: {', '.join(result['absent'])}" if result["absent"] else ""
    lines = [head, *aligned(_nets(result["nets"]), console), "", *aligned(_peers(result["nets"]), console), absent]
    console.result("\n".join(lines).rstrip(), result | {"model": args.model, "seed": args.seed})


def _nets(nets):
    """Return rows of minnet's own times and their speedups over the dense model."""
    rows, dense = [("model", "one sample (us)", "speedup", "samples/s", "speedup")], nets[0]
    for net in nets:
        rows.append((net["name"], f"{net['latency_us']:,.1f}", f"{dense['latency_us'] / net['latency_us']:.2f}x",
                     f"{net['throughput_per_s']:,.0f}", f"{net['throughput_per_s'] / dense['throughput_per_s']:.2f}x"))
    return rows


def _peers(nets):
    """Return rows of the times of each peer and minnet's speedup over it."""
    rows = [("library, model", "threads", "one sample (us)", "minnet's speedup", "samples/s", "minnet's speedup")]
    for net in nets:
        rows += [(f"{row['peer']}, {net['name']}", "/".join(map(str, row["threads"])), f"{row['latency_us']:,.1f}",
                  f"{row['times_as_fast']:.2f}x", f"{row['throughput_per_s']:,.0f}",
                  f"{row['times_the_throughput']:.2f}x") for row in net["peers"]]
    return rows

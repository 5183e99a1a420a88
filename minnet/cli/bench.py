"""This machine: a dense net against the same net pruned, both frozen, and both against what else is installed.

  minnet bench                                          lenet_300_100 on 28 x 28 images, 80 to 98 % pruned
  minnet bench --model lenet_5 --sparsity 0.9 --sparsity 0.99

The nets are not trained: time depends on what remains, not on what it means. ONNX Runtime, PyTorch and scikit-learn run
the same nets on the same rows, each with one thread or all, whichever is faster: pip install "minnet-lab[peers]".
"""
from minnet.cli import parser as kinds
from minnet.cli.tables import aligned

IMAGE, CLASSES = (28, 28, 1), 10
SPARSITIES = [0.8, 0.9, 0.95, 0.98]


def options(parser):
    """What it takes."""
    add = parser.options.add_argument
    add("--model", metavar="NAME", default="lenet_300_100", help="(lenet_300_100)")
    add("--sparsity", type=kinds.fraction, action="append", metavar="S",
        help="may be repeated (0.8 0.9 0.95 0.98)")


def tables():
    """The names that may be given."""
    from minnet.models import MODELS

    return {"models": MODELS}


def run(args, talk):
    """Do it; returns the exit code."""
    from minnet.cli.compiling import tell_compiling
    from minnet.errors import check_choice
    from minnet.models import MODELS
    from minnet.study.speed import machine_speed

    make = check_choice("model", args.model, MODELS)
    tell_compiling(talk)
    result = machine_speed(make(IMAGE, CLASSES, rng=args.seed), args.sparsity or SPARSITIES, rng=args.seed)
    shape = " x ".join(map(str, IMAGE))
    head = talk.heading(f"{args.model}, images {shape}, {CLASSES} classes, {result['threads']} threads")
    absent = f"not installed, or not for this net: {', '.join(result['absent'])}" if result["absent"] else ""
    lines = [head, *aligned(_nets(result["nets"]), talk), "", *aligned(_peers(result["nets"]), talk), absent]
    talk.result("\n".join(lines).rstrip(), result | {"model": args.model, "seed": args.seed})


def _nets(nets):
    """minnet's own times, and how many times as fast as dense."""
    rows, dense = [("net", "one sample (us)", "times as fast", "samples/s", "times as fast")], nets[0]
    for net in nets:
        rows.append((net["name"], f"{net['latency_us']:,.1f}", f"{dense['latency_us'] / net['latency_us']:.2f}x",
                     f"{net['throughput_per_s']:,.0f}", f"{net['throughput_per_s'] / dense['throughput_per_s']:.2f}x"))
    return rows


def _peers(nets):
    """The times of each peer, and how many times as fast as it minnet is."""
    rows = [("the same net in", "threads", "one sample (us)", "minnet", "samples/s", "minnet")]
    for net in nets:
        rows += [(f"{row['peer']}, {net['name']}", "/".join(map(str, row["threads"])), f"{row['latency_us']:,.1f}",
                  f"{row['times_as_fast']:.2f}x", f"{row['throughput_per_s']:,.0f}",
                  f"{row['times_the_throughput']:.2f}x") for row in net["peers"]]
    return rows

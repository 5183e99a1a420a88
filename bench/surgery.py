"""What structured pruning wins: nets before and after half their multiply-adds are cut, and VGG16 beside ONNX Runtime.

Filters go by magnitude with `macs=0.5`, of LeNet-5 also with `latency=0.6` by a table of times measured before; the net
is compacted and frozen. Throughput is that of 64 images a call, the same rows and threads for both. VGG16 is
32 x 32 x 3, with its ImageNet weights where MINNET_DATA has them. Where the multiply-adds went is printed by layer, and
what memory VGG16 takes is that of a process of its own.
"""
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from bench.measure import compare, duration, plural, seconds, thread_counts, turns, using

BATCH = 64
ROUNDS, QUICK_ROUNDS = 15, 3
AGREE = 1e-4      # of the largest logit
MEMORY = 1.5e9    # bytes that VGG16 may take
SQUARE = 1024     # rows of the matrices whose product shows how fast BLAS is
CHILD = """
from bench.measure import memory
from bench.surgery import images, vgg
import minnet as mn
model = vgg()
{run}(images(model))
print(memory())
"""
RUNS = {"frozen": "mn.freeze(model, 64)", "model(X)": "model"}


# --- nets and rows ---------------------------------------------------------------------------------------------------


def vgg():
    """VGG16 on 32 x 32 x 3 with ten classes."""
    import minnet as mn

    weights = Path(os.environ.get("MINNET_DATA", "")) / "vgg16" / "vgg16_notop.h5"
    return mn.models.vgg16((32, 32, 3), 10, weights=weights if weights.is_file() else None, rng=0)


def lenet():
    """Caffe's LeNet on 28 x 28 x 1."""
    import minnet as mn

    return mn.models.lenet_5((28, 28, 1), 10, rng=0)


def images(model):
    """Random ones."""
    return np.random.default_rng(0).normal(size=(BATCH, *model.input_shape)).astype(np.float32)


def pruned(model, **budget):
    """`model` cut to a budget, by filters' magnitude, compacted."""
    import minnet as mn

    small = model.clone()
    mn.prune(small, structure="filter", **budget)
    return mn.compact(small)


def onnx_session(model, threads):
    """A function of channels-last images that runs `model` by ONNX Runtime, all graph optimisations on."""
    import onnxruntime

    from minnet.formats.onnx_write import save_onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save_onnx(model, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    last = shape[-1] == model.input_shape[-1]
    return lambda X: session.run(None, {name: X if last else np.ascontiguousarray(X.transpose(0, 3, 1, 2))})[0]


# --- what is said beside the times -----------------------------------------------------------------------------------


def blas_speed():
    """Floating-point operations a second of one thread in a large product."""
    from minnet.blas import one_blas_thread

    a = np.random.default_rng(0).random((SQUARE, SQUARE), np.float32)
    product = partial(np.dot, a, a, out=np.empty_like(a))
    with one_blas_thread():
        return 2 * SQUARE**3 / statistics.median(seconds(product) for _ in range(ROUNDS))


def work_of(model, threads):
    """What a call has to do, and how long it would take at the speed of large products."""
    flops = 2 * BATCH * model.macs
    return f"{flops / 1e9:.2f} GFLOP: {duration(flops / blas_speed() / threads)} at BLAS's speed"


def by_layer(title, whole, small):
    """Where the multiply-adds went, as a Markdown table."""
    before, after = whole.summary().rows, {row.name: row for row in small.summary().rows}
    lines = [f"\n{title}: multiply-adds of one image, by layer\n", "| layer | units | left | multiply-adds | left | |",
             "|---" * 6 + "|"]
    for row in before:
        left = after[row.name]
        lines.append(f"| {row.name} | {row.shape[-1]} | {left.shape[-1]} | {row.macs:,} | {left.macs:,} | "
                     f"{left.macs / row.macs:.0%} |")
    return "\n".join([*lines, f"| all | | | {whole.macs:,} | {small.macs:,} | {small.macs / whole.macs:.0%} |"])


def memory():
    """The most memory that a process which loads VGG16 and runs it once ever held: a line for each way to run it."""
    lines = []
    for name, run in RUNS.items():
        command = [sys.executable, "-c", CHILD.format(run=run)]
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        peak = int(child.stdout)
        verdict = "reached" if peak <= MEMORY else "missed"
        lines.append(f"VGG16, {BATCH} images, {name}: at most {peak / 1e9:.2f} GB of memory, "
                     f"wanted <= {MEMORY / 1e9:g} GB: {verdict}")
    return "\n".join(lines)


# --- the measurements ------------------------------------------------------------------------------------------------


def measure(quick=False):
    """Results of both nets, with one thread and with all."""
    results, rounds = [], QUICK_ROUNDS if quick else ROUNDS
    print(f"\n{memory()}", flush=True)
    for threads in thread_counts():
        with using(threads):
            results += [*measure_vgg(threads, rounds), *measure_lenet(threads, rounds)]
    return results


def measure_vgg(threads, rounds):
    """Frozen, and as it is, against ONNX Runtime; and cut in half against whole."""
    import minnet as mn

    model = vgg()
    small = pruned(model, macs=0.5)
    if threads == 1:
        print(by_layer("VGG16, macs=0.5", model, small), flush=True)
    peer, work = onnx_session(model, threads), f"VGG16, {BATCH} images, {plural(threads)}"
    times = timed({"whole": mn.freeze(model, BATCH), "half": mn.freeze(small, BATCH), "model": model, "onnx": peer},
                  images(model), rounds)
    limit = work_of(model, threads)
    return [compare(work, "ONNX Runtime", times["whole"], times["onnx"], 0.8, limit),
            compare(f"{work}, model(X)", "ONNX Runtime", times["model"], times["onnx"], None, limit),
            halved(work, model, small, times["half"], times["whole"], 1.5)]


def measure_lenet(threads, rounds):
    """Cut to half the multiply-adds, and to 0.6 of the time, against whole."""
    import minnet as mn

    model = lenet()
    X, work = images(model), f"LeNet-5, {BATCH} images, {plural(threads)}"
    clock = mn.latency_table(model, X, batch_size=BATCH)
    half, fast = pruned(model, macs=0.5), pruned(model, latency=0.6, clock=clock)
    if threads == 1:
        print(by_layer("LeNet-5, macs=0.5", model, half), by_layer("LeNet-5, latency=0.6", model, fast), flush=True,
              sep="\n")
    contestants = {"whole": mn.freeze(model, BATCH), "half": mn.freeze(half, BATCH), "fast": mn.freeze(fast, BATCH)}
    times = timed(contestants, X, rounds * BATCH)
    return [halved(work, model, half, times["half"], times["whole"], 1.3),
            halved(work, model, fast, times["fast"], times["whole"], 1.6, " by latency=0.6")]


def timed(contestants, X, rounds):
    """Times of calls with X in turns; where ONNX Runtime is among them it has to agree, and all rest between turns."""
    wanted = contestants["whole"](X)
    if "onnx" in contestants and not np.abs(contestants["onnx"](X) - wanted).max() <= AGREE * np.abs(wanted).max():
        raise SystemExit("ONNX Runtime computes something else: nothing is timed")
    return turns({name: partial(call, X) for name, call in contestants.items()}, rounds, warmup=2,
                 rest="onnx" in contestants)


def halved(work, whole, small, ours, theirs, target, how=""):
    """The Result of a net that was cut, against the whole one."""
    share = small.macs / whole.macs
    return compare(f"{work}, {share:.0%} of the multiply-adds{how}", "the whole net", ours, theirs, target,
                   f"{1 / share:.1f}x")

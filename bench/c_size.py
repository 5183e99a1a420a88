"""Sizes of exported C: `python -m bench c_size` trains two LeNets on MNIST, prunes, compacts and exports them.

    python -m bench c_size                # prints a table, writes bench/results/c_size.json
    python -m bench c_size --quick        # a small net on digits: to see that it runs

LeNet-300-100 loses 98 % of its weights in five steps, LeNet-5 95 % in four, each step with epochs of training. Bytes
are those of the object by `size -A` at -O2: .rodata of the host's compiler, .text of a Cortex-M0 and M4 where there is
a compiler for them. RAM is work, input and output; the stack is what `-fstack-usage` adds up for all functions. Errors
are those of the compiled C on the test part. Instructions are counted for one image, the whole program but for its
start, by qemu-arm, where it is installed, and where there are not too many. Beside them: the same net with its zeros
stored, and emlearn's C.
"""
import ctypes
import json
import math
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

import minnet as mn
from minnet.files import check_writable, write_whole
from minnet.formats import c_weights
from minnet.formats.c_fit import needed

RESULTS = Path(__file__).parent / "results"
STEPS = {"lenet_300_100": ((0, 0.1, 6), (0.6, 0.05, 2), (0.8, 0.05, 2), (0.9, 0.05, 2), (0.95, 0.05, 2),
                           (0.98, 0.05, 6)),
         "lenet_5": ((0, 0.05, 4), (0.6, 0.025, 2), (0.8, 0.025, 2), (0.9, 0.025, 2), (0.95, 0.025, 4))}
INTEGERS = {"precision": "int8", "arithmetic": "int8"}
VARIANTS = {"float32": {}, "int8, a scale a unit": {"precision": "int8"},
            "int8, a scale a layer": {"precision": "int8", "scales": "layer"},
            "integers, a scale a unit": INTEGERS, "integers, a scale a layer": {**INTEGERS, "scales": "layer"},
            "float32, zeros stored": {}}
CORES = {"M0": ["-mcpu=cortex-m0", "-mthumb"],
         "M4": ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]}
SOFT, HARD = 170, 10          # instructions for a product of floats in software, and for others
MOST_INSTRUCTIONS = 25e6      # that are counted: each is a line of the emulator's log
ARM, QEMU = "arm-none-eabi-gcc", "qemu-arm"
START = """int main(void);
void _start(void);
void _start(void)
{
    register int code __asm__("r0") = main();
    register int exit __asm__("r7") = 1;
    __asm__ volatile("svc 0" : : "r"(code), "r"(exit));
}
"""


def trained(name, data, seed, steps):
    """A net that was pruned in steps of (sparsity, learning rate, epochs), compacted."""
    model = mn.models.MODELS[name](data.shape, data.n_classes, rng=seed)
    for sparsity, lr, epochs in steps:
        if sparsity:
            mn.prune(model, sparsity)
        optimizer = mn.SGD(lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
        for _ in mn.train(model, data, optimizer=optimizer, epochs=epochs, batch_size=100, lr_schedule="cosine",
                          rng=seed):
            pass
    return mn.compact(model)


def run(*command, folder):
    """What a program prints."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def sections(folder, compiler, size, *options):
    """{section: bytes} of net.c's object: text, and rodata with its parts."""
    run(compiler, "-std=c99", "-O2", *options, "-c", "net.c", "-o", "net.o", folder=folder)
    found = re.findall(r"^\.(text|rodata)\S*\s+(\d+)", run(size, "-A", "net.o", folder=folder), re.MULTILINE)
    return {name: sum(int(n) for section, n in found if section == name) for name in ("text", "rodata")}


def instructions(folder, core, expected):
    """Instructions for one test vector on an emulated core; None without an emulator, or where there are too many."""
    if shutil.which(ARM) is None or shutil.which(QEMU) is None or expected > MOST_INSTRUCTIONS:
        return None
    (folder / "start.c").write_text(START)
    run(ARM, "-std=c99", "-O2", *CORES[core], "-nostdlib", "net.c", "net_main.c", "start.c", "-lc", "-lgcc", "-o",
        "arm", folder=folder)
    with subprocess.Popen([QEMU, "-singlestep", "-d", "nochain,exec", "./arm"], cwd=folder,
                          stderr=subprocess.PIPE) as process:
        return sum(line.startswith(b"Trace") for line in process.stderr)


def error_of(folder, model, X, y, integers):
    """Percent of the rows whose class is missed, and the bytes of RAM and stack."""
    run("cc", "-std=c99", "-O2", "-fstack-usage", "-shared", "-fPIC", "net.c", "-o", "net.so", "-lm", folder=folder)
    usage = next(folder.glob("*.su")).read_text()
    library = ctypes.CDLL(str(folder / "net.so"))
    words = int(re.search(r"_WORK (\d+)", (folder / "net.h").read_text())[1])
    work, row = np.zeros(words, np.int32), np.zeros(math.prod(model.input_shape), np.int8)
    def pointer(array):
        return array.ctypes.data_as(ctypes.c_void_p)
    missed = 0
    for x, wanted in zip(X.astype(np.float32), y, strict=True):
        x = np.ascontiguousarray(x)
        if integers:
            library.minnet_quantise(pointer(x), pointer(row))
        missed += library.minnet_class(pointer(row if integers else x), pointer(work)) != wanted
    ram = 4 * words + (1 if integers else 4) * row.size + 4 * math.prod(model.output_shape)
    return 100 * missed / len(y), ram, sum(int(n) for n in re.findall(r"\t(\d+)\t", usage))


def measured(name, model, data, rows=None):
    """One dict a variant of a net."""
    results = []
    for variant, choices in VARIANTS.items():
        stored = variant.endswith("zeros stored")
        sparse = dict.fromkeys(c_weights.SPARSE, 0) if stored else c_weights.SPARSE
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(c_weights, "SPARSE", sparse):
            folder = Path(folder)
            mn.save_c(model, folder / "net.c", calibration=data.X_train[:1000], vectors=1, **choices)
            error, ram, stack = error_of(folder, model, data.X_test[:rows], data.y_test[:rows], "arithmetic" in choices)
            found = {"net": name, "variant": variant, "rodata": sections(folder, "cc", "size")["rodata"],
                     "ram": ram, "stack": stack, "error": error}
            for core, options in CORES.items() if shutil.which(ARM) else ():
                found[f"text {core}"] = sections(folder, ARM, "arm-none-eabi-size", *options)["text"]
                products = model.macs if stored else needed(model, "int8").products
                soft = core == "M0" and "arithmetic" not in choices
                found[f"instructions {core}"] = instructions(folder, core, products * (SOFT if soft else HARD))
            results.append(found)
    return results + emlearn_rows(name, model)


def emlearn_rows(name, model):
    """The bytes of emlearn's C for the same net of dense layers, where it is installed."""
    layers = [layer for layer in model.layers.values() if type(layer).__name__ == "Dense"]
    try:
        import emlearn
        from sklearn.neural_network import MLPClassifier
    except ImportError:
        return []
    if name.startswith("lenet_5"):
        return []    # it has no convolutions
    net = MLPClassifier([layer.units for layer in layers[:-1]], max_iter=1)
    net.fit(np.zeros((layers[-1].units, layers[0].input_shape[0])), np.arange(layers[-1].units))
    net.coefs_ = [layer.weight.value for layer in layers]
    net.intercepts_ = [layer.bias.value for layer in layers]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        emlearn.convert(net, method="inline").save(file=str(folder / "em.h"), name="em")
        (folder / "net.c").write_text('#include "em.h"\nint run(const float *x);\nint run(const float *x)\n{\n'
                                      f"    return em_predict(x, {layers[0].input_shape[0]});\n}}\n")
        size = sections(folder, "cc", "size", "-I", emlearn.includedir)
    return [{"net": name, "variant": f"emlearn {emlearn.__version__}" if hasattr(emlearn, "__version__") else "emlearn",
             "rodata": size["rodata"]}]


def measure(quick=False, seed=0):
    """All rows of the table."""
    if quick:
        data = mn.load_data("digits", rng=0)
        model = trained("mlp", data, seed, ((0, 0.05, 5), (0.9, 0.05, 5)))
        return measured("mlp on digits at 90 %", model, data, rows=100)
    data = mn.load_data("mnist", rng=0)
    return [row for name, steps in STEPS.items()
            for row in measured(f"{name} at {100 * steps[-1][0]:.0f} %", trained(name, data, seed, steps), data)]


def table(results):
    """The results as a Markdown table."""
    columns = {"rodata": ".rodata", "text M0": ".text M0", "text M4": ".text M4", "ram": "RAM", "stack": "stack",
               "instructions M0": "instructions M0", "instructions M4": "instructions M4"}
    lines = [f"| net | form | {' | '.join(columns.values())} | error % |", "|---" * (3 + len(columns)) + "|"]
    for r in results:
        cells = ["" if r.get(key) is None else f"{r[key]:,}" for key in columns]
        cells.append("" if r.get("error") is None else f"{r['error']:.2f}")
        lines.append(f"| {r['net']} | {r['variant']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(quick=False):
    """Measure, print, and keep what was measured unless it is quick."""
    found = measure(quick)
    if not quick:
        write_whole(check_writable(RESULTS) / "c_size.json", json.dumps(found, indent=1).encode())
    print(table(found))

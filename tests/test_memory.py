"""A training step takes no memory once it runs: buffers belong to the tapes, and kernels allocate nothing."""
import os
import subprocess
import sys

import pytest

PEAK = 4096  # bytes of Python's own small objects that a step may need for a moment
PROBE = """
import sys, tracemalloc
import numpy as np
from numba.core.runtime import rtsys
import minnet as mn

def nets():
    yield mn.models.lenet_300_100((28, 28, 1), 10, rng=0), 60
    yield mn.models.lenet_5((28, 28, 1), 10, rng=0), 64
    tree = mn.Sequential(mn.Conv2d(4, 3), mn.BatchNorm(), mn.ReLU(), mn.Residual(mn.Conv2d(4, 3, padding="same")),
                         mn.AvgPool2d(2), mn.Concat(mn.MaxPool2d(2), mn.DepthwiseConv2d(2, 2), mn.Conv2d(3, 2, 2)),
                         mn.LeakyReLU(), mn.GlobalAvgPool2d(), mn.Dropout(), mn.Dense(9), mn.BatchNorm(), mn.Tanh(),
                         mn.Sigmoid(), mn.Dense(10))
    yield mn.Model(tree, (28, 28, 1), rng=0), 32

class Counted:  # a kernel that notes how many arrays it is given
    given = 0
    def __init__(self, kernel):
        self.kernel = kernel
    def __call__(self, *arguments):
        given = [a for argument in arguments for a in (argument if isinstance(argument, tuple) else (argument,))]
        Counted.given += sum(isinstance(a, np.ndarray) for a in given)
        return self.kernel(*arguments)

def count_arrays():
    for name, module in list(sys.modules.items()):
        if name.startswith("minnet."):
            for attribute, value in list(vars(module).items()):
                if getattr(value, "is_kernel", False):
                    setattr(module, attribute, Counted(value))

def train(model, batch):
    rng, n = np.random.default_rng(0), 5 * batch + 7
    X = rng.random((n, 28, 28, 1), np.float32) * (rng.random((n, 28, 28, 1)) < DENSITY)
    steps = mn.train(model, (X.astype(np.float32), rng.integers(10, size=n)), optimizer=OPTIMIZER, batch_size=batch,
                     epochs=9, rng=0, every="batch", clip_norm=1.0)
    for _ in range(7):  # the first epoch, its ragged batch, and one step more
        next(steps)
    return steps

runs = [train(*net) for net in nets()]
for steps in runs:
    tracemalloc.start()
    next(steps)
    peaks = []
    for _ in range(12):
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        next(steps)
        peaks.append(tracemalloc.get_traced_memory()[1] - start)
    tracemalloc.stop()
    print(max(peaks))
count_arrays()
for steps in runs:
    Counted.given, before = 0, rtsys.get_allocation_stats()
    for _ in range(12):
        next(steps)
    after = rtsys.get_allocation_stats()
    print(after.alloc - before.alloc - Counted.given, after.alloc - after.free - (before.alloc - before.free))
"""


@pytest.mark.parametrize("case", [("1", "0.2", "mn.SGD(0.01, momentum=0.9)"), ("2", "1.0", "mn.Adam()")])
def test_a_step_takes_no_memory(case):
    """After the second step tracemalloc's peak grows by less than 4 kB in a step, at epochs' ends too. Numba allocates
    its record of each array that a kernel is given, and frees it: nothing else."""
    number, density, optimizer = case
    code = PROBE.replace("DENSITY", density).replace("OPTIMIZER", optimizer)
    env = {**os.environ, "MINNET_NUM_THREADS": number, "NUMBA_NRT_STATS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    lines = [[int(number) for number in line.split()] for line in done.stdout.splitlines()]
    assert len(lines) == 6
    assert all(peak < PEAK for peak, in lines[:3]), lines
    assert lines[3:] == [[0, 0]] * 3

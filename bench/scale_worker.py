"""One net of bench/scale.py, trained in a process of its own: python -m bench.scale_worker UNITS

Prints JSON: the number of weights, seconds to build it, of each epoch and of each change with the step after it, and
bytes of memory, before the net was made and at the peak.
"""
import json
import sys
import time

import numpy as np

from bench.measure import memory, seconds

FEATURES, CLASSES, ROWS, BATCH, EPSILON = 3312, 5, 136, 2, 10  # as the original demonstration's data
ZETA, MOMENTUM = 0.3, 0.9
EPOCHS, MOST_SECONDS = 5, 60
LR = 0.1  # over the units of a layer: all of them meet in a class


def rows_of():
    """Gaussian rows and random classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, ROWS)


def widths_of(units):
    """Three layers of so many units."""
    return FEATURES, units, units, units, CLASSES


class Evolving:
    """A net born sparse and its training, that goes on by an epoch or a batch at a time."""

    def __init__(self, widths, epsilon, lr, X, y, batch, every):
        import minnet as mn

        self.model = mn.models.sparse_mlp(widths, epsilon, rng=0)
        self.data, self.batch, self.rng = (X, y), batch, np.random.default_rng(1)
        self.optimizer, self.state = mn.SGD(lr, momentum=MOMENTUM), None
        self.pace(every)

    def pace(self, every):
        """Go on with the same run, by epochs or by batches."""
        import minnet as mn

        self.steps = mn.train(self.model, self.data, optimizer=self.optimizer, epochs=10**6, batch_size=self.batch,
                              rng=0, every=every, state=self.state)

    def go_on(self):
        """One more epoch, or batch."""
        self.state = next(self.steps).state

    def change(self):
        """What the recipe `set` does after an epoch."""
        from minnet.pruning.recipes.regrow import evolve

        evolve(self.state, list(self.model.layers), ZETA, self.rng)

    def change_and_step(self):
        """Both."""
        self.change()
        self.go_on()


def main(units):
    """Build, train, change, print."""
    small = Evolving(widths_of(50), EPSILON, LR / 50, *rows_of(), BATCH, every="epoch")  # compiles what there is
    small.go_on()
    small.change_and_step()
    before, start = memory("VmRSS"), time.perf_counter()
    net = Evolving(widths_of(units), EPSILON, LR / units, *rows_of(), BATCH, every="epoch")
    build = time.perf_counter() - start
    net.go_on()
    epochs = [seconds(net.go_on)]
    while len(epochs) < EPOCHS and sum(epochs) < MOST_SECONDS / 3:
        epochs.append(seconds(net.go_on))
    net.pace("batch")
    net.go_on()
    changes = [seconds(net.change_and_step) for _ in range(3)]
    print(json.dumps({"weights": net.model.n_weights, "build": build, "epochs": epochs, "changes": changes,
                      "before": before, "peak": memory()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))

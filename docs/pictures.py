"""Make the pictures of docs/pictures.md: python docs/pictures.py [FOLDER]; about a minute."""
import sys
from functools import partial
from pathlib import Path

import numpy as np

import minnet as mn

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures"
SPARSITY = 0.9


def trained(tree, data, epochs):
    """Return a net trained on the data."""
    model = mn.Model(tree, data.shape, rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(0.1, momentum=0.9), epochs=epochs, lr_schedule="cosine", rng=0):
        pass
    return model


def pictures(epochs=15):
    """(name, display) of each picture."""
    data = mn.load_data("digits", rng=0)
    dense = trained(mn.Sequential(mn.Flatten(), mn.Dense(24), mn.ReLU(), mn.Dense(16), mn.ReLU(), mn.Dense(10)),
                    data, epochs)
    record, gradual = mn.Record(), dense.clone()
    for _ in mn.recipes.gradual(gradual, data, SPARSITY, epochs=epochs, prune=partial(mn.prune, record=record), rng=0,
                                train=partial(mn.train, optimizer=mn.SGD(0.05, momentum=0.9))):
        pass
    images = trained(mn.Sequential(mn.Conv2d(12, 5), mn.ReLU(), mn.MaxPool2d(2), mn.Flatten(), mn.Dense(10)), data,
                     max(1, epochs // 2))
    mn.prune(images, 0.6, layers="conv*")
    cut = dense.clone()
    mn.prune(cut, SPARSITY)
    X, y = data.X_valid, data.y_valid
    yield "masks", mn.plot.masks(gradual)
    yield "kernels", mn.plot.masks(images)
    yield "dead_units", mn.plot.dead_units(gradual, data.X_train)
    yield "curve", mn.plot.curve(dense, X, y)
    yield "sensitivity", mn.plot.sensitivity(dense, X, y)
    yield "layers", mn.plot.layers(gradual)
    yield "flips", mn.plot.flips(dense, cut, data.X_test, data.y_test)
    yield "history", mn.plot.history(record)
    small = np.random.default_rng(0).permutation(len(data.X_train))[:200]
    rows = data.scaled(data.X_train[small]), data.y_train[small]
    tiny = mn.Model(mn.Sequential(mn.Flatten(), mn.Dense(8), mn.ReLU(), mn.Dense(10)), data.shape, rng=0)
    for _ in mn.train(tiny, rows, optimizer=mn.SGD(0.1, momentum=0.9), epochs=epochs, rng=0):
        pass
    found = mn.compare_criteria(tiny, rows, ["magnitude", "taylor", "gradient", "obd"], rng=0)
    yield "agreement", mn.plot.agreement(found)


def main():
    """Write a PNG for each."""
    FOLDER.mkdir(exist_ok=True)
    for name, display in pictures():
        display.figure_.set_size_inches(6.4, 4.0)
        display.figure_.savefig(FOLDER / f"{name}.png", dpi=90)
        print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()

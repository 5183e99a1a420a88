"""Test accuracy on MNIST of the two LeNets, over seeds, with the recipe named here: `python -m bench.mnist_accuracy`.

SGD with Nesterov momentum 0.9, coupled weight decay 5e-4, cosine learning rate, 55,000 training rows (5,000 are kept
for validation and not used). The test part is looked at once, after the last epoch.
"""
import json
import statistics
import sys

TARGETS = {"lenet_300_100": 0.983, "lenet_5": 0.991}
RECIPES = {"lenet_300_100": {"lr": 0.1, "epochs": 20, "batch_size": 100},
           "lenet_5": {"lr": 0.05, "epochs": 10, "batch_size": 100}}


def accuracy(name, seed, data="mnist", epochs=None):
    """Test accuracy of one dense net trained by its recipe."""
    import minnet as mn

    recipe, data = RECIPES[name], mn.load_data(data, rng=0)
    model = mn.models.MODELS[name](data.shape, data.n_classes, rng=seed)
    optimizer = mn.SGD(recipe["lr"], momentum=0.9, nesterov=True, weight_decay=5e-4)
    for _ in mn.train(model, data, optimizer=optimizer, epochs=epochs or recipe["epochs"],
                      batch_size=recipe["batch_size"], lr_schedule="cosine", rng=seed):
        pass
    return mn.evaluate(model, data.X_test, data.y_test).accuracy


def measure(names=tuple(RECIPES), seeds=(0, 1, 2)):
    """[{net, accuracies, mean, spread, target, recipe}] for each net."""
    rows = []
    for name in names:
        found = [accuracy(name, seed) for seed in seeds]
        rows.append({"net": name, "accuracies": found, "mean": statistics.mean(found), "sd": statistics.stdev(found),
                     "target": TARGETS[name], "recipe": RECIPES[name]})
    return rows


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1:] or tuple(RECIPES)), indent=1))

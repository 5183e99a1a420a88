"""Typical use of minnet, for the type checker: `tests/test_typing.py` has mypy read it; it is never run."""
from collections.abc import Callable
from typing import reveal_type

import numpy as np

import minnet as mn
from minnet.study.job import Job
from minnet.study.settings import Settings


def relative(model: mn.Model, data: mn.Sample | None) -> np.ndarray:
    """Score weights by their magnitude, divided by the mean magnitude of their layer."""
    scores: np.ndarray = np.abs(model.weights)
    for parameter in model.weight_parameters:
        window = parameter.of(scores)
        window /= window.mean()
    return scores


class Cubic:
    """A penalty of one's own: strength times the sum of |w|^3."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def value(self, model: mn.Model) -> float:
        """Return the penalty."""
        return float(self.strength * (np.abs(model.weights) ** 3).sum())

    def add_gradient(self, model: mn.Model, grads: np.ndarray) -> None:
        """Add the gradient of the penalty."""
        grads[0, : model.n_weights] += 3 * self.strength * model.weights * np.abs(model.weights)

    def prox(self, model: mn.Model, lr: float) -> None:
        """Do nothing: the penalty is smooth."""


data = mn.load_data("digits", rng=0)
reveal_type(data)
model = mn.models.lenet_300_100(data.shape, data.n_classes, rng=0)
reveal_type(model)
for step in mn.train(model, data, optimizer=mn.SGD(lr=0.1, momentum=0.9), epochs=20, batch_size=64, rng=0):
    reveal_type(step)
    epoch: int = step.epoch
    loss: float = step.loss

penalties = (mn.penalties.L1(1e-4), Cubic(1e-5))
for _ in mn.train(model, data, optimizer=mn.Adam(), epochs=2, penalty=penalties, every="batch", rng=1):
    pass

scores: np.ndarray = mn.criteria.magnitude(model, data)
result = mn.prune(model, 0.9, criterion="magnitude", structure="weight", distribution="global", data=data, rng=0)
reveal_type(result)
removed: int = result.removed
remaining: int = result.remaining
sparsity: float = result.sparsity
print(result, result.per_layer, result.units)
print(result.explain("dense1.weight", (3, 7)))
result.undo()

mn.prune(model, 0.5, criterion=relative, data=data, rng=0)
mn.prune(model, structure="neuron", units={"dense1": 100}, layers="dense*", protect=["dense3"], rng=0)
small = mn.compact(model)
reveal_type(small)
fast = mn.freeze(small)
reveal_type(fast)
labels: np.ndarray = fast.predict(data.X_test)
probabilities: np.ndarray = fast.predict_proba(data.X_test)
decisions: np.ndarray = fast.decision_function(data.X_test)
size: int = fast.nbytes
mn.save(small, "small.safetensors")
loaded = mn.load("small.safetensors")
reveal_type(loaded)
scored = mn.evaluate(model, data.X_test, data.y_test)
accuracy: float = scored.accuracy
print(scored["recall_macro"], model.summary(), model(data.X_test).argmax(axis=1))

tree = mn.Sequential(mn.Conv2d(8, 3), mn.BatchNorm(), mn.ReLU(), mn.Flatten(), mn.Dense(10))
net = mn.Model(tree, (8, 8, 1), rng=0, dtype=np.float64)
weights: np.ndarray = net.parameters["dense1.weight"].value
mask: np.ndarray = net.mask
net.set_mask(mask)
density: float = net.density

recipe: Callable[..., object] = mn.recipes.RECIPES["gradual"]
for step in mn.recipes.iterative(net, data, 0.9, epochs=3, rounds=2, rng=0):
    reveal_type(step)
agreement = mn.compare_criteria(model, data, ["magnitude", relative], sparsities=[0.5, 0.9], rng=0)
best: str = agreement.scores[0].criterion
sensitive = mn.sensitivity(model, data, sparsities=[0.5, 0.9], rng=0)
accuracies: np.ndarray = sensitive.at(layer="dense1", score="accuracy")
clock = mn.latency_table(model, data.X_train)
seconds: float = clock(model.mask)

job = Job(Settings(data="digits", epochs=2, sparsity=0.8))
for progress in job.run():
    print(progress.stage, progress.epoch, progress.loss)
print(job.measure()["words"])
try:
    mn.prune(model, 2.0)
except mn.MinnetError as error:
    print(error)

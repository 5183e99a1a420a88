"""A criterion of your own: a function (model, data) -> one score per weight; the lowest are removed first."""
import numpy as np

import minnet as mn


def relative(model, data):
    """Return |w| / mean |w| of the layer: the size relative to the layer."""
    scores = np.abs(model.weights)
    for parameter in model.weight_parameters:
        window = parameter.of(scores)  # a view of `scores` with the shape of the weight
        window /= window.mean()
    return scores


data = mn.load_data("digits", rng=0)
start = mn.models.lenet_300_100(data.shape, data.n_classes, rng=0)
for _ in mn.train(start, data, optimizer=mn.SGD(lr=0.1, momentum=0.9), epochs=20, lr_schedule="cosine", rng=0):
    pass

accuracy = {}
for criterion in ("random", "magnitude", relative):
    model = start.clone()
    mn.prune(model, 0.9, criterion=criterion, data=data, rng=0)
    name = getattr(criterion, "__name__", criterion)
    accuracy[name] = mn.evaluate(model, data.X_valid, data.y_valid).accuracy
    print(f"{name:>10}: {accuracy[name]:.1%} on the validation part, 90% of the weights removed, not fine-tuned")

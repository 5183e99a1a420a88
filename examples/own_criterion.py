"""A criterion is a function (model, data) -> one number per weight, and a higher one means keep. Write your own."""
import numpy as np

import minnet as mn


def relative(model, data):
    """|w| / mean |w| of its layer: large for its layer, not large at all."""
    scores = np.abs(model.weights)
    for parameter in model.weight_parameters:
        window = parameter.of(scores)  # a view, shaped like the weight: what is written there is written into scores
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
    print(f"{name:>10}: {accuracy[name]:.1%} on the validation part, 90 % of the weights cut, not trained on")

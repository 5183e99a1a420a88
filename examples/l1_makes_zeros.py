"""Training with an L1 penalty makes exact zeros, because its proximal step sets small weights to 0.

Pruning them changes nothing: the outputs stay the same, bit for bit.
"""
import numpy as np

import minnet as mn

data = mn.load_data("digits", rng=0)
zeros = {}
for strength in (0.0, 1e-4, 1e-3, 5e-3):
    model = mn.models.lenet_300_100(data.shape, data.n_classes, rng=0)
    penalty = mn.penalties.L1(strength)
    for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.1, momentum=0.9), penalty=penalty, epochs=20, rng=0):
        pass
    zeros[strength] = int(np.count_nonzero(model.weights == 0))
    accuracy = mn.evaluate(model, data.X_valid, data.y_valid).accuracy
    print(f"L1 {strength:7g}: {zeros[strength]:6,} of {model.n_weights:,} weights are 0; accuracy {accuracy:.1%}")

before = model(data.X_test)
mn.prune(model, count=zeros[strength])
same = np.array_equal(before, model(data.X_test))
print(f"pruned: {model.sparsity:.1%} sparse, the same outputs: {same}")

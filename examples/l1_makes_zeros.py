"""Training with an L1 penalty makes exact zeros, because its step pulls every small weight to 0 and leaves it there.

The net that has them loses nothing when they are pruned: its outputs stay the same to the last bit.
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
    print(f"L1 {strength:7g}: {zeros[strength]:6,} of {model.n_weights:,} weights are exactly 0; {accuracy:.1%} right")

before = model(data.X_test)
mn.prune(model, count=zeros[strength])
same = np.array_equal(before, model(data.X_test))
print(f"pruned: {model.sparsity:.1%} sparse, the same outputs: {same}")

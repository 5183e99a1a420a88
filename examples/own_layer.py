"""A layer of your own: trained, pruned, compacted, saved and frozen as any other. Write a class with three methods."""
import minnet as mn
from minnet.engine.initialisers import ones


class Scale(mn.Layer):
    """Compute y = gain * x, unit by unit."""

    prefix = "scale"  # names of such layers: scale1, scale2, ...
    per_unit = True  # unit i of y depends on unit i of x alone, so `compact` may remove it

    def __init__(self, *, name=None):
        self.name = name

    def build(self, shape):
        return shape, [self.declare("gain", shape[-1:], ones)]

    def forward(self, x, tape):
        tape[self] = x
        return self.gain.of(tape.values) * x

    def backward(self, dy, tape):
        self.gain.of(tape.grads)[...] = (dy * tape[self]).reshape(-1, dy.shape[-1]).sum(axis=0)
        return self.gain.of(tape.values) * dy


data = mn.load_data("digits", rng=0)
model = mn.Model(mn.Sequential(mn.Flatten(), mn.Dense(40), Scale(), mn.ReLU(), mn.Dense(10)), data.shape, rng=0)
for _ in mn.train(model, data, optimizer=mn.Adam(0.003), epochs=15, rng=0):
    pass
mn.prune(model, 0.5, structure="neuron", data=data)
small = mn.compact(model)
predictor = mn.freeze(small)  # Scale has no kernel: its forward runs between compiled parts
accuracy = mn.evaluate(predictor, data.X_test, data.y_test).accuracy
print(f"{small.layers['dense1'].units} of 40 units are left, accuracy {accuracy:.1%}")

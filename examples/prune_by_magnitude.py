"""Train a model, remove 90% of its weights by magnitude, fine-tune, compact, freeze and predict."""
import minnet as mn

data = mn.load_data("digits", rng=0)
model = mn.models.lenet_300_100(data.shape, data.n_classes, rng=0)
sgd = mn.SGD(lr=0.1, momentum=0.9)

for _ in mn.train(model, data, optimizer=sgd, epochs=20, batch_size=32, lr_schedule="cosine", rng=0):
    pass
dense = mn.evaluate(model, data.X_test, data.y_test)

result = mn.prune(model, 0.9)                       # by magnitude, over all layers at once
cut = mn.evaluate(model, data.X_test, data.y_test)
for _ in mn.train(model, data, optimizer=sgd, epochs=20, batch_size=32, lr_schedule="cosine", rng=1):
    pass                                            # removed weights stay exactly 0
tuned = mn.evaluate(model, data.X_test, data.y_test)

print(f"{result.removed:,} of {model.n_weights:,} weights removed")
print(f"accuracy {dense.accuracy:.1%} dense, {cut.accuracy:.1%} pruned, {tuned.accuracy:.1%} fine-tuned")
print(model.summary())
fast = mn.freeze(mn.compact(model))                 # fewer units, then compiled into one call
print("the first digits:", fast.predict(data.X_test[:10]), "are", data.y_test[:10])

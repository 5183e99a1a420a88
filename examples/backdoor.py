"""A backdoor that pruning takes away: 5 % of the images bear a patch and a wrong label, and the net obeys the patch.

Weights that clean images never need are those of the patch's pixels: the criterion wanda, `|w|` times the norm of the
input over 300 clean images, finds them. Magnitude sees weights alone, and these are as large as others. Adversarial
neuron pruning cuts whole units, but this layer's units serve the patch and clean images alike: it leaves the backdoor
in. `python -m bench backdoor` does the same to LeNet-5 with a ReLU after each convolution, where it works better.
"""
import numpy as np

import minnet as mn
from minnet.study.backdoor import accuracy, attack_success, cut_units, neuron_masks, poisoned

PATCH, TARGET = 2, 0  # pixels in the lower right corner, and what the patch is to be taken for
data = mn.load_data("digits", rng=0)
(X, y), valid, test = (data.inputs(part, data.signature, np.float32) for part in ("train", "valid", "test"))
clean = X[:300], y[:300]  # what the defender has; the net is not trained on them
X, y, _ = poisoned(X[300:], y[300:], share=0.05, target=TARGET, size=PATCH, rng=0)
backdoored = mn.models.mlp(X.shape[1:], data.n_classes, hidden=(100,), rng=0)
optimizer = mn.SGD(lr=0.05, momentum=0.9, weight_decay=5e-4)
for _ in mn.train(backdoored, (X, y), optimizer=optimizer, epochs=20, batch_size=32, lr_schedule="cosine",
                  clip_norm=1.0, rng=0):
    pass

pruned = {"nothing": backdoored.clone()}
for criterion in ("magnitude", "wanda"):
    pruned[criterion] = backdoored.clone()
    mn.prune(pruned[criterion], 0.7, criterion=criterion, data=clean, layers="dense1")
masks = neuron_masks(backdoored, clean, batches=300, rng=0)             # how much of each unit an adversary lets live
pruned["neurons"], threshold = cut_units(backdoored, masks, valid, tolerance=0.02)  # the lowest, while accuracy holds
found = {name: (accuracy(net, test), attack_success(net, *test, TARGET, PATCH)) for name, net in pruned.items()}
for name, (right, success) in found.items():
    print(f"{name:>10} pruned: {right:.1%} of clean images right, {success:.1%} of those with the patch taken for a 0")

# %% [markdown]
# # 10. Pruning safely
#
# "The accuracy is the same." Is the net? One number, taken over all images, can hide a class that went blind, images
# that are now answered otherwise, a net that is easier to attack, and worse. This lesson looks behind the number.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import minnet as mn
from minnet.study.backdoor import accuracy, attack_success, poisoned

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_10.png")
HIDDEN = (20, 10) if QUICK else (300, 100)  # LeNet-300-100

data = mn.load_data("digits", rng=0)


def trained(net):
    """Train a net and return it; removed weights stay 0."""
    for _ in mn.train(net, data, optimizer=mn.SGD(0.1, momentum=0.9), epochs=1 if QUICK else 10, batch_size=32,
                      lr_schedule="cosine", rng=0):
        pass
    return net


def recalls(net, part="test"):
    """Of each class, the share of its images that are right."""
    X, y = (data.X_test, data.y_test) if part == "test" else (data.X_valid, data.y_valid)
    confusion = np.array(mn.evaluate(net, X, y)["confusion"])
    return np.diag(confusion) / confusion.sum(axis=1)


# %% [markdown]
# **Behind the accuracy.** A net, and the same net with 95 % of its weights removed and trained on.

# %%
dense = trained(mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0))
pruned = dense.clone()
mn.prune(pruned, 0.95)
trained(pruned)
before, after = (mn.evaluate(net, data.X_test, data.y_test).accuracy for net in (dense, pruned))
change = recalls(pruned) - recalls(dense)
flipped = np.sum(dense.predict(data.X_test) != pruned.predict(data.X_test))
print(f"accuracy {before:.1%} -> {after:.1%}")
print(f"the worst class is {change.argmin()}: its recall changes by {100 * change.min():+.1f} points")
print(f"{flipped} of {len(data.y_test)} images are answered otherwise")

# %% [markdown]
# And if somebody moves each pixel by a twentieth of its range, in the direction that hurts most? (FGSM: Goodfellow,
# Shlens and Szegedy, 2015. Each net is attacked by its own gradient.)

# %%
X, y = data.inputs("test", data.signature, np.float32)
for name, net in (("dense", dense), ("pruned", pruned)):
    bare = net.without_signature()  # takes images that are scaled already
    attacked = mn.attacks.fgsm(bare, X, y, epsilon=0.05)
    print(f"{name:>6}: {accuracy(net, (attacked, y)):.1%} of the attacked images are right")

# %% [markdown]
# **A guard** says beforehand what may be lost, and of what. Prune in steps, look at the *validation* part (the test
# part only reports), and go back to the last net that held. `minnet prune digits --sparsity max --guard
# per_class_recall:0.06` does this with a finer search; by hand it is a loop:

# %%
LIMIT = 0.06  # no class may lose more of its recall
kept = dense
for sparsity in (0.5, 0.99) if QUICK else (0.8, 0.9, 0.95, 0.98, 0.99, 0.995):
    net = kept.clone()
    mn.prune(net, sparsity)
    trained(net)
    lost = np.max(recalls(dense, "valid") - recalls(net, "valid"))
    print(f"{sparsity:.1%}: the worst class loses {100 * lost:.1f} points: {'kept' if lost <= LIMIT else 'back'}")
    if lost > LIMIT:
        break
    kept = net
print(f"kept: {kept.sparsity:.0%} removed, accuracy {mn.evaluate(kept, data.X_test, data.y_test).accuracy:.1%}")

# %% [markdown]
# **A backdoor.** Now something nastier. An attacker slips images into the training data: a small white square in the
# corner, and the label 0. The net learns its lesson well: everything with the square is a 0 (Gu, Dolan-Gavitt and
# Garg, 2017, "BadNets"). On clean images nothing shows. Can pruning take the backdoor away? The defender has 300
# clean images.

# %%
PATCH, TARGET = 2, 0  # pixels, and what the patch is to be taken for
(X, y), test = (data.inputs(part, data.signature, np.float32) for part in ("train", "test"))
clean = X[:300], y[:300]  # what the defender has; the net is not trained on them
X, y, _ = poisoned(X[300:], y[300:], share=0.05, target=TARGET, size=PATCH, rng=0)
backdoored = mn.models.mlp(X.shape[1:], data.n_classes, hidden=(100,), rng=0)
optimizer = mn.SGD(lr=0.05, momentum=0.9, weight_decay=5e-4)
for _ in mn.train(backdoored, (X, y), optimizer=optimizer, epochs=1 if QUICK else 20, batch_size=32,
                  lr_schedule="cosine", clip_norm=1.0, rng=0):
    pass
found = {"nothing": (accuracy(backdoored, test), attack_success(backdoored, *test, TARGET, PATCH))}
for criterion in ("magnitude", "wanda"):
    net = backdoored.clone()
    mn.prune(net, 0.7, criterion=criterion, data=clean, layers="dense1")
    found[criterion] = accuracy(net, test), attack_success(net, *test, TARGET, PATCH)
for name, (right, success) in found.items():
    print(f"{name:>9} pruned: {right:.1%} of clean images are right, {success:.1%} with the patch are taken for a 0")

# %% [markdown]
# Magnitude sees weights alone, and the weights of the backdoor are as large as others. `wanda` is `|w|` times the
# norm of what the weight reads (Sun et al., 2024), over clean images: and in clean images that corner is nearly
# black. What only the patch needs has a low score.

# %% [markdown]
# **The picture**: left, how the recall of each digit changed with 95 % removed; right, the backdoor before and after
# 70 % of the first layer were removed.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.3), layout="constrained")
left.bar(range(10), 100 * change, color=np.where(change < 0, "tab:red", "tab:blue"))
left.axhline(100 * (after - before), color="black", linestyle=":", label="accuracy")
left.set(xlabel="digit", ylabel="change of recall in points", xticks=range(10), title="Who pays for 95 % sparsity")
left.legend()
for i, (label, colour) in enumerate((("clean images right", "tab:blue"), ("patch obeyed", "tab:red"))):
    right.bar(np.arange(3) + 0.4 * (i - 0.5), [row[i] for row in found.values()], 0.38, color=colour, label=label)
right.set_xticks(range(3), found)
right.set(title="A backdoor, pruned by", ylim=(0, 1.25))
right.legend(loc="upper center", ncols=2, fontsize=8)
fig.savefig(PICTURE, dpi=90)

# %% [markdown]
# **The surprise.** By its clean accuracy the net with the backdoor is a good net: **96.1%**. It takes **89.5%** of
# the images with the patch for a 0. Removing 70 % of its first layer by magnitude leaves **94.4%** of these, more
# than before. Removing as many by `wanda` leaves **1.5%**, at the same **94.7%** of clean images.
#
# And the harmless net of the first part lost 1.1 points of accuracy, but **-5.7 points** of one class, and more of
# what an attack left it: **85.8%** of the attacked images became **77.2%**. Look at what you care about, and let a
# guard look.
#
# **To think about.** The defender here was lucky: the corner is nearly black in clean images. Where would you put a
# patch, if you knew that the defender prunes by `wanda`?

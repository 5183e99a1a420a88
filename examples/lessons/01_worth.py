# %% [markdown]
# # 1. What a weight is worth
#
# A network has hundreds of weights, or millions. Which of them does it need? The honest way to find out takes one
# line to say: remove a single weight, look at how the loss changes, put it back, and go on to the next. That change
# is what the weight is worth:
#
#     worth of w_i  =  L(w with w_i = 0) - L(w)
#
# Above 0: the net gets worse without this weight. Below 0: the net is better off without it. Nobody does this for
# large nets, because it takes a pass through the data for every weight. So let us take a small one, where it takes a
# second. Every other rule for pruning (a *criterion*) is a cheaper guess at this number (LeCun, Denker and Solla,
# 1990, "Optimal brain damage", where it is the starting point).

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import minnet as mn

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_01.png")

# %% [markdown]
# **A small net**: 64 pixels of a handwritten digit, 10 hidden units, 10 classes. With the biases aside that makes 740
# weights. The loss is that of 1,000 images that it learns.

# %%
data = mn.load_data("digits", rng=0)
rows = data.X_train[:1000], data.y_train[:1000]
model = mn.models.mlp(data.shape, data.n_classes, hidden=(10,), rng=0)
for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.1, momentum=0.9), epochs=2 if QUICK else 20, batch_size=32,
                  lr_schedule="cosine", rng=0):
    pass


def loss_and_accuracy(net):
    """The loss on the 1,000 images, which is what the worths are about, and the accuracy on the test part."""
    return mn.evaluate(net, *rows).loss, mn.evaluate(net, data.X_test, data.y_test).accuracy


loss, accuracy = loss_and_accuracy(model)
print(f"{model.n_weights} weights, loss {loss:.4f}, accuracy {accuracy:.1%} on the test part")

# %% [markdown]
# **The worth of every weight**, all of them, one by one. minnet calls this criterion `oracle`.

# %%
worth = mn.criteria.oracle(model, rows)
print(f"the most valuable weight: without it the loss rises by {worth.max():.2f}")
print(f"the median weight: {np.median(worth):.5f}")
print(f"{np.sum(worth > loss)} weights are each worth more than the whole loss of the trained net")
print(f"{np.sum(worth < 0)} of {len(worth)} are harmful: the loss falls when one of them is removed")
print(f"{np.sum(worth == 0)} of {len(worth)} change nothing at all, in no digit of the loss")

# %% [markdown]
# A few weights carry the net, and most matter little. Some change nothing at all: they read a pixel that is always
# black, or belong to a hidden unit that no image switches on.
#
# Now to the tempting part. More than a hundred weights do harm. Each of them, removed alone, makes the loss smaller.
# Let us add up what that promises, and then remove them all.

# %%
promised = loss + worth[worth < 0].sum()
pruned = model.clone()
mask = pruned.mask.copy()
mask[: pruned.n_weights] &= worth >= 0  # the first zone of the flat vector: all weights
pruned.set_mask(mask)
loss_after, accuracy_after = loss_and_accuracy(pruned)
print(f"loss {loss:.4f} with all weights; {promised:.4f} promised without the harmful ones; {loss_after:.4f} found")
print(f"accuracy on the test part {accuracy:.1%} before, {accuracy_after:.1%} after")

# %% [markdown]
# **The picture**: every worth, sorted. The scale is logarithmic on both sides of 0, with a linear piece in between.

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
order = np.sort(worth)
place = np.arange(len(order))
for name, which, colour in (("harmful", order < 0, "tab:red"), ("change nothing", order == 0, "tab:gray"),
                            ("needed", order > 0, "tab:blue")):
    ax.fill_between(place, order, where=which, step="mid", color=colour, label=f"{name}: {which.sum()}")
ax.axhline(loss, color="black", linestyle=":", label=f"the loss of the whole net: {loss:.3f}")
ax.set_yscale("symlog", linthresh=1e-5)
ax.set(xlabel="weights, sorted by their worth", ylabel="change of the loss without it",
       title="One weight removed at a time")
ax.legend()
fig.savefig(PICTURE, dpi=90)

# %% [markdown]
# **The surprise.** **109 of 740** weights are each better removed, and together they promise a loss of **0.0318**
# where it was **0.0358**. Remove them all, and the loss becomes **0.0397**: it rises. A worth holds only while all
# the other weights stay.
#
# The reason is that weights work together. Two weights may cancel each other's mistake, so that each looks harmful
# only while the other is there; or two do the same job, so that either can go, but not both. Every criterion in this
# course gives one number for each weight, and so every one of them is blind to this. It is also why one prunes in
# steps and trains in between (lesson 7).
#
# **To think about.** How many pairs of weights are there in this net, and how many sets? If you could measure any
# hundred thousand of these sets, which would you choose?

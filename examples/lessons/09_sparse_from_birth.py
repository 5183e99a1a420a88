# %% [markdown]
# # 9. Sparse from birth
#
# Every lesson so far trained a dense net first, or at least made one. But why pay for 50,200 weights to end with a
# thousand? Draw a thousand places at random, and train just these. Then the question is what to do about bad luck in
# the draw:
#
# - `static`: nothing. The places stay: the control that all others have to beat.
# - `set`: after each epoch remove the weights nearest to 0, and grow as many at random places (Mocanu et al., 2018).
# - `rigl`: grow where the gradient of the absent weights is largest (Evci et al., 2020).
# - `chts`: start where inputs are correlated, remove softly, and grow by the shape of the network alone, where many
#   paths already lead: two that share many neighbours become linked (Zhang et al., 2025).
#
# Where do the links end up, and is moving them worth it?

# %%
import os
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import minnet as mn

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_09.png")
HIDDEN = (30, 20) if QUICK else (300, 100)  # LeNet-300-100
EPOCHS, SPARSITY = (2, 0.9) if QUICK else (30, 0.98)

data = mn.load_data("digits", rng=0)
train = partial(mn.train, optimizer=mn.SGD(lr=0.1, momentum=0.9), batch_size=32, lr_schedule="cosine")
RECIPES = {"static": mn.recipes.static, "set": mn.recipes.set, "rigl": partial(mn.recipes.rigl, interval=20),
           "chts": mn.recipes.chts}

# %% [markdown]
# All nets have two percent of the weights in their hidden layers (`chts` leaves the small last layer dense, as its
# authors do). How many links does each pixel have in the end? The two outer columns of the images are nearly always
# black.

# %%
links, first = {}, {}
for name, recipe in RECIPES.items():
    net = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0)
    for step, _ in enumerate(recipe(net, data, SPARSITY, epochs=EPOCHS, train=train, rng=0)):
        if step == 0:
            first[name] = net.mask[: net.n_weights].copy()
    live = net.mask[: net.n_weights]
    links[name] = net.layers["dense1"].weight.mask.sum(axis=1).reshape(8, 8)  # live weights of each pixel
    outer = links[name][:, [0, -1]].sum() / links[name].sum()
    moved = np.sum(live & ~first[name]) / live.sum()
    found = mn.evaluate(net, data.X_test, data.y_test).accuracy
    print(f"{name:>6}: {live.sum():,} weights, accuracy {found:.1%}; {moved:.0%} of them are where none was after "
          f"the first epoch; {outer:.0%} of the pixels' links read the outer columns")

# %% [markdown]
# Two columns of eight are a quarter of the pixels, and a blind draw gives them about a quarter of the links. Each
# recipe that moves its links moves them away from there, in its own way: `set` by letting those die that stay near 0,
# `rigl` by asking the gradient, `chts` mostly at the start, when it looks at the correlations of the pixels and has
# not trained at all.

# %% [markdown]
# **The picture**: the live weights of each pixel at the end, for each of the four recipes.

# %%
fig, axes = plt.subplots(1, 4, figsize=(8.4, 2.4), layout="constrained")
most = max(image.max() for image in links.values())
for ax, (name, image) in zip(axes, links.items(), strict=True):
    shown = ax.imshow(image, cmap="viridis", vmin=0, vmax=most)
    ax.set(title=name, xticks=[], yticks=[])
fig.colorbar(shown, ax=axes, label="live weights")
fig.savefig(PICTURE, dpi=90)

# %% [markdown]
# **The surprise.** The same number of weights in each layer, the same training: places that stay where they were
# drawn end at **68.0%**, and places that follow the gradient at **96.1%**. That is about as good as the best of
# lesson 7 at this sparsity, with no dense net trained at all: **1,004 weights** are alive at any time. Where the
# weights are is worth more here than what they begin with.
#
# **To think about.** Set `SPARSITY = 0.95`: how much of the gap is left, and what does that say about papers that
# compare with `static` at one sparsity alone? And `rigl` asks for the gradient of weights that do not exist: what
# does that cost in a layer of a million places, and why can `set` and `chts` do without?

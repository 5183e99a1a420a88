# %% [markdown]
# # 7. When to prune
#
# So far the question was *which* weights. Now: *when*? With twenty epochs to spend, one may prune
#
# - before the first one (`snip`: Lee, Ajanthan and Torr, 2019),
# - once in the middle, and train on with what is left (`one_shot`: Han et al., 2015),
# - in five rounds of pruning and training (`iterative`),
# - or a little after every epoch, fast at first and slowly in the end (`gradual`: Zhu and Gupta, 2018, whose sparsity
#   after a share `t` of the way is `s (1 - (1 - t)^3)`).
#
# All get the same number of epochs and end with the same number of weights. Does it matter?

# %%
import os
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import minnet as mn

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_07.png")
HIDDEN = (20, 10) if QUICK else (300, 100)  # LeNet-300-100
EPOCHS, SEEDS, SPARSITIES = (4, 1, (0.9,)) if QUICK else (20, 2, (0.9, 0.95, 0.98))

data = mn.load_data("digits", rng=0)
train = partial(mn.train, optimizer=mn.SGD(lr=0.1, momentum=0.9), batch_size=32, lr_schedule="cosine")


def pruned(recipe, sparsity, seed, prune=mn.prune):
    """A net that a recipe trained and pruned, and its accuracy on the test part."""
    net = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=seed)
    for _ in recipe(net, data, sparsity, epochs=EPOCHS, train=train, prune=prune, rng=seed):
        pass  # a recipe is a loop that yields its steps, as training is
    return net, mn.evaluate(net, data.X_test, data.y_test).accuracy


# %% [markdown]
# Two seeds each, and the mean of both:

# %%
RECIPES = {
    "snip": partial(pruned, mn.recipes.snip, prune=partial(mn.prune, criterion="snip")),
    "one_shot": partial(pruned, mn.recipes.one_shot),
    "iterative": partial(pruned, mn.recipes.iterative),
    "gradual": partial(pruned, mn.recipes.gradual),
}
found = {}


def race(name, recipe):
    """Run a recipe for all sparsities and seeds, and print the means."""
    runs = [[recipe(sparsity, seed)[1] for seed in range(SEEDS)] for sparsity in SPARSITIES]
    found[name] = np.array(runs)
    means = ", ".join(f"{np.mean(run):.1%} at {sparsity:.0%}" for run, sparsity in zip(runs, SPARSITIES, strict=True))
    print(f"{name:>13}: {means}")


for name, recipe in RECIPES.items():
    race(name, recipe)

# %% [markdown]
# At 90 % it hardly matters. At 95 % the plan that most people would call the natural one, train, prune, train on,
# falls apart. Let us look inside.

# %%
for name in ("one_shot", "gradual"):
    net, _ = RECIPES[name](SPARSITIES[-2:][0], 0)
    layers = ", ".join(f"{p.mask.sum():,} of {p.mask.size:,}" for p in net.weight_parameters)
    print(f"{name:>13} leaves in its layers {layers}")

# %% [markdown]
# One shot by magnitude leaves the middle layer with a few dozen weights of 30,000. Signals hardly get through, and
# what does not get through can't be trained. It is the trap of lesson 2: the weights of that layer are smaller than
# the others, and magnitude compares them all. Gradual pruning asks the same question, but a little at a time. In
# between, the weights that are left grow into the work of those that are gone, and then they are no longer small.
#
# If that is true, a criterion that makes no such mistake can do it all in one shot. Lesson 3 knows one.

# %%
race("one_shot, obd", partial(pruned, mn.recipes.one_shot, prune=partial(mn.prune, criterion="obd")))

# %% [markdown]
# **The picture**: the share of test images that are wrong after twenty epochs, for three sparsities; a line is the
# mean of two seeds, a dot is one of them. The dashed line is one shot again, by `obd`.

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for i, (name, runs) in enumerate(found.items()):
    ax.plot(SPARSITIES, 1 - runs.mean(axis=1), color=f"C{i}", linestyle="--" if "obd" in name else "-", label=name)
    ax.plot(SPARSITIES, 1 - runs, ".", color=f"C{i}")
ax.set(yscale="log", xlabel="sparsity", ylabel="share that is wrong", xticks=SPARSITIES,
       title="The same epochs, the same number of weights")
ax.legend()
fig.savefig(PICTURE, dpi=90)

# %% [markdown]
# **The surprise.** At 95 %, one shot by magnitude ends at **25.6%**, after ten more epochs of training. Spread over
# time (`gradual`) the same rule ends at **97.6%**, and the same one shot by `obd` at **96.7% at 95%**. Even weights
# chosen before any training (`snip`) end at **96.2% at 95%**. Pruning slowly and knowing better are, up to a point,
# two ways to buy the same thing: the slow way lets the net correct a poor criterion.
#
# **To think about.** `gradual` here stops pruning after half of the epochs and trains the final net for the other
# half. What would you expect if it pruned until the very last epoch? (`end=1.0` tries it.)

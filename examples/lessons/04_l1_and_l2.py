# %% [markdown]
# # 4. L1, L2, and why one makes zeros
#
# One may wait until training has ended and then look for small weights. Or one may ask for small weights while
# training, by adding their size to the loss:
#
#     L2:  strength / 2 * sum of w^2      (ridge: Hoerl and Kennard, 1970)
#     L1:  strength * sum of |w|          (the lasso: Tibshirani, 1996)
#
# Every textbook says that L1 makes weights exactly 0 and L2 does not. Let us look for the zeros, and find out where
# they come from.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import minnet as mn

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_04.png")
HIDDEN = (20, 10) if QUICK else (300, 100)  # LeNet-300-100

# %% [markdown]
# L1 has a corner at 0, and so no derivative there. Most programs do not mind: away from 0 the derivative is `strength
# * sign(w)`, and this is added to the gradient. In minnet that is a penalty of four lines:

# %%


class L1ByGradient(mn.Penalty):
    """strength * sum of |w|, as if it were smooth."""

    def smooth_of(self, w, strength):
        return strength * np.abs(w, dtype=np.float64).sum()

    def gradient_of(self, w, strength, out):
        out += strength * np.sign(w)


# %% [markdown]
# minnet's own `L1` moves the weights by its *proximal step* after each step of the optimizer, with learning rate `lr`
# (Parikh and Boyd, 2014, "Proximal algorithms", section 6.5.2):
#
#     L1:  w <- sign(w) max(|w| - lr * strength, 0)     what lies within lr * strength of 0 becomes 0
#     L2:  w <- w - lr * strength * w                   a small weight is pulled by little, a tiny one by almost nothing
#
# Four nets, the same start, the same batches:

# %%
STRENGTH = 0.005
data = mn.load_data("digits", rng=0)
nets = {}
for name, penalty in (("none", None), ("L2", mn.penalties.L2(STRENGTH)), ("L1 by gradient", L1ByGradient(STRENGTH)),
                      ("L1", mn.penalties.L1(STRENGTH))):
    nets[name] = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0)
    for _ in mn.train(nets[name], data, optimizer=mn.SGD(lr=0.1, momentum=0.9), penalty=penalty,
                      epochs=1 if QUICK else 20, batch_size=32, lr_schedule="cosine", rng=0):
        pass
    sizes = np.abs(nets[name].weights)
    accuracy = mn.evaluate(nets[name], data.X_test, data.y_test).accuracy
    print(f"{name:>14}: {np.sum(sizes == 0):6,} of {sizes.size:,} weights are 0, {np.mean(sizes < 0.001):5.1%} are "
          f"below 0.001; accuracy {accuracy:.1%}")

# %% [markdown]
# Zeros that are really 0 have a charm of their own: pruning them costs nothing, not even a rounding.

# %%
model = nets["L1"]
zeros = int(np.sum(model.weights == 0))
before = model(data.X_test)
mn.prune(model, count=zeros)
same = np.array_equal(before, model(data.X_test))
print(f"pruned the zeros: {model.sparsity:.1%} of the weights; the outputs are the same, bit for bit: {same}")

# %% [markdown]
# **The picture**: how large the weights are. A weight of exactly 0 has no place on a logarithmic axis; the bar at the
# left shows these.

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
bins = np.logspace(-7, 0.5, 60)  # what is smaller is counted in the first
for (name, net), colour in zip(nets.items(), ("tab:gray", "tab:orange", "tab:red", "tab:blue"), strict=True):
    sizes = np.abs(net.weights)
    ax.hist(np.clip(sizes[sizes > 0], bins[0], None), bins, histtype="step", color=colour, label=name)
ax.bar(2e-8, zeros, width=2e-8, color="tab:blue", label=f"L1: {zeros:,} are 0")
ax.set(xscale="log", yscale="log", xlabel="|w|", ylabel="weights", title="The sizes of the weights after training")
ax.legend()
fig.savefig(PICTURE, dpi=90)

# %% [markdown]
# **The surprise.** L1 that is added to the gradient makes **0 of 50,200** zeros. It does make small weights:
# **99.3%** of them are below 0.001. But its pull is as strong at 0 as anywhere, so a weight steps over 0, is pulled
# back, steps over it again, and never lands. The same L1 by its proximal step makes **37,162 of 50,200**. It is not
# the penalty that makes the zeros. It is the step that knows about the corner.
#
# L2 makes none in either way: its pull on a weight is in proportion to the weight, and dies with it.
#
# **To think about.** Many programs train by L1 in the gradient and then remove what is "near 0". Which threshold
# would you take from the red curve, and who tells you? (`mn.prune` takes a count instead.)

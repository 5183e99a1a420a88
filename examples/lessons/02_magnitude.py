# %% [markdown]
# # 2. Magnitude and its traps
#
# The oldest rule is the simplest: remove the weights nearest to 0 (Hagiwara, 1994; Han et al., 2015).
#
#     score(w) = |w|
#
# It needs no data and no time, and with training afterwards it is hard to beat. But does it measure what a weight is
# worth? Let us try to fool it, twice.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import minnet as mn

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_02.png")
HIDDEN = (20, 10) if QUICK else (300, 100)  # LeNet-300-100

data = mn.load_data("digits", rng=0)
model = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0)
for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.1, momentum=0.9), epochs=1 if QUICK else 20, batch_size=32,
                  lr_schedule="cosine", rng=0):
    pass


def accuracy(net, sparsity=None, **how):
    """The accuracy on the test part of a copy that is pruned and not trained again."""
    net = net.clone()
    if sparsity is not None:
        mn.prune(net, sparsity, **how)
    return mn.evaluate(net, data.X_test, data.y_test).accuracy


# %% [markdown]
# **The first trap: scale.** A ReLU does not mind scale: `relu(10 x) = 10 relu(x)`. So multiply the weights and biases
# of the first layer by 10, and divide the weights of the second layer by 10. Every output stays the same.

# %%
rescaled = model.clone()
first, second = rescaled.layers["dense1"], rescaled.layers["dense2"]
first.weight.value[...] *= 10
first.bias.value[...] *= 10
second.weight.value[...] /= 10
difference = np.abs(model(data.X_test) - rescaled(data.X_test)).max()
print(f"the outputs of the two nets differ by {difference:.0e} at most: rounding")

# %% [markdown]
# The two are one function. Now remove 80 % of the weights of each, the smallest first.

# %%
same = {"as trained": model, "rescaled": rescaled}
for name, net in same.items():
    print(f"{name:>10}: {accuracy(net):.1%} whole, {accuracy(net, 0.8):.1%} with 80 % removed by magnitude")

# %% [markdown]
# All weights are compared with each other, and those of the second layer now look tiny: the cut takes that layer
# almost whole. What helps is to compare a weight with its own layer. `lamp` divides `w^2` by the sum of the squares
# that are at least as large in the same layer (Lee et al., 2021), and `distribution="layerwise"` takes the same share
# of every layer. Neither sees a scale.

# %%
for name, net in same.items():
    print(f"{name:>10}: {accuracy(net, 0.8, criterion='lamp'):.1%} by lamp, "
          f"{accuracy(net, 0.8, distribution='layerwise'):.1%} by magnitude, 80 % of each layer")

# %% [markdown]
# **The second trap: weights that never learned.** Some pixels of these images never change: the corner is always
# black. A weight that reads such a pixel gets no gradient. It keeps the size that it was born with, and does nothing
# at all. Does magnitude see that?

# %%
still = data.X_train.reshape(len(data.X_train), -1).std(axis=0) == 0  # pixels that are the same in every image
kept = {}
for criterion in ("magnitude", "obd"):
    net = model.clone()
    mn.prune(net, 0.9, criterion=criterion, data=data, rng=0)
    kept[criterion] = net.layers["dense1"].weight.mask.sum(axis=1)  # the live weights that read each pixel
    print(f"{criterion:>10} keeps {kept[criterion][still].sum()} weights that read one of the {still.sum()} pixels "
          "that never change")

# %% [markdown]
# **The picture**: left, one function written in two ways; right, how many weights read each pixel after 90 % were
# removed by magnitude, with crosses where the pixel never changes.

# %%
sparsities = [0.5, 0.8] if QUICK else [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained", width_ratios=(3, 2))
for (name, net), style in zip(same.items(), ("-", "--"), strict=True):
    for criterion, colour in (("magnitude", "tab:red"), ("lamp", "tab:blue")):
        curve = [accuracy(net, s, criterion=criterion) for s in sparsities]
        left.plot(sparsities, curve, style, color=colour, marker=".", label=f"{criterion}, {name}")
left.set(xlabel="sparsity", ylabel="accuracy, not trained again", title="The same function twice")
left.legend()
image = right.imshow(kept["magnitude"].reshape(8, 8), cmap="viridis", vmin=0)
right.scatter(*(np.argwhere(still.reshape(8, 8)).T[::-1]), marker="x", color="white")
right.set(title="Live weights of each pixel", xticks=[], yticks=[])
fig.colorbar(image, ax=right, shrink=0.8)
fig.savefig(PICTURE, dpi=90)

# %% [markdown]
# **The surprise.** Two nets give the same outputs for every image. With 80 % removed by magnitude one is right on
# **95.3%** of the test images and the other on **9.7%**, which is guessing. And of the weights kept at 90 %, **162**
# read pixels that never change: they were born large, and that was all. `obd`, which asks the data, keeps **0** of
# them.
#
# Why does magnitude work so well all the same? Weight decay and the usual way to draw the first weights put the
# layers of a net on similar scales, and what is used grows. Magnitude is a good guess wherever training made size and
# use agree, and nothing makes them agree by law.
#
# **To think about.** BatchNorm makes a net blind to the scale of every layer in front of it. What does `|w|` mean in
# such a net, and what does weight decay?

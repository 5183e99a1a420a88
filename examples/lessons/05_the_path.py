# %% [markdown]
# # 5. The proximal step and the path
#
# Lesson 4 took one strength of L1 and got one number of zeros. Which strength is right? Nobody knows beforehand. So
# one takes them all, in order, and starts each from the weights of the one before. That is *the path*, and
# statisticians have followed it for decades (Friedman, Hastie and Tibshirani, 2010, "Regularization paths for
# generalized linear models via coordinate descent", section 2.5). What does it look like, and does it work for a net?

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import minnet as mn

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_05.png")
HIDDEN = (20, 10) if QUICK else (300, 100)  # LeNet-300-100

data = mn.load_data("digits", rng=0)

def accuracy(net):
    """The accuracy on the test part."""
    return mn.evaluate(net, data.X_test, data.y_test).accuracy


# %% [markdown]
# **First without hidden layers**: 64 pixels, 10 classes, 640 weights. The loss is convex, so there is one minimum for
# each strength, and it does not matter where one starts. Begin with all weights 0. Weight `w` stays 0 as long as the
# pull of L1 is stronger than that of the loss:
#
#     w = 0 is the minimum   if   |dL/dw| <= strength   for every weight
#
# So the largest gradient at 0 says at which strength the first weight appears. At 0 every class has the probability
# 1/10, and the gradient is short: `X' (1/10 - Y) / n`, with `Y` 1 for the right class and 0 for the others.

# %%
linear = mn.Model(mn.Sequential(mn.Flatten(), mn.Dense(10)), data.shape, rng=0)
linear.values[:] = 0
n = len(data.X_train)
largest = np.abs(data.scaled(data.X_train).reshape(n, -1).T @ (0.1 - np.eye(10)[data.y_train]) / n).max()
print(f"the largest |dL/dw| at 0: {largest:.3f}; with a stronger L1 all weights are 0")

strengths, path = np.geomspace(1.2 * largest, 0.0002, 4 if QUICK else 20), []
for strength in strengths:
    steps = mn.train(linear, data, optimizer=mn.SGD(1.0), penalty=mn.penalties.L1(strength), batch_size=n, rng=0,
                     epochs=5 if QUICK else 60)  # a step for each pass over all rows
    for _ in mn.fista(steps):  # proximal steps with Nesterov's momentum (Beck and Teboulle, 2009)
        pass
    path.append(linear.weights.copy())
    if len(path) in (1, 2, 3, 8, len(strengths)):
        live = np.count_nonzero(path[-1])
        print(f"strength {strength:.4f}: {live:3} of 640 weights, accuracy {accuracy(linear):.1%}")

# %% [markdown]
# The weights come in a few at a time, those that help most first, and the path stops wherever you like.
#
# **Now a net.** Start it at 0 as well, and make it easy: no penalty at all.

# %%


def trained(net, epochs, lr=0.1, **how):
    """Train a net and return it."""
    for _ in mn.train(net, data, optimizer=mn.SGD(lr, momentum=0.9), epochs=epochs, batch_size=32, **how):
        pass
    return net


zero = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0)
zero.values[:] = 0
trained(zero, 1 if QUICK else 5, rng=0)
print(f"a net that starts at 0: accuracy {accuracy(zero):.1%}, {np.count_nonzero(zero.weights)} weights are not 0")

# %% [markdown]
# It never leaves. The gradient of a weight is its input times what flows back, and in a net of zeros both are 0:
# nothing comes in, nothing comes back. So for a net the path has to be walked from its other end. Train the dense
# net, then raise the strength step by step, and let the proximal step set to 0 what it can.

# %%
dense = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0)
trained(dense, 1 if QUICK else 10, lr_schedule="cosine", rng=0)
net, walk = dense.clone(), []
for i, strength in enumerate(np.geomspace(0.01, 0.5, 4 if QUICK else 12)):
    trained(net, 1 if QUICK else 3, lr=0.02, penalty=mn.penalties.L1(strength), rng=i)
    cut = dense.clone()
    mn.prune(cut, count=int(np.sum(net.weights == 0)))  # as many weights, by magnitude, at once
    walk.append((np.mean(net.weights == 0), accuracy(net), accuracy(cut)))
    print(f"strength {strength:.3f}: {walk[-1][0]:5.1%} zeros, accuracy {walk[-1][1]:.1%}; "
          f"the dense net cut to as many: {walk[-1][2]:.1%}")

# %% [markdown]
# **The picture**: left, the path of the linear classifier, a line for each of the 64 weights of the digit 0, from a
# strong L1 to a weak one; right, the path of the net, beside the dense net cut to the same number of weights by
# magnitude.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained")
left.plot(strengths, np.array(path).reshape(-1, 64, 10)[..., 0], color="tab:blue", linewidth=0.8)
left.set(xscale="log", xlabel="strength of L1", ylabel="weight", title="64 weights of the digit 0")
left.invert_xaxis()
zeros, on_path, at_once = np.array(walk).T
right.plot(1 - zeros, on_path, "o-", color="tab:blue", label="path of L1")
right.plot(1 - zeros, at_once, "s--", color="tab:red", label="cut at once")
right.set(xscale="log", xlabel="share of the weights that are left", ylabel="accuracy",
          title="A net of two hidden layers")
right.invert_xaxis()
right.legend()
fig.savefig(PICTURE, dpi=90)

# %% [markdown]
# **The surprise.** A net that starts at 0 stays there: after five epochs without any penalty **0 weights** are not 0.
# Walked from the dense end, the path keeps **93.3%** of the test images right at **98.3% zeros**, where the same
# dense net, cut at once to as many weights by magnitude, is left with **9.7%**. Nobody chose these weights: the
# penalty asked for fewer, a little more at each step, and training chose.
#
# And do not be too proud of the net. The linear classifier is right on **95.5%** with **308 of 640** weights.
# `mn.recipes.proximal` walks such a path until as many weights are 0 as you ask for, cuts these, and trains on.
#
# **To think about.** L1 pulls at every weight, also at those that it keeps. What does that do to the outputs, and why
# does the recipe train on without the penalty once the zeros are found?

# %% [markdown]
# # 3. Gradients, Taylor, and why they disagree with magnitude
#
# Lesson 2 fooled magnitude, because magnitude never asks the data. So let us ask. Training gives a gradient for every
# weight, for free: surely the weights with a large gradient matter most? Here are four criteria that one meets
# everywhere. With `g = dL/dw` and `h` the second derivative:
#
#     gradient   |g|              Evci et al., 2020, who use it to decide where weights should grow
#     taylor     |w g|            Molchanov et al., 2017 and 2019
#     magnitude  |w|              Hagiwara, 1994
#     obd        1/2 h w^2        LeCun, Denker and Solla, 1990
#
# What follows is a race at 90 %, without any training afterwards. Place your bets.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import minnet as mn

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_03.png")
HIDDEN = (20, 10) if QUICK else (300, 100)  # LeNet-300-100
CRITERIA = ("gradient", "taylor", "magnitude", "obd")

data = mn.load_data("digits", rng=0)


def trained(epochs):
    """A LeNet-300-100 after so many epochs."""
    net = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0)
    for _ in mn.train(net, data, optimizer=mn.SGD(lr=0.1, momentum=0.9), epochs=epochs, batch_size=32,
                      lr_schedule="cosine", rng=0):
        pass
    return net


def accuracy(net, criterion, samples=1024):
    """The accuracy on the test part once 90 % are removed by a criterion that sees so many images."""
    net = net.clone()
    mn.prune(net, 0.9, criterion=criterion, data=data, samples=samples, rng=0)
    return mn.evaluate(net, data.X_test, data.y_test).accuracy


model = trained(1 if QUICK else 20)
race = {criterion: accuracy(model, criterion) for criterion in ("random", *CRITERIA)}
for criterion, found in race.items():
    print(f"{criterion:>10}: {found:.1%}")

# %% [markdown]
# The gradient, which sounds so sensible, is little better than chance. Taylor's first order is beaten by magnitude,
# which never saw an image. To see why, write down what removing weights does. Removing is a step: from `w` to `w +
# d`, where `d` is `-w` for the weights that are removed and 0 for the others.
#
#     L(w + d) - L(w)  =  g'd  +  1/2 d'H d  +  ...
#
# `|g|` forgets the length of the step. That is its whole trouble: it is happy to remove a very long weight, if only
# the loss is flat just here. `|w g|` is the first term of one weight, `1/2 h w^2` is the second. So one would expect
# these two to know best what one weight does. Let us ask the truth of lesson 1, with every one of the 50,200 weights
# removed alone.

# %%
n = 40 if QUICK else 400
few = data.X_train[:n], data.y_train[:n]
truth = mn.criteria.oracle(model, few)
guesses = {criterion: mn.criteria.CRITERIA[criterion](model, few) for criterion in CRITERIA}


def rank_correlation(a, b):
    """Spearman's: 1 for the same order, 0 for none in common."""
    return np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1]


agree = {criterion: rank_correlation(guess, np.abs(truth)) for criterion, guess in guesses.items()}
for criterion, r in agree.items():
    print(f"{criterion:>10}: rank correlation {r:.2f} with the size of the change of the loss")

# %% [markdown]
# For one weight Taylor is nearly perfect, and magnitude is poor. Then why does magnitude win the race? Because the
# race is not about one weight. It removes 45,180 of them at once, and that is a *long* step. Here is what each
# criterion's step looks like: its length, what the first and second order say it costs (adding up the single
# weights), and what it does cost.

# %%
w, rows = model.weights, (data.X_train[:1000], data.y_train[:1000])
first, second = mn.criteria.taylor(model, rows), mn.criteria.obd(model, rows)
loss = mn.evaluate(model, *rows).loss
for criterion in CRITERIA:
    net = model.clone()
    mn.prune(net, 0.9, criterion=criterion, data=data, rng=0)
    gone = ~net.mask[: net.n_weights]
    length = (w[gone] ** 2).sum() / (w**2).sum()
    rise = mn.evaluate(net, *rows).loss - loss
    print(f"{criterion:>10}: {length:.0%} of the squared length of w; |w g| says {first[gone].sum():.3f}, "
          f"1/2 h w^2 says {second[gone].sum():.4f}; the loss rises by {rise:.2f}")

# %% [markdown]
# Every prediction is far too small, the best of them by more than ten times: no expansion at `w` reaches that far,
# and sums over single weights leave out what the weights do together (`1/2 d'H d` has a term for every pair). But the
# table shows what helps on a long road: keep it short, and keep it shortest where the loss curves. The gradient takes
# the longest step of all, over the most curvature. Taylor and magnitude cross much the same curvature, and magnitude
# by a shorter step: no other 45,180 weights make a shorter one. `obd` crosses the least curvature by far.
#
# Taylor has one trouble more. In a net that has been trained, `g` is nearly 0. What is left of it is what the images
# of the sample did not quite cancel, and so it depends on which images these are.

# %%
size = len(data.X_train)
for criterion in ("taylor", "obd"):
    print(f"{criterion:>10}: {race[criterion]:.1%} by 1,024 of the {size:,} images, "
          f"{accuracy(model, criterion, None):.1%} by all of them")
print(f"    fisher: {accuracy(model, 'fisher'):.1%} (the square of each image's own gradient: nothing can cancel)")
young = trained(1)
early = {criterion: accuracy(young, criterion) for criterion in CRITERIA}
print("after 1 epoch: " + ", ".join(f"{criterion} {found:.1%}" for criterion, found in early.items()))

# %% [markdown]
# After a single epoch, when the gradient still says where to go, Taylor beats magnitude. And the square of each
# image's gradient, the diagonal of the Fisher matrix (Theis et al., 2018), stands in for `h` at the price of a
# gradient.
#
# One bet is left. Why guess at all? We *have* the truth of every single weight. Prune by that.

# %%
for name, known in (("truth", truth), ("|truth|", np.abs(truth))):
    print(f"{name:>10}: {accuracy(model, lambda net, data, known=known: known):.1%}")

# %% [markdown]
# **The picture**: each dot is a weight. Across, what the criterion says; up, what happens to the loss when this
# weight alone is removed. Above it, how well the criterion orders single weights, and how it did in the race.

# %%
fig, axes = plt.subplots(1, 4, figsize=(8.4, 2.8), layout="constrained", sharey=True)
shown = np.random.default_rng(0).permutation(np.flatnonzero(np.abs(truth) > 1e-9))[:500]
for ax, criterion in zip(axes, CRITERIA, strict=True):
    ax.loglog(guesses[criterion][shown], np.abs(truth[shown]), ".", markersize=2)
    ax.set(title=f"{criterion}\none weight: {agree[criterion]:.2f}\n90 % at once: {race[criterion]:.0%}",
           xlabel="score")
axes[0].set_ylabel("|change of the loss|")
fig.savefig(PICTURE, dpi=80)

# %% [markdown]
# **The surprise.** For one weight at a time, `taylor` has a rank correlation of **0.98** with what really happens,
# and `magnitude` of **0.34**. With 90 % removed at once `magnitude` keeps **67.4%** of the test images right, and
# `taylor` **38.4%**. Even the truth itself, the exact change of the loss for every single weight, leaves **30.4%**.
# Knowing each weight perfectly is not knowing what a set of them does.
#
# So when is which one right? Where little is removed at a time, with training between, steps are short and `taylor`
# is good and cheap. At once and far: `obd`, or `magnitude` if there are no data.
#
# **To think about.** At initialisation no net is at a minimum, and `snip` prunes there by `|w g|` (Lee, Ajanthan and
# Torr, 2019). Which of the troubles above does it not have, and which does it keep?

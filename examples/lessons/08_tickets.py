# %% [markdown]
# # 8. Lottery tickets and their controls
#
# Train a net, prune it, and put the weights that are left back to the values they had *before* training. Train again.
# It learns as well as the whole net did: a "winning ticket" (Frankle and Carbin, 2019, "The lottery ticket
# hypothesis"). A lovely story: the big net was only a big bag of tickets. But what makes a ticket win? There are
# three suspects:
#
# - the **values** that the weights began with,
# - the **places** of the weights inside each layer,
# - the **counts**: how many weights each layer has.
#
# One finds out by controls: keep one thing, and draw the others anew (Frankle et al., 2021, "Pruning neural networks
# at initialization: why are we missing the mark?").

# %%
import os
from functools import partial

import matplotlib.pyplot as plt

import minnet as mn

QUICK = "LESSON_QUICK" in os.environ  # tiny, as the tests run it
PICTURE = os.environ.get("LESSON_PICTURE", "lesson_08.png")
HIDDEN = (20, 10) if QUICK else (300, 100)  # LeNet-300-100
ROUNDS, EPOCHS = (1, 1) if QUICK else (4, 5)  # rounds of pruning, and epochs of each training
SPARSITY = 0.95

data = mn.load_data("digits", rng=0)
train = partial(mn.train, optimizer=mn.SGD(lr=0.1, momentum=0.9), batch_size=32, lr_schedule="cosine")


def accuracy(net):
    """The accuracy on the test part."""
    return mn.evaluate(net, data.X_test, data.y_test).accuracy


# %% [markdown]
# The recipe trains five epochs, prunes, rewinds, and so on, four times; then it trains the ticket for five epochs. A
# control changes the ticket just before this last training.

# %%
TICKETS = {"ticket": None, "new values": "reinitialised", "new places": "shuffled", "new places and counts": "erk"}
nets, curves = {}, {}
for name, control in TICKETS.items():
    nets[name] = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0)
    steps = mn.recipes.lottery_ticket(nets[name], data, SPARSITY, epochs=(ROUNDS + 1) * EPOCHS, rounds=ROUNDS,
                                      control=control, train=train, rng=0)
    curves[name] = [accuracy(nets[name]) for _ in steps][-EPOCHS:]  # a step is an epoch
    counts = ", ".join(f"{p.mask.sum():,}" for p in nets[name].weight_parameters)
    print(f"{name:>21}: {curves[name][0]:.1%} after 1 epoch, {curves[name][-1]:.1%} after {EPOCHS}; layers {counts}")

# %% [markdown]
# So the values matter, and the places too. The story is true! But look at the setting before you pass it on. Five
# epochs are short. What if all four may train on, for four times as long?

# %%
for name, net in nets.items():
    for _ in train(net, data, epochs=4 * EPOCHS, rng=1):
        curves[name].append(accuracy(net))
    print(f"{name:>21}: {curves[name][-1]:.1%} after {5 * EPOCHS} epochs")

# %% [markdown]
# And one control that is often forgotten: do not rewind at all. Spend the epochs on one net that is pruned while it
# trains.

# %%
gradual = mn.models.mlp(data.shape, data.n_classes, HIDDEN, rng=0)
for _ in mn.recipes.gradual(gradual, data, SPARSITY, epochs=(ROUNDS + 1) * EPOCHS, train=train, rng=0):
    pass
print(f"      without rewinding: {accuracy(gradual):.1%} after the {(ROUNDS + 1) * EPOCHS} epochs that the ticket took")

# %% [markdown]
# **The picture**: the last training of the ticket and of its three controls, epoch by epoch; after the dotted line
# all train on.

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for name, curve in curves.items():
    ax.plot(range(1, len(curve) + 1), curve, ".-", label=name)
ax.axvline(EPOCHS, color="black", linestyle=":")
ax.axhline(accuracy(gradual), color="tab:gray", linestyle="--", label="pruned gradually, no rewinding")
ax.set(xlabel="epochs of the last training", ylabel="accuracy", title="95 % removed: what makes a ticket win?")
ax.legend()
fig.savefig(PICTURE, dpi=90)

# %% [markdown]
# **The surprise.** With five epochs the ticket is right on **95.0%** and the same mask with new values on **72.1%**:
# a clear win. With twenty more it is **96.1%** against **96.7%**: the win is gone. What the old values gave this
# ticket was a head start, not a better end. The places are another matter: shuffled inside each layer they stay
# behind, at **90.8%**.
#
# And the net that was pruned gradually, in the time that it took to find the ticket, has **96.7%** too. A ticket is a
# question about training more than a way to get a small net. Its mask is found by training the dense net several
# times.
#
# **To think about.** Large nets have tickets only if one rewinds to a few epochs after the start (`rewind=2` here),
# not to the start itself (Frankle et al., 2020, "Linear mode connectivity and the lottery ticket hypothesis"). Is
# such an early net still a draw in a lottery? What control would tell?

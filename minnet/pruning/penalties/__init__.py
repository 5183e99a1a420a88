"""Penalties: what is added to the loss so that weights become small, or exactly 0, while the net is trained.

    train(model, data, penalty=L1(1e-4))
    train(model, data, penalty=[L1({"dense1": 1e-3, "*": 1e-4}), L2(1e-5)])

A penalty is the sum of a smooth part, whose gradient joins that of the loss (`add_gradient`, before the step), and the
rest, which acts after the step as a proximal operator (`prox`):

    prox(w) = argmin over v of |v - w|^2 / 2 + lr * rest(v)

Penalties touch weights only. Their strength is a number, or a dict of layers (names, patterns, kinds) and numbers, of
which the last that matches a layer holds, and no match is 0. The files go from easy to hard; each has a table
PENALTIES (name -> class) at its foot, and what is in it is found everywhere.
"""
from minnet.pruning.penalties import by_gradient, concave, convex, grouped

FILES = (convex, concave, by_gradient, grouped)
PENALTIES = {name: made for file in FILES for name, made in file.PENALTIES.items()}


def __getattr__(name):
    for made in PENALTIES.values():
        if made.__name__ == name:
            return made
    raise AttributeError(f"minnet has no penalty {name!r}: it has {', '.join(f.__name__ for f in PENALTIES.values())}")


def __dir__():
    return sorted([*globals(), *(made.__name__ for made in PENALTIES.values())])

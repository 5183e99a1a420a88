"""Recipes: when pruning and training take turns. Each is a generator of training Steps:

    for step in recipes.gradual(model, data, 0.9, epochs=30, rng=0,
                                prune=partial(prune, criterion="snip", layers="conv*"),
                                train=partial(train, optimizer=SGD(0.1, momentum=0.9), batch_size=64)):
        print(step.epoch, step.loss, step.model.sparsity)

All take (model, data, sparsity, *, epochs, schedule, prune, train, rng), and may take more. `epochs` is the whole of
the training, `sparsity` where it ends (None where the structure or the distribution sets its own count), `schedule` a
name in SCHEDULES, a function of progress or a list. `prune` and `train` are those of minnet, with their own arguments
bound by `functools.partial`; the recipe adds the count, the data, the epochs and the rng. Arguments are checked, and
the pruning is tried out once, when the recipe is called: before any training. With a
`record=mn.Record()` bound to `prune` the record says in the end in which round each weight went, and why; with a
`compensate="least_squares"` what stays makes up for what went after each round.
"""
from minnet.pruning.recipes import iterated, masking, regrow

FILES = (masking, iterated, regrow)
RECIPES = {name: function for file in FILES for name, function in file.RECIPES.items()}
REGROW = frozenset(regrow.RECIPES)  # a weight that went may come again; single weights only


def __getattr__(name):
    if name in RECIPES:
        return RECIPES[name]
    raise AttributeError(f"minnet has no recipe {name!r}: it has {', '.join(RECIPES)}")


def __dir__():
    return sorted([*globals(), *RECIPES])

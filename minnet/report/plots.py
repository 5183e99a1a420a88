"""Plots of studies, drawn by Matplotlib (the extra "report"). Each returns the axes that it drew into.

    plot_sensitivity(sensitivity(model, data)).figure.savefig("sensitivity.png")
    plot_agreement(compare_criteria(model, data), ax=ax)
"""
from minnet.errors import import_optional, unknown

EXTRA = "report"


def plot_sensitivity(result, score=None, ax=None):
    """A line for each layer: the `score` (the first by default) over the sparsity of that layer alone; dashed, the
    model as it was. `result` is a `Sensitivity`."""
    score = result.scores[0] if score is None else score
    if score not in result.scores:
        raise unknown("score", score, result.scores)
    ax = _axes(ax)
    for name in result.layers:
        ax.plot(result.sparsities, result.at(layer=name, score=score), marker="o", label=name)
    ax.axhline(result.base[result.scores.index(score)], linestyle="--", color="grey", label="as it was")
    return _named(ax, "sparsity of the layer", score.replace("_", " "))


def plot_agreement(agreement, ax=None):
    """A line for each criterion: the share of the oracle's removals that it makes too, over the sparsity; dashed, what
    random removal comes to. `agreement` is what `compare_criteria` returns."""
    ax = _axes(ax)
    for guess in agreement.guesses:
        if not guess.reason:
            ax.plot(agreement.sparsities, guess.overlap, marker="o", label=guess.criterion)
    ax.plot((0, 1), (0, 1), linestyle="--", color="grey", label="chance")
    return _named(ax, "sparsity", "removed by the oracle too")


def _axes(ax):
    """`ax`, or those of a new figure that belongs to nobody's state."""
    if ax is not None:
        return ax
    return import_optional("matplotlib.figure", EXTRA, "a plot").Figure(layout="constrained").subplots()


def _named(ax, x, y):
    ax.set(xlabel=x, ylabel=y)
    ax.legend()
    return ax

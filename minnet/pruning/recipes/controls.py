"""Controls: what a mask that was found is compared with, to see what of it matters (Frankle et al., 2021).

    early = model.values.copy()
    prune(model, 0.9, criterion="snip", data=data)
    control_of(model, "shuffled", early, rng=0)               # as many weights of each layer, others
    prune(other, 0.9, criterion=inverted("snip"), data=data)  # the weights that snip removes

Recipes that find a ticket take the name of a control: `snip(model, data, 0.9, control="shuffled")`.
"""
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.errors import InvalidValue, Unsupported, check_choice
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.prune import prune
from minnet.pruning.recipes.goal import Goal, bound_to
from minnet.pruning.recipes.moving import check_single
from minnet.pruning.scores import Criterion
from minnet.typing import Seed

SPREAD = {"uniform": "layerwise", "erk": "erk"}  # random masks of these densities


def control_of(model: Model, control: str, values: np.ndarray, *, base: np.ndarray | None = None,
               layers: Sequence[str] | None = None, rng: Seed = None) -> None:
    """Put a control in the place of a model's mask and early values.

    "reinitialised" keeps the mask and draws new values, as the layers are initialised. The others keep the early
    values: "shuffled" permutes the mask inside each layer; "uniform" and "erk" draw one with the same count in all, at
    densities that are equal, or those of Erdos-Renyi-kernel.

    Parameters
    ----------
    model : Model
        The pruned model; its mask and its values are changed.
    control : str
        "reinitialised", "shuffled", "uniform" or "erk".
    values : ndarray
        The values of all weights before they were masked, as long as ``model.values``.
    base : ndarray of bool, optional
        The mask before it was pruned: what was masked then stays so. By default nothing was.
    layers : list of str, optional
        The layers that were pruned; all by default.
    rng : int or Generator, optional
        The source of all randomness.

    Raises
    ------
    UnknownName
        If there is no such control.
    Unsupported
        If a layer was born sparse.

    References
    ----------
    .. [1] Frankle et al., 2021, "Pruning neural networks at initialization: why are we missing the mark?", section 5.
    """
    check_choice("control", control, {**dict.fromkeys(("reinitialised", "shuffled")), **SPREAD})
    if any(p.index is not None for p in model.weight_parameters):
        raise Unsupported(f"control={control!r}: controls are for masks of dense layers, and this model has a layer "
                          "that was born sparse")
    rng, base = as_rng(rng), np.ones_like(model.mask) if base is None else base
    chosen = [p for p in model.weight_parameters if layers is None or p.layer in layers]
    mask = model.mask.copy()
    if control == "reinitialised":
        values = Model(model.tree, model.input_shape, rng=rng, dtype=model.dtype.type).values
    elif control == "shuffled":
        for p in chosen:
            mask[p.slice][base[p.slice]] = rng.permutation(mask[p.slice][base[p.slice]])
    else:
        gone = sum(int(np.count_nonzero(~mask[p.slice])) for p in chosen)
        model.set_mask(base)
        prune(model, count=gone, criterion="random", distribution=SPREAD[control], layers=[p.layer for p in chosen],
              rng=rng)
        mask = model.mask.copy()
    model.mask[:] = mask
    model.values[:] = np.where(mask, values, 0)


def inverted(criterion: Criterion) -> Callable[..., np.ndarray]:
    """Return a criterion whose scores have the other sign, so that the highest are removed first.

    Parameters
    ----------
    criterion : str or callable
        A name in CRITERIA, or a function (model, data) -> scores.

    Returns
    -------
    callable
        A function (model, data) -> scores.
    """
    return _Inverted(check_choice("criterion", criterion, CRITERIA))


class _Inverted:
    def __init__(self, function):
        self.function = function
        self.traits = replace(traits_of(function), signed=True)

    def __call__(self, model, data):
        return -self.function(model, data)


CONTROLS = ("inverted", "reinitialised", "shuffled", *SPREAD)


class Control:
    """What a recipe was asked to do with the ticket that it finds: nothing, or one of CONTROLS.

    Made when the recipe is called; it notes what the model was once the recipe begins.
    """

    def __init__(self, control: str | None, goal: Goal, rng: np.random.Generator) -> None:
        self.name, self.goal, self.rng = control, goal, rng
        if control is None:
            return
        check_choice("control", control, dict.fromkeys(CONTROLS))
        structure = bound_to(goal.prune, "structure", "weight")
        if control not in ("inverted", "reinitialised"):
            check_single(f"control={control!r}", structure)
        if goal.open:
            raise InvalidValue(f"control={control!r} needs a sparsity: a structure or distribution that sets the count "
                               "has none")

    @property
    def inverts(self) -> bool:
        """Whether the highest scores are removed."""
        return self.name == "inverted"

    def of(self, criterion: Criterion) -> Criterion:
        """Return the criterion to prune by."""
        return inverted(criterion) if self.inverts else criterion

    def apply(self, early: np.ndarray, base: np.ndarray) -> None:
        """Make the control of the mask that was found: `early` are all values, `base` is the mask, before it was."""
        if self.name is not None and not self.inverts:
            control_of(self.goal.model, self.name, early, base=base, layers=self.goal.layers, rng=self.rng)

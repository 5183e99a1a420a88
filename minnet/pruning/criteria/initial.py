"""Criteria from where a weight began and where it ended: the nine mask criteria of Zhou et al. (2019), "Deconstructing
lottery tickets", section 2, but for their `random`, which is in data_free.py.

    early = model.values.copy()                                        # before training
    ...
    prune(model, 0.9, criterion=partial(criteria.magnitude_increase, initial=early))

w_i is the initial weight and w_f the final one, which the model holds. All return (n_weights,) in the model's dtype,
look at no data and take no passes. `initial` has the length of the whole vector, or of its weights; the criteria that
need it raise InvalidValue without it.
"""
import numpy as np

from minnet.errors import InvalidValue, check_positive
from minnet.pruning.traits import Traits


def large_final(model, data=None):
    """|w_f|: keep what ended large, as Frankle and Carbin (2019) did; `magnitude` by another name."""
    return np.abs(model.weights)


def small_final(model, data=None):
    """-|w_f|: keep what ended small; a control."""
    return -np.abs(model.weights)


def large_init(model, data=None, initial=None):
    """|w_i|: keep what began large."""
    return np.abs(_began(model, initial, "large_init"))


def small_init(model, data=None, initial=None):
    """-|w_i|: keep what began small; a control."""
    return -np.abs(_began(model, initial, "small_init"))


def large_init_large_final(model, data=None, initial=None, alpha=1.0):
    """min(alpha |w_f|, |w_i|): keep what began large and ended large; `alpha` brings w_f to the scale of w_i."""
    began = np.abs(_began(model, initial, "large_init_large_final"))
    return np.minimum(_scaled(model, alpha), began)


def small_init_small_final(model, data=None, initial=None, alpha=1.0):
    """-max(alpha |w_f|, |w_i|): keep what began small and ended small; a control."""
    began = np.abs(_began(model, initial, "small_init_small_final"))
    return -np.maximum(_scaled(model, alpha), began)


def magnitude_increase(model, data=None, initial=None):
    """|w_f| - |w_i|: keep what grew; below 0 for what shrank."""
    return np.abs(model.weights) - np.abs(_began(model, initial, "magnitude_increase"))


def movement(model, data=None, initial=None):
    """|w_f - w_i|: keep what moved, in either direction."""
    return np.abs(model.weights - _began(model, initial, "movement"))


def _began(model, initial, name):
    """w_i (n_weights,) in the model's dtype."""
    if initial is None:
        raise InvalidValue(f"the criterion {name} compares weights with what they began as: keep early = "
                           f"model.values.copy() and give criterion=partial(criteria.{name}, initial=early)")
    began = np.asarray(initial)
    if began.shape not in (model.values.shape, (model.n_weights,)):
        raise InvalidValue(f"initial has the shape {began.shape}; wanted the whole vector {model.values.shape}, or the "
                           f"weights alone ({model.n_weights},)")
    return began[: model.n_weights].astype(model.dtype, copy=False)


def _scaled(model, alpha):
    """alpha |w_f|, in the model's dtype."""
    return model.dtype.type(check_positive("alpha", alpha)) * np.abs(model.weights)


CRITERIA = {f.__name__: f for f in (large_final, small_final, large_init, small_init, large_init_large_final,
                                    small_init_small_final, magnitude_increase, movement)}
TRAITS = {
    "small_final": Traits(signed=True),
    "large_init": Traits(needs="initial"),
    "small_init": Traits(needs="initial", signed=True),
    "large_init_large_final": Traits(needs="initial"),
    "small_init_small_final": Traits(needs="initial", signed=True),
    "magnitude_increase": Traits(needs="initial", signed=True),
    "movement": Traits(needs="initial"),
}

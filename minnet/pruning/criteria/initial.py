"""Criteria from the initial and the final values of a weight, as Zhou et al. (2019) compare them.

The nine mask criteria of "Deconstructing lottery tickets", section 2, but for `random`, which is in data_free.py:

    early = model.values.copy()                                        # before training
    ...
    prune(model, 0.9, criterion=partial(criteria.magnitude_increase, initial=early))

w_i is the initial weight and w_f the final one, which the model holds. All return (n_weights,) in the model's dtype,
look at no data and take no passes. `initial` has the length of the whole vector, or of its weights; the criteria that
need it raise InvalidValue without it.
"""
import numpy as np

from minnet.engine.model import Model
from minnet.errors import InvalidValue, check_positive
from minnet.pruning.traits import Data, Traits


def large_final(model: Model, data: Data | None = None) -> np.ndarray:
    """Score each weight by its final size, which is `magnitude` by another name.

    ``|w_f|``: keep weights that ended large.

    Parameters
    ----------
    model : Model
        The trained model.
    data : optional
        Not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    References
    ----------
    - Zhou et al., 2019, section 2.
    - Frankle and Carbin, 2019.
    """
    return np.abs(model.weights)


def small_final(model: Model, data: Data | None = None) -> np.ndarray:
    """Score each weight by its negative final size, a control.

    ``-|w_f|``: keep weights that ended small.

    Parameters
    ----------
    model : Model
        The trained model.
    data : optional
        Not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    References
    ----------
    Zhou et al., 2019, section 2.
    """
    return -np.abs(model.weights)


def large_init(model: Model, data: Data | None = None, initial: np.ndarray | None = None) -> np.ndarray:
    """Score each weight by its initial size.

    ``|w_i|``: keep weights that began large.

    Parameters
    ----------
    model : Model
        The trained model.
    data : optional
        Not used.
    initial : ndarray of shape (n_values,) or (n_weights,)
        The values before training.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    Raises
    ------
    InvalidValue
        If `initial` is None or has another shape.

    References
    ----------
    Zhou et al., 2019, section 2.
    """
    return np.abs(_began(model, initial, "large_init"))


def small_init(model: Model, data: Data | None = None, initial: np.ndarray | None = None) -> np.ndarray:
    """Score each weight by its negative initial size, a control.

    ``-|w_i|``: keep weights that began small.

    Parameters
    ----------
    model : Model
        The trained model.
    data : optional
        Not used.
    initial : ndarray of shape (n_values,) or (n_weights,)
        The values before training.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    Raises
    ------
    InvalidValue
        If `initial` is None or has another shape.

    References
    ----------
    Zhou et al., 2019, section 2.
    """
    return -np.abs(_began(model, initial, "small_init"))


def large_init_large_final(model: Model, data: Data | None = None, initial: np.ndarray | None = None,
                           alpha: float = 1.0) -> np.ndarray:
    """Score each weight by the smaller of its initial and its scaled final size.

    ``min(alpha |w_f|, |w_i|)``: keep weights that began large and ended large.

    Parameters
    ----------
    model : Model
        The trained model.
    data : optional
        Not used.
    initial : ndarray of shape (n_values,) or (n_weights,)
        The values before training.
    alpha : float, default 1.0
        Brings w_f to the scale of w_i; above 0.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    Raises
    ------
    InvalidValue
        If `initial` is None or has another shape, or `alpha` is not above 0.

    References
    ----------
    Zhou et al., 2019, section 2.
    """
    began = np.abs(_began(model, initial, "large_init_large_final"))
    return np.minimum(_scaled(model, alpha), began)


def small_init_small_final(model: Model, data: Data | None = None, initial: np.ndarray | None = None,
                           alpha: float = 1.0) -> np.ndarray:
    """Score each weight by the larger of its initial and its scaled final size, negative: a control.

    ``-max(alpha |w_f|, |w_i|)``: keep weights that began small and ended small.

    Parameters
    ----------
    model : Model
        The trained model.
    data : optional
        Not used.
    initial : ndarray of shape (n_values,) or (n_weights,)
        The values before training.
    alpha : float, default 1.0
        Brings w_f to the scale of w_i; above 0.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    Raises
    ------
    InvalidValue
        If `initial` is None or has another shape, or `alpha` is not above 0.

    References
    ----------
    Zhou et al., 2019, section 2.
    """
    began = np.abs(_began(model, initial, "small_init_small_final"))
    return -np.maximum(_scaled(model, alpha), began)


def magnitude_increase(model: Model, data: Data | None = None, initial: np.ndarray | None = None) -> np.ndarray:
    """Score each weight by the growth of its size.

    ``|w_f| - |w_i|``: keep weights that grew; the score is below 0 for those that shrank.

    Parameters
    ----------
    model : Model
        The trained model.
    data : optional
        Not used.
    initial : ndarray of shape (n_values,) or (n_weights,)
        The values before training.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    Raises
    ------
    InvalidValue
        If `initial` is None or has another shape.

    References
    ----------
    Zhou et al., 2019, section 2.
    """
    return np.abs(model.weights) - np.abs(_began(model, initial, "magnitude_increase"))


def movement(model: Model, data: Data | None = None, initial: np.ndarray | None = None) -> np.ndarray:
    """Score each weight by the distance that it moved.

    ``|w_f - w_i|``: keep weights that moved, in either direction.

    Parameters
    ----------
    model : Model
        The trained model.
    data : optional
        Not used.
    initial : ndarray of shape (n_values,) or (n_weights,)
        The values before training.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    Raises
    ------
    InvalidValue
        If `initial` is None or has another shape.

    References
    ----------
    Zhou et al., 2019, section 2.
    """
    return np.abs(model.weights - _began(model, initial, "movement"))


def _began(model, initial, name):
    """Return w_i (n_weights,) in the model's dtype."""
    if initial is None:
        raise InvalidValue(f"the criterion {name} compares weights with their initial values: keep early = "
                           f"model.values.copy() and give criterion=partial(criteria.{name}, initial=early)")
    began = np.asarray(initial)
    if began.shape not in (model.values.shape, (model.n_weights,)):
        raise InvalidValue(f"initial has the shape {began.shape}; wanted the whole vector {model.values.shape}, or the "
                           f"weights alone ({model.n_weights},)")
    return began[: model.n_weights].astype(model.dtype, copy=False)


def _scaled(model, alpha):
    """Compute ``alpha |w_f|`` in the model's dtype."""
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

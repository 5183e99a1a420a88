"""scikit-learn's checks of rows and targets, in its words, as errors of minnet.

    with checked(X, y):
        X, y = validate_data(self, X, y)

Estimators and the selector validate so.
"""
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from minnet.errors import InvalidType, InvalidValue, MinnetError


@contextmanager
def checked(*given: object) -> Iterator[None]:
    """Refuse masked cells, which scikit-learn takes for numbers; raise its ValueError or TypeError as minnet's.

    The message is left as it is, lines included, since scikit-learn's tests of estimators compare it.
    """
    for values in given:
        if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
            raise InvalidType("masked cells are no numbers to learn from: fill them or take those samples out")
    try:
        yield
    except MinnetError:
        raise
    except ValueError as error:
        raise InvalidValue(str(error)) from error
    except TypeError as error:
        raise InvalidType(str(error)) from error

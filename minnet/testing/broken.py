"""What a law says when it is broken: an error with the law's name and a small example."""
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from minnet.errors import MinnetError, unknown

Law = Callable[..., str | None]  # what is wrong, with an example, or None


class LawBroken(MinnetError, AssertionError):
    """Report a law that does not hold, and an example of that."""


def broken(who: str, law: Law, where: str, example: str) -> LawBroken:
    """Return the error for `who` that breaks `law` on the example."""
    return LawBroken(f"{who} breaks the law {law.__name__} on {where}: {example} ({first_line(law)})")


def first_line(law: Law) -> str:
    """Return the law in words, the first line of its docstring."""
    return (law.__doc__ or "").partition("\n")[0].rstrip(".")


def chosen(laws: Sequence[str] | None, table: Mapping[str, Law]) -> list[Law]:
    """Return the laws of these names, by default all."""
    wanted = list(table) if laws is None else list(laws)
    for name in wanted:
        if name not in table:
            raise unknown("law", name, table)
    return [table[name] for name in wanted]


def difference(ours: object, theirs: object, rtol: float = 0.0, atol: float = 0.0) -> str | None:
    """Return the first entry at which two arrays differ by more than ``atol + rtol |theirs|``, in words, or None.

    NaN equals nothing but NaN, and infinities of one sign are equal.
    """
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.shape != b.shape:
        return f"shape {a.shape}, wanted {b.shape}"
    far = np.argwhere(~np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True))
    if not len(far):
        return None
    place = tuple(int(i) for i in far[0])
    more = f"; {len(far)} of {a.size} entries differ" if len(far) > 1 else ""
    return f"entry {list(place)} is {a[place]:.9g}, wanted {b[place]:.9g}{more}"


def largest(values: np.ndarray) -> float:
    """Return the largest size of an entry that is not infinite, as a scale for rounding."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))

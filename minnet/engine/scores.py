"""Scores by name or by attribute, and as a table of text."""
from collections.abc import Mapping, Sequence

MOST_PRINTED = 30  # classes that `str` shows


class Scores(dict):
    """A mapping whose entries are attributes too, as in scikit-learn's Bunch; `str` shows it as a table.

    `names` are those of the classes, which the table shows; None shows their numbers.
    """

    names: list[str] | None = None

    accuracy: float      # entries that type checkers know; classes have the first ones, numbers r2, mae and rmse,
    hamming_loss: float  # several labels a row accuracy, hamming_loss, f1_micro and f1_macro
    f1_micro: float
    recall_macro: float
    f1_macro: float
    brier: float
    ece: float
    loss: float
    r2: float
    mae: float
    rmse: float
    per_class: dict
    intervals: dict

    def __getattr__(self, name: str) -> object:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no score {name!r}: there are {', '.join(map(str, self))}") from None

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *map(str, self)])

    def __str__(self) -> str:
        """Return the single numbers with their intervals, a line each, and the table of the classes."""
        intervals = self.get("intervals", {})
        singles = {name: value for name, value in self.items() if isinstance(value, float)}
        width = max(map(len, singles), default=0)
        lines = [f"{name:<{width}}  {value:.4f}{_interval(intervals.get(name))}" for name, value in singles.items()]
        table = self.get("per_class", {})
        if 0 < len(table.get("support", ())) <= MOST_PRINTED:
            lines += ["", *_class_lines(table, self.names or list(map(str, range(len(table["support"])))))]
        return "\n".join(lines)


def _class_lines(table: Mapping, classes: Sequence[str]) -> list[str]:
    """Return a header and a line for each class."""
    columns = ("precision", "recall", "f1", "support")
    width = max(map(len, ("class", *classes)))
    head = f"{'class':>{width}}" + "".join(f"{name:>11}" for name in columns)
    rows = zip(classes, *(table[name] for name in columns), strict=True)
    return [head, *(f"{name:>{width}}" + "".join(f"{value:>11.4f}" for value in rates) + f"{support:>11g}"
                    for name, *rates, support in rows)]


def _interval(interval):
    return "" if interval is None else f"  ({interval[0]:.4f} to {interval[1]:.4f})"

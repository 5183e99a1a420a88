"""The table that `print(model.summary())` shows; its rows are there for programs too."""
from dataclasses import dataclass

import numpy as np

from minnet.text import aligned

HEAD = ("layer", "shape", "weights", "remaining", "sparsity", "MACs")


@dataclass(frozen=True)
class Row:
    """One layer with weights: how many there are when dense, how many remain, and multiply-adds of what remains."""

    name: str
    shape: tuple
    weights: int
    remaining: int
    macs: int

    @property
    def sparsity(self):
        """The fraction removed."""
        return 1 - self.remaining / self.weights


class Summary:
    """Rows for every layer with weights, and their total; `str` makes the table."""

    def __init__(self, model):
        self.rows = [Row(name, p.shape, p.size, int(np.count_nonzero(p.mask)),
                         layer.positions * int(np.count_nonzero(p.mask)))
                     for name, layer in model.layers.items() for p in layer.parameters if p.kind == "weight"]
        self.n_parameters = model.n_parameters

    @property
    def total(self):
        """The sum over the rows."""
        sums = [sum(getattr(row, name) for row in self.rows) for name in ("weights", "remaining", "macs")]
        return Row("total", (), *sums)

    def __str__(self):
        cells = [HEAD]
        for row in [*self.rows, self.total]:
            sparsity = f"{row.sparsity:.1%}" if row.weights else "-"
            shape = " x ".join(str(n) for n in row.shape)
            cells.append((row.name, shape, f"{row.weights:,}", f"{row.remaining:,}", sparsity, f"{row.macs:,}"))
        lines = aligned(cells, left=2)
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

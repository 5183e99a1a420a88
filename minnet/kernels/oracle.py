"""The inner loop of the exhaustive oracle: one row of a product, moved along one row of the next weight."""
from minnet.kernels.jit import kernel


@kernel
def move_rows(base, rows, delta, direction, out):
    """Compute out[v] = base[rows[v]] + delta[v] * direction.

    base: (n, o); rows: (m,) in [0, n); delta: (m,); direction: (o,); out: (m, o).
    """
    for v in range(rows.size):
        r = rows[v]
        for j in range(direction.size):
            out[v, j] = base[r, j] + delta[v] * direction[j]

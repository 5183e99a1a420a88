"""Raw rows become the inputs of a frozen net's program."""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import noalias


@kernel
def scale_rows(X, shift, scale, y):
    """Compute y = (X - shift) / scale in float64, rounded once. X, y: (n, d); shift, scale: (d,) float64."""
    noalias()
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            y[i, j] = (np.float64(X[i, j]) - shift[j]) / scale[j]

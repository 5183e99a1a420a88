"""Compile what `minnet prune` needs last, while it compiles what it needs first: `python -m minnet.cli.ahead`.

Compiled kernels are shared by all processes, so this only has to compile the steps of plain chains and to run a layer.
"""
import numpy as np

from minnet.kernels.program.interpreter import CHAIN, step_addresses
from minnet.kernels.program.ops import OPERANDS
from minnet.runtime.linear import DENSE
from minnet.runtime.rates import layer_program, sparse_layer
from minnet.threads import n_threads


def main() -> None:
    """Compile the steps, then `run_program`, whose file tells that they are there, and `run_at`."""
    layer = sparse_layer(1, 1)
    program = layer_program(layer, DENSE, 1)
    code = np.zeros((len(CHAIN), OPERANDS), np.uint32)
    code[:, 0] = CHAIN
    step_addresses(code, *program.numbers)
    X, out = np.zeros((1, layer.full[0]), np.float32), np.empty((1, program.outputs), np.float32)
    if n_threads() > 1:
        program.run_tiles(X, 0, 1, out, 1)
    program.run_serial(X, 0, 1, out)
    work = program.workspace()  # whose address the table has
    program.entry(program.table(work), X, 0, 1, out)  # as a frozen net's single rows come


if __name__ == "__main__":
    main()

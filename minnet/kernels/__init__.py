"""The kernels: every loop that minnet compiles with Numba. Arrays in, arrays out, and nothing of nets or pruning.

    from minnet.kernels.steps import sgd_step

`jit.py` has the one decorator, `kernel`, and the folder where compiled code is kept. Beside it stand `steps.py`
(optimizer steps over the flat vector of weights, masks included), `select.py` (exactly the k lowest of n scores) and
`oracle.py` (a row of a product, moved along a row of the next weight). The folders hold the others by what they serve:

    layers/     forward and backward of the layers: pointwise, losses, normalise, images, gemv, conv_pool
    sparse/     layers that store their live weights only: index arrays, products, and moving positions
    mlp/        training an MLP: whole passes, and many steps in one call
    program/    a frozen net's program: its operations, and the interpreter that runs them
    simd/       vectors in registers, transposes, atomics, hints to the compiler: what other kernels are made of

What holds for all of them:

- They take arrays and scalars, write into their last arguments and allocate nothing. Sizes are the caller's to check.
- They work for float32 and float64. Every combination of types that a kernel meets is compiled once, in seconds, so
  callers keep to one: floats as Python floats, counts as Python ints, arrays writable, all of one float type.
- Arrays are C-contiguous unless a docstring says otherwise. A slice of the columns of a 2-D array is not.
- They release the interpreter's lock: several threads may work on disjoint slices. None is parallel itself.
- NaN and infinity are ordinary numbers: none of them is hidden.
- Nothing is compiled by an import; the first call compiles, or loads what an earlier process compiled.

Each kernel has a reference implementation in NumPy in the tests, of the same name and signature, and one test
compares them all.
"""

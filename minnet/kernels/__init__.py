"""The kernels: every loop that minnet compiles with Numba. Arrays in, arrays out, and nothing of nets or pruning.

    from minnet.kernels.steps import sgd_step

`jit.py` has the one decorator, `kernel`, and the folder where compiled code is kept; `rows.py` tells compiled code that
the rows of a slice are contiguous. The others hold the kernels, by subject and in order of difficulty:

    pointwise.py   activations, dropout, biases
    losses.py      value and gradient of the losses, row by row
    steps.py       optimizer steps over the flat vector of weights, masks included
    deletion.py    a row of a product, moved along a row of the next weight
    products.py    products that BLAS does badly: one row times a matrix
    blocks.py      products with a matrix that has many blocks of zeros
    normalise.py   moments and gradients of batch normalisation
    images.py      convolution's rearrangements, pools, depthwise convolution
    select.py      exactly the k lowest of n scores
    chain.py       dense layers with ReLU between, forward, loss and backward in one call
    tickets.py     numbers that threads count with: who does what next
    lanes.py       runs of neighbours as one vector
    sparse_train.py  training with the live weights of a dense layer alone
    sparse_chain.py  the same for a chain of layers, in one call
    chain_steps.py  many steps of training such chains in one call, shared by threads
    conv_pool.py   a convolution and the max pool behind it, what lies between them kept in the cache

What holds for all of them:

- They take arrays and scalars, write into their last arguments and allocate nothing. Sizes are the caller's to check.
- They work for float32 and float64. Every combination of types that a kernel meets is compiled once, in seconds, so
  callers keep to one: floats as Python floats, counts as Python ints, arrays writable, all of one float type.
- Arrays are C-contiguous unless a docstring says otherwise. A slice of the columns of a 2-D array is not.
- They let go of the interpreter's lock: disjoint slices may be worked on by several threads. None is parallel itself.
- NaN and infinity are ordinary numbers: none of them is hidden.
- Nothing is compiled by an import; the first call compiles, or loads what an earlier process compiled.

Each kernel has a plain NumPy twin of the same name and signature in the tests, and one test that compares them all.
"""

"""Vector primitives for the other kernels: wide registers, transposes, atomics, hints to the compiler."""

"""Kernels of a frozen net's program: its operations, and the interpreter that runs them."""

"""Kernels of layers that store their live weights only: CSR arrays, products with them, and their topology."""

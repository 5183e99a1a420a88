"""Kernels of training an MLP, a chain of dense layers: whole passes, and many steps in one call."""

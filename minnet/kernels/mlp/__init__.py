"""Kernels of training a plain chain of dense layers: whole passes, and many steps in one call."""

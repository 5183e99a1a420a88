"""Kernels of the layers: what forward and backward need. Part of the evening's reading."""

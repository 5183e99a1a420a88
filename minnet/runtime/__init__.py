"""Frozen nets, run fast: see predictor.py."""

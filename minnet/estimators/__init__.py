"""Estimators for scikit-learn: nets that train, prune and predict by its conventions.

This room alone knows scikit-learn's classes, and is loaded when one of its names is first used.
"""

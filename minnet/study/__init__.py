"""Experiments: the main job (train, prune, measure), what it cost, and the folder that its results go to."""

"""Pruning: which weights (criteria), in which pieces (structures), how many where (distributions), when (schedules)."""

"""Pruning: what goes (criteria), in which pieces (structures), how much where (distributions), when (schedules)."""

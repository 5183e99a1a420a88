"""Measurements, side by side with other libraries: `python -m bench` runs them all, `python -m bench training` one."""

"""Accelerators of training and prediction: the numbers of `engine/`, sooner.

Each is a Stepper (see engine/loop.py) or a tree rewritten for one run; `choose.py` says which one a job gets, and has
every threshold. Nothing in `engine/` imports this room.
"""

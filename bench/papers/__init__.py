"""Published figures of pruning beside ours: a module for each paper, which reads like its section on the method.

    python -m bench papers                      # the rows of the quick set; goes on where it was stopped
    python -m bench papers snip_5 snip_2 --seeds 1
    python -m bench papers --show               # the table of what is there
    python -m bench papers --frontier           # the rows that take nights

`row.py` says what a row is, `lab.py` what all pages share, `runner.py` keeps each seed of each row in a file.
"""


def main(quick=False, argv=()):
    """Measure, print; quick is the tiny form of each row, which shows that it runs."""
    from bench.papers.runner import main

    main(quick, argv)

"""The line that says which column of a table holds the classes."""
from __future__ import annotations

from typing import TYPE_CHECKING

from minnet.cli.console import Console
from minnet.errors import quoted

if TYPE_CHECKING:  # NumPy is loaded by what makes the job
    from minnet.study.training import Training


def say_target(job: Training, console: Console) -> None:
    """Print the column of the classes and how many there are, if the data are a table in a file."""
    from minnet.files import sniff
    from minnet.study.training import is_file

    source = job.settings.data
    if not is_file(source) or sniff(source) not in ("text", "utf-16"):
        return
    name, asked = job.data.signature.target, job.settings.target
    column = "the last column" if asked is None else f"column {quoted(str(asked))}"
    console.info(f"class: {column if name is None else f'column {quoted(repr(name))}'} ({job.data.n_classes} classes)")

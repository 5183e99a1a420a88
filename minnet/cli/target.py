"""The line that says which column of a table holds the classes, or the numbers to learn."""
from minnet.cli.console import Console
from minnet.errors import quoted


def say_target(source: object, name: object, asked: str | None, n_classes: int, console: Console) -> None:
    """Print the column of the classes and how many there are, or of the numbers, if the data are a table in a file.

    `n_classes` is 0 for numbers. `name` is that of the column, None where the table has no header; `asked` is what
    --target says.
    """
    from minnet.data import is_table

    if not is_table(source):
        return
    column = "the last column" if asked is None else f"column {quoted(str(asked))}"
    column = column if name is None else f"column {quoted(repr(name))}"
    console.info(f"class: {column} ({n_classes} classes)" if n_classes else f"number: {column} (regression)")

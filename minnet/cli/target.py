"""The line that says which column of a table holds the classes, or the numbers or labels to learn."""
from minnet.cli.console import Console
from minnet.errors import quoted


def say_target(source: object, name: object, asked: object, gives: tuple[str, int], console: Console) -> None:
    """Print the column of the classes and how many there are, or of numbers or labels, if the data are a table.

    `gives` are the task of a signature, and how many classes there are. `name` is that of the column, None where the
    table has no header; `asked` is what --target says.
    """
    from minnet.data import is_table

    if not is_table(source):
        return
    known = asked if name is None else name
    several = [known] if isinstance(known, str) else list(known or ())
    column = ", ".join(quoted(repr(one)) for one in several)
    column = f"column{'s' * (len(several) > 1)} {column}" if several else "the last column"
    task, n_classes = gives
    console.info({"numbers": f"number: {column} (regression)", "multilabel": f"labels: {column} (multilabel)"}.get(
        task, f"class: {column} ({n_classes} classes)"))

"""The lines that say which columns of a table hold what is learnt, and what became of others."""
from __future__ import annotations

from typing import TYPE_CHECKING

from minnet.cli.console import Console
from minnet.errors import listed, quoted

if TYPE_CHECKING:  # NumPy is loaded by `run` alone
    from minnet.data import Dataset


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


def say_columns(data: Dataset, console: Console) -> None:
    """Print which columns have missing values, and which are categories or text, of data that have such."""
    encoding = data.signature.encoding
    if encoding is None:
        return
    gaps = [column.name for column, cells in zip(encoding.columns, encoding.pick(data.X_train).T, strict=True)
            if column.kind == "number" and any(cell != cell for cell in cells.tolist())]
    said = {f"with missing values {listed(gaps)} (the median of the training part is filled in)": gaps,
            f"of categories {listed(encoding.of_kind('categories'))} (0 and 1 for each)":
                encoding.of_kind("categories")}
    said |= {f"of text {quoted(repr(column.name))} ({column.n_encoded:,} "
             f"{'words are counted' if column.kind == 'words' else 'numbers count hashed words'})": True
             for column in encoding.columns if column.kind in ("words", "hashed")}
    found = [text for text, there in said.items() if there]
    if found:
        console.info(f"columns {'; '.join(found)}")

"""A law and its rows as one test: `pytest.mark.parametrize` for rows that take a millisecond or two.

    @each("name, net", pairs)
    def test_a_law(name, net):
        ...

    MINNET_TEST_ROWS=relative pytest    # what -k is to tests: of all tables the rows that hold this word

A test costs pytest, and the processes that share the tests, some milliseconds; a row costs nothing. All rows are
asked, and the error of the first that fails names all that do. Fixtures are shared by the rows, so a law that patches
something or writes files stays parametrised. Several tables make the product, as the marks do.
"""
import functools
import inspect
import os

import pytest

WORD = os.environ.get("MINNET_TEST_ROWS", "")


def each(names, rows):
    """Call the function that follows with every row: a tuple for several `names`, else a value."""
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    rows = [tuple(row) if len(names) > 1 else (row,) for row in rows]
    assert rows and all(len(row) == len(names) for row in rows), f"each row has to have {', '.join(names)}"

    def decorate(law):
        @functools.wraps(law)
        def ask(**fixtures):
            __tracebackhide__ = True
            wanted, failed = [row for row in rows if WORD in shown(row)], []
            if not wanted:
                pytest.skip(f"no row holds {WORD}")
            for row in wanted:
                try:
                    law(**dict(zip(names, row, strict=True)), **fixtures)
                except pytest.skip.Exception as skipped:
                    raise AssertionError(f"{shown(row)} is skipped, and a row of `each` cannot be") from skipped
                except (Exception, pytest.fail.Exception) as error:
                    failed.append((row, error))
            if failed:
                error = failed[0][1]
                heading = f"{len(failed)} of {len(wanted)} rows of {', '.join(names)} fail:"
                error.add_note("\n    ".join([heading, *(shown(row) for row, _ in failed)]))
                raise error

        asked = inspect.signature(law).parameters
        assert set(names) <= set(asked), f"{law.__name__} does not take {', '.join(names)}"
        ask.__signature__ = inspect.Signature([asked[name] for name in asked if name not in names])
        del ask.__wrapped__  # which pytest would ask for its arguments
        ask.has_rows = True  # pytest -k has_rows
        return ask

    return decorate


def shown(row):
    return ", ".join(getattr(value, "__name__", str(value)) for value in row)

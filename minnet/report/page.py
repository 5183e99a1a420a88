"""The HTML page of one result: one file, no script, nothing fetched, light or dark as the reader's system is.

    write_whole("report.html", page(result).encode())

The words are in page.html. Every name and number comes from outside and goes through `html.escape`; the result itself
is in the page, as JSON.
"""
import json
from html import escape
from importlib import resources
from string import Template

from minnet.report import svg
from minnet.report.rows import comparison, layers
from minnet.report.rows import names as names_of

STAGES = {"pruning": "pruned", "dense, the same epochs": "dense"}


def page(result):
    """The page for a `result` of the main job, as text."""
    first, second = names_of(result)
    title = f"{result['data']}, {result['model']}: {result['words'].partition(':')[0]}"
    template = Template((resources.files("minnet.report") / "page.html").read_text("utf-8"))
    return template.substitute(
        title=escape(title), words=escape(result["words"]), first=first, second=second,
        comparison="".join(_comparison_row(row) for row in comparison(result)),
        layers="".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in layers(result)),
        bars=_layer_bars(result), losses=_losses(result), sparsity=_sparsities(result),
        settings=_definitions(_how(result)), machine=_definitions(result["machine"] | {"threads": result["threads"]}),
        json=embedded(result))


def embedded(result):
    """`result` as JSON that cannot end the script element it stands in."""
    return json.dumps(result, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _comparison_row(row):
    """A row of the first table; the class colours the change."""
    kind = {True: "good", False: "bad", None: ""}[row.good]
    return (f'<tr><th scope="row">{escape(row.label)}</th><td>{escape(row.before)}</td><td>{escape(row.after)}</td>'
            f'<td class="{kind}">{escape(row.change)}</td></tr>')


def _layer_bars(result):
    """How much of each layer remains."""
    items = [(layer["name"], 1 - layer["sparsity"], f"{layer['remaining']:,} of {layer['weights']:,}")
             for layer in result["layers"]]
    return svg.bars(items, "the weights that remain in each layer")


def _losses(result):
    """The losses of both nets, on an axis of powers of ten."""
    series = _series(result, "loss")
    axis = svg.decades([y for curve in series.values() for _, y in curve])
    return svg.lines(series, "mean training loss of each epoch, both nets", "epoch", axis)


def _sparsities(result):
    """How much of the pruned net's weights is gone."""
    series = {"pruned": _series(result, "sparsity")["pruned"]}
    return svg.lines(series, "share of the weights that is gone after each epoch", "epoch", svg.shares())


def _series(result, key):
    """One curve a net, over all its epochs; both share those of the first stage."""
    shared = [step for step in result["history"] if step["stage"] not in STAGES]
    series = {}
    for stage, name in STAGES.items():
        steps = shared + [step for step in result["history"] if step["stage"] == stage]
        series[name] = [(i, step[key]) for i, step in enumerate(steps, 1) if step[key] is not None]
    return series


def _how(result):
    """All that the result was made with."""
    names = ("command", "data", "model", "seed", "criterion", "structure", "recipe")
    return {name: result.get(name) for name in names} | result["settings"]


def _definitions(table):
    """Names and values as a list; what was not given is left out."""
    given = {name: value if isinstance(value, str) else json.dumps(value)
             for name, value in table.items() if value not in (None, [], {})}
    return "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(value)}</dd>" for name, value in given.items())

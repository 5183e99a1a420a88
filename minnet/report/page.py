"""The HTML page of one result: one file, no external resources, light or dark as the system's theme.

    write_whole("report.html", page(result).encode())
    page(result, play)                    # the playground in it, where it fits, else a link

The only script is the playground's, in a frame that can reach nothing.

The template is page.html. Every name and number is escaped by `html.escape`; the page contains the result as JSON.
"""
import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from string import Template

from minnet.report import svg
from minnet.report.changes import changes
from minnet.report.classes import score_intervals
from minnet.report.printable import printable
from minnet.report.rows import LAYER, calibration, comparison, guards, in_file, inputs, last_cut, layers
from minnet.report.rows import names as names_of
from minnet.report.tables import classes, small

STAGES = {"pruning": "pruned", "dense, the same epochs": "dense"}
NOT_KEPT = "pruning, not kept"  # what else was tried
MOST_BYTES = 1_500_000  # of the page with the playground in it
HERE = "<!-- playground -->"
LINK = '<h2>Playground</h2>\n<p><a href="play.html">Draw for both nets in the browser</a></p>\n'
FRAME = Template('''<h2>Playground</h2>
<details class="play"><summary>Give both nets an input of your own, and remove weights one by one</summary>
<iframe title="playground" sandbox="allow-scripts" loading="lazy" srcdoc="$page"></iframe></details>
''')


def page(result: Mapping, play: str | None = None) -> str:
    """Return the HTML page of a `result` of the main job, with the page of its playground, `play`, if there is one."""
    whole, result = result, shown(result)
    first, second = names_of(result)
    title = f"{result['data']}, {result['model']}: {result['words'].partition(':')[0]}"
    template = Template((resources.files("minnet.report") / "page.html").read_text("utf-8"))
    words = (result["words"], *last_cut(result), *guards(result), *changes(result), *inputs(result))
    html = template.substitute(
        title=escape(title), words=escape("; ".join(words)),
        first=first, second=second, comparison=_comparison(result),
        classes=classes(result, first, second),
        layer_heads="".join(f"<th>{escape(head)}</th>" for head in LAYER),
        layers="".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in layers(result)),
        bars=_layer_bars(result), losses=_losses(result), sparsity=_sparsities(result),
        settings=_definitions(_how(result)), machine=_definitions(result["machine"] | {"threads": result["threads"]}),
        json=embedded(whole))
    return html.replace(HERE, "" if play is None else playground(play, MOST_BYTES - len(html.encode())))


def playground(play: str, room: int) -> str:
    """Return the playground in a frame if that takes at most `room` bytes, else a link to it."""
    frame = FRAME.substitute(page=escape(play))
    return frame if len(frame.encode()) <= room else LINK


def shown(value: object) -> object:
    """Return a result in which control characters of each text and name are escapes."""
    if isinstance(value, Mapping):
        return {printable(str(name)): shown(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def embedded(result: Mapping) -> str:
    """Return `result` as JSON that cannot close the script element around it."""
    return json.dumps(result, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _comparison(result):
    """Return the rows of the first table."""
    rows = comparison(result) + calibration(result)
    return "".join(_comparison_row(row, score_intervals(result, row.name)) for row in rows)


def _comparison_row(row, intervals):
    """Return a row of the first table, with the intervals that are known; the class colours the change."""
    kind = {True: "good", False: "bad", None: ""}[row.good]
    before, after, change = (escape(text) + small(interval) for text, interval in
                             zip((row.before, row.after, row.change), intervals, strict=True))
    return (f'<tr><th scope="row">{escape(row.label)}</th><td>{before}</td><td>{after}</td>'
            f'<td class="{kind}">{change}</td></tr>')


def _layer_bars(result):
    """Return bars of the remaining share of each layer."""
    items = [(layer["name"], live / layer["weights"] if layer["weights"] else 1.0, f"{live:,} of {layer['weights']:,}")
             for layer, live in ((layer, in_file(layer)["remaining"]) for layer in result["layers"])]
    return svg.bars(items, "remaining weights of each layer")


def _losses(result):
    """Return the losses of both models on a logarithmic axis."""
    series = _series(result, "loss")
    axis = svg.decades([y for curve in series.values() for _, y in curve])
    return svg.lines(series, "mean training loss of each epoch, both models", "epoch", axis)


def _sparsities(result):
    """Return the sparsity of the pruned model over the epochs."""
    series = {"pruned": _series(result, "sparsity")["pruned"]}
    return svg.lines(series, "sparsity of the weights after each epoch", "epoch", svg.shares())


def _series(result, key):
    """Return one curve per model over all its epochs; both begin with those of the first stage."""
    shared = [step for step in result["history"] if step["stage"] not in (*STAGES, NOT_KEPT)]
    series = {}
    for stage, name in STAGES.items():
        steps = shared + [step for step in result["history"] if step["stage"] == stage]
        series[name] = [(i, step[key]) for i, step in enumerate(steps, 1) if step[key] is not None]
    return series


def _how(result):
    """Return the arguments and settings of the result."""
    names = ("command", "data", "model", "seed", "criterion", "structure", "recipe")
    return {name: result.get(name) for name in names} | result["settings"]


def _definitions(table):
    """Return names and values as a definition list, without empty values."""
    given = {name: value if isinstance(value, str) else json.dumps(value)
             for name, value in table.items() if value not in (None, [], {})}
    return "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(value)}</dd>" for name, value in given.items())

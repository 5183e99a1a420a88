"""The HTML page of a sweep: curves, table, paired tests and the raw figures, in one file that needs nothing else.

    write_whole("sweep.html", sweep_page(record).encode())

The template is sweep.html; the style is that of page.html.
"""
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

from minnet.errors import PERCENT
from minnet.report.curves import AXES, curves_of, drawing, key
from minnet.report.page import embedded, shown
from minnet.study.comparison import percent
from minnet.study.guard import WORDS


def sweep_page(record: Mapping) -> str:
    """Return the page of a sweep; `record` is what `Sweep.record()` gives, and may have the command."""
    files = resources.files("minnet.report")
    style = (files / "page.html").read_text("utf-8").partition("<style>")[2].partition("</style>")[0]
    whole, record = record, shown(record)
    score, part = record["score"], WORDS[record["decides"]]
    plots = [drawing(curves_of(record, x), score, x) for x in AXES]
    return Template((files / "sweep.html").read_text("utf-8")).substitute(
        title=escape(_title(record)), style=style, part=part, score=escape(score), key=key(curves_of(record)),
        plots="".join(f'<div class="scroll">{plot}</div>' for plot in plots),
        head=_cells([*record["varied"], "seeds", f"{score}, {part}", "test", "sd", "lowest", "highest", "dense",
                     "weights", "multiply-adds", "bytes"], "th"),
        rows=_rows(_summary(row, record["varied"]) for row in record["summary"]),
        tests=_rows(map(_test, record["tests"])) or _rows([["none: one seed, or no criterion to compare with"]]),
        command=escape(record.get("command", "")), json=embedded(whole))


def _title(record):
    seeds = len({row["seed"] for row in record["cells"]})
    return f"Sweep: {len(record['summary'])} combinations of {', '.join(record['varied'])}; seeds: {seeds}"


def _summary(row, varied):
    """Return the cells of a row of the table."""
    first = [str(row["settings"][name]) for name in varied]
    n = f"{row['n']}" + f", {row['diverged']} diverged" * bool(row["diverged"])
    if not row["n"]:
        return [*first, n]
    test = [percent(row["test"][name]) for name in ("mean", "sd", "lowest", "highest")]
    sizes = [f"{row[name]['mean']:,.0f}" for name in ("kept_weights", "macs", "file_bytes")]
    return [*first, n, percent(row["valid"]["mean"]) + " *" * row["best"], *test, percent(row["dense"]["mean"]), *sizes]


def _test(test):
    """Return the cells of a test: the effect and its interval first, p-values last."""
    where = ", ".join(f"{name} {value}" for name, value in test["where"].items())
    points = [f"{PERCENT * test[name]:+.2f}" for name in ("effect", "low", "high")]
    rank = "" if test["p_wilcoxon"] is None else f"{test['p_wilcoxon_holm']:.2g}"
    return [f"{test['value']} - {test['against']}", where, points[0], f"[{points[1]}, {points[2]}]", str(test["n"]),
            f"{test['p']:.2g}", f"{test['p_holm']:.2g}", rank]


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in rows)


def _cells(texts, tag):
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)

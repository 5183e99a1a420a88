"""The page's tables of classes: scores of each with intervals, and the confusion of both models side by side."""
from collections.abc import Mapping
from html import escape

from minnet.report.classes import RATES, class_rows, confusions, labels

SCORES = {"precision": "precision", "recall": "recall", "f1": "F1"}
NOTE = """Intervals of 95 %: Wilson's for accuracy and recall, else percentiles of the bootstrap over the test rows;
those of a change are of the paired difference. Coloured: 0 is outside it. Lost: rows that became wrong; gained: rows
that became right. The Brier score is the mean squared error of the probabilities, summed over the classes; the expected
calibration error is an estimate that depends on its bins."""
LABEL_NOTE = """Subset accuracy: the share of rows all of whose labels are right; Hamming loss: the share of wrong
answers, one a row and label. Samples: rows that have the label. Intervals of 95 %: Wilson's for subset accuracy
and recall, else percentiles of the bootstrap over the test rows; those of a change are of the paired difference.
Coloured: 0 is outside it. Lost: answers that became wrong; gained: answers that became right."""


def classes(result: Mapping, first: str, second: str) -> str:
    """Return the section on the classes or labels, or "" for none; `first` and `second` name the models."""
    rows = class_rows(result)
    if not rows:
        return ""
    kind = "class" if "confusion" in result["before"] else "label"
    heads = "".join(f'<th colspan="3">{SCORES[name]}</th>' for name in RATES)
    below = "".join(f"<th>{escape(first)}</th><th>{escape(second)}</th><th>change</th>" for _ in RATES)
    table = (f'<div class="scroll"><table><thead><tr><th></th><th></th>{heads}<th colspan="2">flipped</th></tr>'
             f"<tr><th>{kind}</th><th>samples</th>{below}<th>lost</th><th>gained</th></tr></thead>"
             f"<tbody>{''.join(map(_class_row, rows))}</tbody></table></div>")
    if "confusion" not in result["before"]:
        return f'<h2>Labels</h2>\n{table}\n<p class="key">{LABEL_NOTE}</p>\n'
    return f'<h2>Classes</h2>\n{table}\n<p class="key">{NOTE}</p>\n{_confusions(result, first, second)}'


def small(interval: str) -> str:
    """Return an interval as a small line, or "" for none."""
    return f"<small>{escape(interval)}</small>" if interval else ""


def _class_row(row):
    """Return the row of one class."""
    cells = "".join(_rate_cells(row.rates[name]) for name in RATES)
    return (f'<tr><th scope="row">{escape(row.label)}</th><td>{row.support}</td>{cells}'
            f"<td>{row.lost}</td><td>{row.gained}</td></tr>")


def _rate_cells(rate):
    """Return the three cells of one score."""
    kind = {True: "good", False: "bad", None: ""}[rate.good]
    return (f"<td>{rate.before}{small(rate.before_interval)}</td><td>{rate.after}{small(rate.after_interval)}</td>"
            f'<td class="{kind}">{rate.change}{small(rate.change_interval)}</td>')


def _confusions(result, first, second):
    """Return both matrices, or a sentence where the classes are too many for it."""
    found = confusions(result)
    if not found:
        return '<p class="key">The confusion matrices are in result.json alone: there are too many classes.</p>\n'
    parts = [_matrix(matrix, name, labels(result)) for name, (_, matrix) in zip((first, second), found, strict=True)]
    return ('<h3>Confusion</h3>\n<p class="key">Rows: the true class; columns: the prediction.</p>\n'
            f'<div class="scroll pair">{"".join(parts)}</div>\n')


def _matrix(matrix, name, names):
    """Return one confusion matrix; a cell is the darker the larger its share of the row."""
    head = "".join(f"<th>{escape(label)}</th>" for label in names)
    rows = "".join(f'<tr><th scope="row">{escape(label)}</th>{"".join(_cell(n, sum(row)) for n in row)}</tr>'
                   for label, row in zip(names, matrix, strict=True))
    return (f'<table class="confusion"><caption>{escape(name)}</caption><thead><tr><th></th>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table>")


def _cell(n, total):
    """Return the cell of a count of a row with that sum."""
    share = round(60 * n / total) if total else 0
    style = f' style="background: color-mix(in srgb, var(--one) {share}%, transparent)"' if share else ""
    return f"<td{style}>{n:,}</td>" if n else "<td></td>"

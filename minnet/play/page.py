"""The page: one HTML file with the nets, what was measured, style and program; it makes no request.

html = playground(dense, pruned, data, criteria=("magnitude", "obd"), title="digits, lenet_300_100")
"""
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

import numpy as np

from minnet.data import Dataset
from minnet.engine.sample import draw_sample, gradient
from minnet.errors import InvalidValue, Unsupported
from minnet.model import Model
from minnet.play.inputs import check_inputs, inputs_of
from minnet.play.nets import check_playable, net_of
from minnet.play.packing import FLOAT, HALF, bits, coded
from minnet.play.removal import (
    LABELS,
    MOST_EXACT,
    NUMBERS,
    STOPS,
    as_json,
    counts,
    measured,
    removal_of,
    score_of,
)
from minnet.report.page import embedded
from minnet.report.printable import printable

CRITERIA = ("magnitude", "gradient", "taylor", "obd", "random")
MOST_CRITERIA = 5
MOST_WEIGHTS = 1_000_000
MOST_ROWS = 1_000  # of the test part that scores are measured on
SCRIPTS = ("net.js", "pad.js", "wires.js", "play.js")
Bar = Callable[[str, int, int], None]  # bar(description, done, total)


def playground(dense: Model, pruned: Model | None, data: Dataset, *, criteria: Sequence[str] = CRITERIA,
               title: str = "", words: str = "", seed: int = 0,
               bar: Bar = lambda description, done, total: None) -> str:
    """Return the page.

    Parameters
    ----------
    dense : Model
        The net from which the page removes weights.
    pruned : Model or None
        A pruned and trained copy of it, which answers beside it.
    data : Dataset
        Whose test part scores are measured on and whose training part criteria see.
    criteria : sequence of str
        Up to five names in CRITERIA.
    title, words : str
        What the page is about, and what became of the pruned net.
    seed : int
        Of the rows that criteria see and, where the test part is large, of those that are scored.
    bar : callable
        bar(description, done, total) is called on the way.

    Raises
    ------
    Unsupported
        The page cannot compute the net, or ask for its rows.
    InvalidValue
        There are more than five criteria, or one twice.
    """
    check(dense, pruned, data, criteria)
    facts = payload(dense, pruned, data, criteria, seed, bar) | {"title": title, "words": words}
    files = resources.files("minnet.play")
    template = Template((files / "page.html").read_text("utf-8"))
    script = "\n".join((files / name).read_text("utf-8") for name in SCRIPTS)
    return template.substitute(title=escape(printable(title)), words=escape(printable(words)), script=script,
                               style=(files / "play.css").read_text("utf-8"), json=embedded(facts))


def check(dense: Model, pruned: Model | None, data: Dataset, criteria: Sequence[str]) -> None:
    """Raise what `playground` raises, before anything is measured."""
    if len(criteria) > MOST_CRITERIA or len(set(criteria)) < len(criteria):
        raise InvalidValue(f"{len(criteria)} criteria, {', '.join(criteria)}: give each once, {MOST_CRITERIA} at most")
    for model in filter(None, (dense, pruned)):
        check_playable(model)
    if dense.n_weights > MOST_WEIGHTS:
        raise Unsupported(f"this net cannot be played: it has {dense.n_weights:,} weights; the page holds up to "
                          f"{MOST_WEIGHTS:,}")
    check_inputs(data)


def payload(dense: Model, pruned: Model | None, data: Dataset, criteria: Sequence[str], seed: int,
            bar: Bar) -> dict[str, object]:
    """Return what the page holds as JSON."""
    n = dense.n_weights
    kind = FLOAT if n <= MOST_EXACT else HALF
    dense = rounded(dense) if kind == HALF else dense
    pruned = rounded(pruned) if pruned is not None and kind == HALF else pruned
    rows = _scored(data, seed)
    return {"dense": net_of(dense, kind), "pruned": None if pruned is None else net_of(pruned, kind, data.signature),
            "half": kind == HALF, "rows": len(rows[1]), "stops": STOPS, "counts": counts(n), "weights": n,
            "inputs": inputs_of(data), "after": None if pruned is None else _after(pruned, *rows),
            **_outputs(dense, data), **_judged(dense, data, criteria, seed, rows, bar)}


def _outputs(model, data):
    """Return what the outputs are, and how they are scored."""
    task = (model.signature or data.signature).task
    if task not in (NUMBERS, LABELS):
        task = "classes"
    labels = None if data.classes is None else [str(label) for label in data.classes.tolist()]
    return {"task": task, "measure": "R²" if task == NUMBERS else "accuracy", "classes": labels,
            "target": data.signature.target}


def rounded(model: Model) -> Model:
    """Return a copy whose weights are floats of 16 bits, as the page has them; what is measured is this one."""
    clone = model.clone()
    clone.values[:clone.n_weights] = clone.values[:clone.n_weights].astype(np.float16)
    return clone


def _scored(data, seed):
    """Return the rows of the test part that scores are measured on."""
    X, y = data.X_test, data.y_test
    if len(y) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(y), MOST_ROWS, replace=False))
        X, y = X[rows], y[rows]
    return X, y


def _after(pruned, X, y):
    """Return the scores of the pruned net, and how many weights it has."""
    return {"found": score_of(pruned, X, y), "weights": int(np.count_nonzero(pruned.weights))}


def _judged(model, data, criteria, seed, rows, bar):
    """Return each criterion with what was measured, and the gradient of the loss for each weight."""
    judged = []
    for i, name in enumerate(criteria):
        found, on_the_way = removal_of(model, name, data, seed), []
        for stop in measured(model, found, *rows):
            on_the_way.append(stop)
            bar(f"measuring {name}", i * len(STOPS) + len(on_the_way), len(criteria) * len(STOPS))
        judged.append(as_json(found, model, on_the_way))
    slope = gradient(model, draw_sample(model, data, rng=seed))[:model.n_weights]
    if "gradient" in criteria and "order" in judged[criteria.index("gradient")]:
        return {"criteria": judged, "negative": bits(slope < 0)}  # its size is the score of that criterion
    return {"criteria": judged, "gradient": coded(slope)}


def description(result: Mapping) -> tuple[str, str]:
    """Return the title and the words of a result of `minnet prune`."""
    return f"{result['data']}, {result['model']}", str(result["words"])


def parsed(html: str) -> dict:
    """Return what a page holds, from its text."""
    start = html.index('<script type="application/json" id="facts">')
    return json.loads(html[html.index(">", start) + 1:html.index("</script>", start)])

"""Run the rows, keep each seed of each row as a file written whole, print the table.

`--readme` puts what was printed into figures.json, beside what it has of other rows, and makes the table of README.md
anew from there.
"""
import argparse
import importlib
import json
import statistics
from pathlib import Path

from bench.__main__ import refresh
from bench.papers.lab import Lab
from minnet.errors import unknown
from minnet.files import write_whole

PAGES = ("dense", "han_2015", "dynamic_surgery", "gsm", "snip", "sparse_momentum", "set_rigl", "sparse_vd",
         "group_lasso_l0", "tickets", "lenet5_extreme", "second_order", "mnist_1d", "frontier")
HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "papers"
SEEDS = 5
HEAD = ("row", "paper", "published", "ours", "kept weights", "of all parameters", "epochs", "seconds", "seeds",
        "verdict")


def rows_of():
    """All rows, by name, in the order of the pages."""
    return {row.name: row for page in PAGES for row in importlib.import_module(f"bench.papers.{page}").ROWS}


def settings_of(row, tiny=False):
    """What decides the figure, as JSON has it."""
    return json.loads(json.dumps(row.settings | row.tiny if tiny else row.settings))


def kept(row, seed, folder, tiny=False, again=False):
    """What the folder has of a row and seed, or None; a file of other settings is refused, or passed over."""
    path = folder / f"{row.name}-{seed}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    wanted = {"settings": settings_of(row, tiny), "data": "digits" if tiny else "mnist", "seed": seed}
    differs = [name for name, value in wanted.items() if found.get(name) != value]
    if differs and not again:
        raise SystemExit(f"{path} has other {' and '.join(differs)} than the row has now: --again runs it anew, or "
                         "take another --out")
    return None if differs else found


def measure(row, seed, folder, tiny=False, again=False, say=print):
    """One seed of a row: from its file, or run now and kept in one."""
    found = kept(row, seed, folder, tiny, again)
    if found is not None:
        return found
    data, settings = "digits" if tiny else "mnist", settings_of(row, tiny)
    found = {"row": row.name, "seed": seed, "data": data, "settings": settings,
             **row.run(Lab(seed, folder, data), **settings)}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{row.name}-{seed}.json", json.dumps(found, indent=1).encode() + b"\n")
    say(f"{row.name} seed {seed}: {row.measure} {found['figure']:.2f}, {found['weights']:,} weights, "
        f"{found['seconds']:.0f} s", flush=True)
    return found


def table(rows, found):
    """The table in Markdown; `found` has for each row's name what its seeds gave."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    return "\n".join(lines + [line(row, found[row.name]) for row in rows if found.get(row.name)])


def details(rows, found):
    """What rows say beside their figure, as a list in Markdown: means over the seeds."""
    lines = []
    for row in rows:
        first, *_ = runs = found.get(row.name) or [{}]
        told = []
        if "accuracies" in first:
            means = {name: statistics.mean(run["accuracies"][name] for run in runs) for name in first["accuracies"]}
            told = [f"{name} {mean:.2f}" for name, mean in means.items()]
        elif isinstance(first.get("curve", [0])[0], dict):
            told = [points(runs, at) for at in range(len(first["curve"]))]
        lines += [f"- `{row.name}`: {'; '.join(told)}"] if told else []
    return "\n".join(lines)


def points(runs, at):
    """One point of a curve: what was kept, and the means of what was trained there."""
    point = {name: statistics.mean(run["curve"][at][name] for run in runs) for name in runs[0]["curve"][at]}
    return f"{point.pop('kept'):.1%} kept " + ", ".join(f"{name} {mean:.2f}" for name, mean in point.items())


def line(row, runs):
    """One line: mean and standard deviation over the seeds, medians of the rest."""
    figures = [run["figure"] for run in runs]
    spread = f" +- {statistics.stdev(figures):.2f}" if len(figures) > 1 else ""
    unit = "" if row.measure == "test error, %" else f" ({row.measure})"
    weights, parameters = (statistics.median(run[name] / run[of] for run in runs)
                           for name, of in (("weights", "of"), ("parameters", "of_parameters")))
    count = statistics.median_low(run["weights"] for run in runs)
    verdict = "pass" if row.reaches(statistics.mean(figures)) else "miss"
    cells = (f"`{row.name}`", row.paper, row.published, f"{statistics.mean(figures):.2f}{spread}{unit}",
             f"{count:,}: {weights:.2%}", f"{parameters:.2%}", f"{runs[0]['epochs']}",
             f"{statistics.median(run['seconds'] for run in runs):.0f}", f"{len(runs)}", verdict)
    return f"| {' | '.join(cells)} |"


def quote(found, here=HERE):
    """Put {row: runs} into figures.json, in place of what it had of these rows, and make the table of README.md."""
    path = here / "figures.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rows = rows_of()
    now = {name: found.get(name) or before.get(name) for name in rows}
    path.write_text(json.dumps({name: runs for name, runs in now.items() if runs}, indent=1) + "\n", encoding="utf-8")
    text = "\n\n".join(filter(None, (table(rows.values(), now), details(rows.values(), now))))
    refresh(here / "README.md", text, "papers")


def chosen(names, frontier):
    """The rows of these names; by default all but those of the frontier, or these alone."""
    rows = rows_of()
    for name in names:
        if name not in rows:
            raise SystemExit(str(unknown("row", name, rows)))
    return [rows[name] for name in names] if names else [row for row in rows.values() if row.frontier == frontier]


def main(quick=False, argv=()):
    """Measure the first seed of all rows, then the second, and so on; print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench papers")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(rows_of())}")
    parser.add_argument("--seeds", type=int, default=1 if quick else SEEDS)
    parser.add_argument("--frontier", action="store_true", help="the rows that take nights, in place of the others")
    parser.add_argument("--tiny", action="store_true", default=quick, help="on digits, to see that it runs")
    parser.add_argument("--again", action="store_true", help="run anew what has other settings")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", action="store_true", help="run nothing")
    parser.add_argument("--readme", action="store_true", help="put the table into the README of the folder")
    options = parser.parse_args(argv)
    rows, tiny = chosen(options.rows, options.frontier), options.tiny
    folder = options.out or (RESULTS.with_name("papers_tiny") if tiny else RESULTS)
    found = {row.name: [] for row in rows}
    for seed in range(options.seeds):
        for row in rows:
            one = kept(row, seed, folder, tiny, options.again) if options.show else measure(
                row, seed, folder, tiny, options.again)
            found[row.name] += [] if one is None else [one]
    print(table(rows, found), details(rows, found), sep="\n\n")
    if options.readme:
        quote(found)

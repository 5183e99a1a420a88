"""python -m bench [NAME ...] [--quick] [--json FILE] [--readme]

Runs the measurements named (all of them by default), prints their tables, and writes what was measured as JSON. With
--readme the table between the two markers in README.md is replaced by what this run printed.
"""
import argparse
import importlib
import json
import platform
from pathlib import Path

from bench.measure import table

SPEED = ("selection", "training", "sparse_training", "predict", "surgery", "cold_start",
         "scale")  # modules with measure(quick) -> [Result]
OPEN, CLOSE = "<!-- bench: begin -->", "<!-- bench: end -->"


def machine():
    """What the figures were measured on, in words that say nothing of whose machine it is."""
    import numpy as np

    from minnet.threads import n_threads

    return {"cpu": platform.machine(), "threads": n_threads(), "python": platform.python_version(),
            "numpy": np.__version__}


def refresh(readme, text):
    """`readme` with what stands between the markers replaced by `text`."""
    before, _, rest = readme.partition(OPEN)
    _, _, after = rest.partition(CLOSE)
    if not rest or not after:
        raise SystemExit(f"README.md has no {OPEN} ... {CLOSE}: put both markers where the table belongs")
    return f"{before}{OPEN}\n{text}\n{CLOSE}{after}"


def main(argv=None):
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*SPEED, []], help=f"of {', '.join(SPEED)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows: to see that it runs, not to quote")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    options = parser.parse_args(argv)
    results = []
    for name in options.names or SPEED:
        found = importlib.import_module(f"bench.{name}").measure(quick=options.quick)
        print(f"\n## {name}\n\n{table(found)}", flush=True)
        results += found
    options.json.write_text(json.dumps({"machine": machine(), "results": [r.as_dict() for r in results]}, indent=1))
    missed = [r for r in results if r.verdict == "missed"]
    print(f"\n{len(results)} measured, {len(missed)} below their target")
    for result in missed:
        print(f"- {result.work} against {result.peer}: {result.note}")
    if options.readme:
        path = Path("README.md")
        path.write_text(refresh(path.read_text(), table(results)))


if __name__ == "__main__":
    main()

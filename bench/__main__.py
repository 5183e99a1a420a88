"""python -m bench [NAME ...] [--quick] [--json FILE] [--no-readme]

Runs the measurements named (all of them by default), prints their tables, and writes what was measured as JSON. It is
also kept in bench/results.json, in place of what the same measurements gave before, and the tables between the two
markers in README.md (some rows) and bench/README.md (all) are made anew from there; not with --quick or --no-readme.
"""
import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

from bench.measure import Result, table

SPEED = ("selection", "training", "sparse_training", "recipe_speed", "predict", "surgery", "scale", "cold_start",
         "estimators")  # in bench/
# which measure no time: named by the user alone
OTHERS = ("tables", "feature_selection", "faults", "c_size", "c_accuracy", "error_by_kilobyte", "runtimes", "imports",
          "backdoor", "dask_sweep", "recipes", "papers", "fuzz", "mutation")
FRONT = (  # rows of README.md: work, and the peer without its number of threads
    ("lenet_300_100 epoch, batch 60, sgd, 1 thread(s)", "PyTorch"),
    ("lenet_300_100 epoch, batch 60, sgd, 2 thread(s)", "PyTorch"),
    ("lenet_300_100 epoch, batch 60, adam, 1 thread(s)", "scikit-learn"),
    ("lenet_5 epoch, batch 64, sgd, 2 thread(s)", "PyTorch"),
    ("lenet_300_100 epoch, batch 60, 95% sparse, SGD, 1 thread(s)", "own dense"),
    ("lenet_300_100 at 95%, batch 1", "ONNX Runtime"),
    ("lenet_300_100 at 95%, batch 1", "DeepSparse"),
    ("lenet_300_100 at 95%, batch 256", "DeepSparse"),
    ("lenet_5 at 98%, batch 64", "DeepSparse"),
    ("VGG16, 64 images, 2 threads, 50% of the multiply-adds", "the whole net"),
    ("SET 784-1000^3-10, eps 20, batch 40, epoch of 12,000, 1 thread", "PyTorch"),
    ("SET 3312-30000^3-5, eps 10, batch 2, a step, 1 thread(s)", "the authors' code"),
)
HERE = Path(__file__).parent


def machine():
    """What the figures were measured on, in words that say nothing of whose machine it is."""
    import numpy as np

    from minnet.threads import n_threads

    return {"cpu": platform.machine(), "threads": n_threads(), "python": platform.python_version(),
            "numpy": np.__version__}


def refresh(path, text, name="bench"):
    """Replace what stands between the markers of this name in a file."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    if not rest or not after:
        raise SystemExit(f"{path} has no {begin} ... {end}: put both markers where the table belongs")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def missed(results):
    """The targets that were not reached, and why."""
    lines = [f"- {r.work}, against {r.peer}: {r.ratio:.2f} of {r.target:.3g}. {r.note}".rstrip()
             for r in results if r.verdict == "missed"]
    targets = sum(r.target is not None for r in results)
    return "\n".join([f"{len(results)} measured, {targets} with a target, {len(lines)} of them missed", *lines])


def keep(found):
    """Put {name: results} into bench/results.json and both files of tables."""
    path = HERE / "results.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept = {**kept, "machine": machine(), **{name: [r.as_dict() for r in results] for name, results in found.items()}}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    all_of = {name: [Result.of(row) for row in kept[name]] for name in SPEED if name in kept}
    parts = [f"### {name}\n\n{table(results)}\n\n{missed(results)}" for name, results in all_of.items()]
    refresh(HERE / "README.md", "\n\n".join(parts))
    front = [r for pair in FRONT for results in all_of.values() for r in results
             if (r.work, r.peer.split(",")[0]) == pair]
    refresh(HERE.parent / "README.md", table(front))


def main(argv=None):
    """Parse, run, print, write."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["papers"]:  # its rows are names of its own
        importlib.import_module("bench.papers").main(argv=argv[1:])
        return
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*SPEED, *OTHERS, []],
                        help=f"of {', '.join(SPEED)}, which are the default; or {', '.join(OTHERS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows: to see that it runs, not to quote")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--readme", action=argparse.BooleanOptionalAction, default=None,
                        help="keep the figures, and put the tables into both READMEs: done unless --quick")
    options = parser.parse_args(argv)
    found = {}
    for name in filter(OTHERS.__contains__, options.names):
        importlib.import_module(f"bench.{name}").main(quick=options.quick)
    names = [name for name in options.names or SPEED if name not in OTHERS]
    if not names:
        return
    for name in names:
        found[name] = importlib.import_module(f"bench.{name}").measure(quick=options.quick)
        print(f"\n## {name}\n\n{table(found[name])}\n\n{missed(found[name])}", flush=True)
    rows = {name: [r.as_dict() for r in results] for name, results in found.items()}
    options.json.write_text(json.dumps({"machine": machine(), **rows}, indent=1), encoding="utf-8")
    if options.readme or (options.readme is None and not options.quick):
        keep(found)


if __name__ == "__main__":
    main()

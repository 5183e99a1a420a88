"""Accuracy on digits over ten seeds: dense nets against their targets, and what `minnet prune digits` costs.

    python -m bench.digits_accuracy                # prints a table, writes bench/results/digits_accuracy.json
    python -m bench.digits_accuracy --seeds 3

A seed decides the split, the initial weights and the order of the rows. Both nets of a pair have the same split, the
same first 30 epochs and the same number of epochs; the difference is taken pair by pair.
"""
import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

from minnet.engine.metrics import evaluate
from minnet.files import check_writable, write_whole
from minnet.study.job import Job
from minnet.study.settings import Settings

SEEDS = 10
RESULTS = Path(__file__).parent / "results"
CASES = {  # settings, the least mean accuracy of the dense net, the most that pruning may cost
    "lenet_300_100": (Settings(), 0.970, 0.005),
    "small_conv": (Settings(model="small_conv"), 0.980, None),
}


def pair(settings):
    """(test accuracy of the dense net, of the pruned one) of one main job."""
    job = Job(settings)
    for _ in job.run():
        pass
    test = job.data.X_test, job.data.y_test
    return evaluate(job.dense, *test).accuracy, evaluate(job.model, *test).accuracy


def measure(seeds=SEEDS):
    """One dict a case: the accuracies of all seeds, the paired differences, and whether the targets are reached."""
    results = []
    for name, (settings, least, most) in CASES.items():
        pairs = [pair(replace(settings, seed=seed)) for seed in range(seeds)]
        dense, pruned = zip(*pairs, strict=True)
        lost = [a - b for a, b in pairs]
        reached = statistics.mean(dense) >= least and (most is None or statistics.mean(lost) <= most)
        results.append({"model": name, "seeds": seeds, "sparsity": 0.9, "dense": dense, "pruned": pruned, "lost": lost,
                        "dense_target": least, "lost_target": most, "reached": reached})
    return results


def spread(values):
    """Mean and standard deviation, in percent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} +- {100 * deviation:.2f}"


def table(results):
    """The results as a Markdown table."""
    lines = ["| model | dense accuracy, % | pruned (90 %) | lost, paired, points | targets |", "|---|---|---|---|---|"]
    for r in results:
        wanted = f"dense >= {100 * r['dense_target']:.1f} %"
        wanted += f", lost <= {100 * r['lost_target']:.1f}" if r["lost_target"] is not None else ""
        verdict = "reached" if r["reached"] else "missed"
        figures = " | ".join(spread(r[name]) for name in ("dense", "pruned", "lost"))
        lines.append(f"| {r['model']} | {figures} | {wanted}: {verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    found = measure(parser.parse_args().seeds)
    write_whole(check_writable(RESULTS) / "digits_accuracy.json", json.dumps(found, indent=1).encode())
    print(table(found))

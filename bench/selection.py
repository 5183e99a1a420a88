"""Choosing what goes: the exact selector beside numpy.argpartition, and what scores cost in passes.

The selector is stable by index, which argpartition is not. A criterion is timed beside the passes that its docstring
states, over the same sample. The oracle, which deletes every weight in turn, has a minute; no input is 0 here, which
would spare it work.
"""
from functools import partial

import numpy as np

from bench.measure import compare, turns

SCORES, QUICK_SCORES = 10_000_000, 1_000_000
SPARSITY = 0.9
ORACLE_SAMPLES, ORACLE_SECONDS = 1000, 60.0
TOLERANCE = 0.9  # of two equal times one comes out ahead by so much


def scores_of(n):
    """{name: float32 scores}: as they come after training, after L1, and all equal."""
    rng = np.random.default_rng(0)
    plain = np.abs(rng.normal(size=n)).astype(np.float32)
    return {"random scores": plain, "90 % zeros": np.where(rng.random(n) < SPARSITY, np.float32(0), plain),
            "all equal": np.ones(n, np.float32)}


def passes(model, sample, stated):
    """What a criterion's traits state: a forward pass over the sample, and a backward or a walk over inputs."""
    from minnet.blas import one_blas_thread
    from minnet.engine.tape import Tape

    tape = Tape(model)
    with one_blas_thread():
        for X, y in sample.batches():
            logits = model.forward(X, tape)
            if "walk" in stated:
                for p in model.weight_parameters:
                    np.square(model.layers[p.layer].saved_input(tape))
            if "backward" in stated:
                dlogits = tape.buffer(sample, "dlogits", logits.shape)
                sample.loss(logits, y, dlogits, len(sample))
                model.backward(dlogits, tape)


def measure(quick=False):
    """Results for the selector, for three criteria, one of which takes no pass at all, and for the oracle."""
    import minnet as mn
    from minnet.engine.sample import draw_sample
    from minnet.kernels.select import MAY_GO
    from minnet.pruning.select import select

    results, rounds, n = [], 3 if quick else 7, QUICK_SCORES if quick else SCORES
    for name, scores in scores_of(n).items():
        state, k = np.full(n, MAY_GO, np.uint8), round(SPARSITY * n)
        times = turns({"select": partial(select, scores, state, k),
                       "numpy": partial(np.argpartition, scores, k)}, rounds)
        results.append(compare(f"the lowest 90 % of {n:,}: {name}", "numpy.argpartition", times["select"],
                               times["numpy"], 1.0, f"{scores.nbytes / 1e6:.0f} MB read"))
    model = mn.models.lenet_300_100((784,), 10, rng=0)
    rng = np.random.default_rng(0)
    data = rng.random((1024, 784), np.float32), rng.integers(0, 10, 1024)
    sample = draw_sample(model, data)
    times = turns({"criterion": partial(mn.criteria.magnitude, model, sample),
                   "walk": partial(np.abs, model.weights)}, 30 * rounds)
    results.append(compare("scores by magnitude", "numpy.abs of the weights, no pass", times["criterion"],
                           times["walk"], TOLERANCE, "memory"))
    for name in ("taylor", "wanda"):
        criterion, stated = mn.criteria.CRITERIA[name], mn.criteria.TRAITS[name].passes
        times = turns({"criterion": partial(criterion, model, sample),
                       "passes": partial(passes, model, sample, stated)}, 3 * rounds)
        results.append(compare(f"scores by {name}", stated, times["criterion"], times["passes"], TOLERANCE,
                               "its passes"))
    sample = draw_sample(model, data, samples=ORACLE_SAMPLES, rng=0)
    times = turns({"oracle": partial(mn.criteria.oracle, model, sample)}, rounds=1, warmup=0)
    results.append(compare(f"the oracle: {model.n_weights:,} weights, {ORACLE_SAMPLES:,} images", "a minute",
                           times["oracle"], [ORACLE_SECONDS], 1.0, "one product's row for each deletion"))
    return results

"""Frozen nets against ONNX Runtime, DeepSparse and scikit-learn, on rows of MNIST: same net, same rows, in turns.

Each call takes the next batch of 1,024 rows: with one row again and again a processor foresees every zero. Nets have
random weights, of which each layer keeps the same random share; so nobody gains by a lucky mask. How each peer is set
stands in SETTINGS, and is printed. DeepSparse 1.7.1 is installed into an environment of its own, since it needs an
older NumPy; where that cannot be (it runs on x86 and Python up to 3.11) its lines are left out and a line says so.
Outputs are compared before anything is timed. Beside a target that is missed stands where our time goes.
"""
import statistics
import sys
import tempfile
from functools import partial
from itertools import cycle, product
from pathlib import Path

import numpy as np

from bench.measure import compare, duration, plural, seconds, table, thread_counts
from bench.onnx_chain import write_onnx
from bench.peers import NEEDS, Worker, environment

ROUNDS, QUICK_ROUNDS = 7, 3
AGREE = 1e-4          # of the largest logit
TIMED = 0.1           # seconds of calls in one turn: a system may need some hundredths of a second until it has moved a
                      # thread that it woke on its caller's processor; and at least
FEWEST = 3            # calls
DEEPSPARSE = ("deepsparse==1.7.1", "numpy<2", "onnx==1.14.1")

ROWS = 1024           # of which each call takes the next batch

NETS = ("lenet_300_100", "lenet_5")
BATCHES = (1, 64, 256)
SHARES = (1.0, 0.1, 0.05, 0.02)
TARGETS = {  # (net, batch, share of live weights) -> seconds at most
    ("lenet_300_100", 1, 1.0): 12e-6, ("lenet_300_100", 1, 0.05): 6e-6, ("lenet_5", 1, 0.05): 45e-6}
AGAINST = {  # the same -> how many times as fast as DeepSparse, and for lenet_300_100 as any peer
    **{("lenet_300_100", 1, share): 1.0 for share in (1.0, 0.05)},
    **{("lenet_300_100", batch, share): 1.0 for batch in (64, 256) for share in (0.1, 0.05, 0.02)},
    **{("lenet_5", batch, share): least for batch in (64, 256) for share, least in ((0.1, 1.0), (0.02, 2.0))}}
LAYER_TARGETS = {0.1: 4.0, 0.05: 8.0, 0.02: 18.0}
SETTINGS = """All: warmed up, in turns of 0.1 s, before each of which the threads of this process fall asleep; each call
takes the next batch of 1,024 rows; the median call of each turn.
minnet: a Predictor made for the batch size; threads as many as MINNET_NUM_THREADS or the CPUs allow.
ONNX Runtime: fixed batch size, all graph optimisations (its default), channels first, called from Python with the array
as it is; intra-op threads 1 and all, the faster is quoted; one inter-op thread (its default).
DeepSparse 1.7.1: Engine of the same file and batch size, num_cores 1 and all, the faster is quoted.
scikit-learn: MLPClassifier.predict_proba with the same weights, batch 1 only; BLAS held to 1 thread and to all (by
threadpoolctl), the faster is quoted.
own BLAS: NumPy's product of the same arrays into an array that exists, one thread."""


# --- nets and rows ---------------------------------------------------------------------------------------------------


def cut(model, share, rng=0):
    """Keep a random share of each layer's weights."""
    rng, mask = np.random.default_rng(rng), model.mask.copy()
    for p in model.weight_parameters:
        gone = rng.permutation(p.size)[round(share * p.size):]
        p.of(mask).reshape(-1)[gone] = False
    model.set_mask(mask)
    return model


def net(name, share):
    """A standard net of which `share` lives."""
    import minnet as mn

    shape = (28 * 28,) if name == "lenet_300_100" else (28, 28, 1)
    return cut(mn.models.MODELS[name](shape, 10, rng=0), share)


def rows_of(model):
    """Images of MNIST, or where it is absent random ones of which a fifth is not zero."""
    import minnet as mn
    from minnet.errors import MinnetError

    try:
        data = mn.load_data("mnist")
        X = data.scaled(data.X_test[:ROWS])
    except MinnetError:
        rng = np.random.default_rng(0)
        X = rng.random((ROWS, 28, 28, 1), np.float32) * (rng.random((ROWS, 28, 28, 1)) < 0.2)
    return np.ascontiguousarray(X.reshape(ROWS, *model.input_shape), np.float32)


# --- contestants: (outputs, function of a number of calls that returns the median seconds of one) --------------------


def repeated(call, calls):
    """Median seconds of so many calls."""
    return statistics.median(seconds(call) for _ in range(calls))


def in_turn(call, arguments):
    """(what `call` makes of all `arguments`, one behind the other; a function of a number of calls, each of the next of
    them, that returns the median seconds of one)."""
    outputs, ready = np.concatenate([call(argument) for argument in arguments]), cycle(arguments)
    return outputs, lambda calls: statistics.median(seconds(partial(call, next(ready))) for _ in range(calls))


def onnxruntime_contestants(path, batches):
    """One for each number of threads."""
    import onnxruntime

    made = {}
    for threads in thread_counts():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        made["ONNX Runtime", threads] = in_turn(partial(first_output, session), [{"x": rows} for rows in batches])
    return made


def first_output(session, feed):
    """What the net answers."""
    return session.run(None, feed)[0]


def limited(contestant, threads, calls):
    """Median seconds of so many calls with so many threads of BLAS."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        return contestant(calls)


def sklearn_contestants(model, batches):
    """MLPClassifier with the same weights, for each number of threads; it gives probabilities."""
    from sklearn.neural_network import MLPClassifier

    layers = [layer for layer in model.tree.layers if hasattr(layer, "weight")]
    peer = MLPClassifier(tuple(layer.units for layer in layers[:-1]), max_iter=1)
    peer.partial_fit(np.zeros((10, model.input_shape[0]), np.float32), np.arange(10), classes=np.arange(10))
    peer.coefs_ = [layer.weight.value.copy() for layer in layers]
    peer.intercepts_ = [layer.bias.value.copy() for layer in layers]
    outputs, contestant = in_turn(peer.predict_proba, batches)
    return {("scikit-learn", n): (np.log(outputs), partial(limited, contestant, n)) for n in thread_counts()}


# --- the measurements ------------------------------------------------------------------------------------------------


def measure(quick=False):
    """Results for one layer, then for both nets."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    print(SETTINGS, flush=True)
    python = environment("deepsparse-1.7.1", DEEPSPARSE)
    if python is None:
        print(f"DeepSparse is not available: it needs {NEEDS}", flush=True)
    results = [measure_layer(share, rounds) for share in LAYER_TARGETS]
    for name, batch, share in product(NETS, BATCHES, SHARES):
        results += measure_net(name, batch, share, rounds, python)
    return results


def take_turns(contestants, rounds):
    """{name: [median seconds of each turn]}; a turn lasts TIMED seconds or FEWEST calls."""
    from minnet.study.measure import wait_until_idle

    calls = {name: max(FEWEST, int(TIMED / contestant(FEWEST))) for name, contestant in contestants.items()}
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            wait_until_idle()
            times[name].append(contestant(calls[name]))
    return times


def agree(outputs, wanted, who):
    """Stop where somebody computes something else."""
    off = error_of(outputs, wanted)
    if not off <= AGREE:
        raise SystemExit(f"{who} is off by {off:.1e} of the largest output: nothing is timed")


def error_of(outputs, wanted):
    """The largest difference over the largest output."""
    return np.abs(outputs - wanted).max() / np.abs(wanted).max()


def limit(model, batch):
    """How long the multiply-adds with live weights would take one thread at the speed of the dense kernel."""
    from minnet.runtime.rates import machine_rates

    return f"{duration(model.macs * batch * machine_rates().dense)} at the speed of dense"


def reads(n_live, samples, times):
    """Why one sparse layer takes its time: how fast it reads inputs."""
    rate = n_live * samples * np.float32().nbytes / statistics.median(times) / 1e9
    return f"each live weight reads an input of each sample: {rate:.0f} GB/s from the second-level cache"


def shares(frozen, X):
    """Where a net's time goes, by one thread."""
    rows = sorted(frozen.explain(X[: frozen.tile]).rows, key=lambda row: -row.share)
    return "by one thread " + ", ".join(f"{row.name} {row.share:.0%} ({row.kernel or 'rows in and out, activations'})"
                                        for row in rows)


def measure_layer(share, rounds, batch=256):
    """Dense 784 to 300 alone, one thread, each side with its inputs already in the layout that it likes best."""
    import minnet as mn
    from minnet.blas import one_blas_thread

    model = cut(mn.Model(mn.Sequential(mn.Dense(300)), (784,), rng=0), share)
    X = np.random.default_rng(0).normal(size=(batch, 784)).astype(np.float32)
    (tile, program), = mn.freeze(model, batch, "sparse").programs.items()
    calls = program.cut(program.spans[1].first, program.spans[1].last)
    workspaces, out = [program.workspace() for _ in range(0, batch, tile)], np.empty((batch, 300), np.float32)
    for i, workspace in enumerate(workspaces):
        program.run(X, i * tile, (i + 1) * tile, workspace, out)
    agree(out, model(X), "the layer")

    def ours():
        for workspace in workspaces:
            program.run_calls(calls, X, 0, tile, workspace, out)

    dense = partial(np.dot, X, model.parameters["dense1.weight"].value, out=np.empty_like(out))
    with one_blas_thread():
        times = take_turns({"ours": partial(repeated, ours), "theirs": partial(repeated, dense)}, rounds)
    return compare(f"Dense 784-300 at {1 - share:.0%}, batch {batch}, 1 thread", "own BLAS", times["ours"],
                   times["theirs"], LAYER_TARGETS[share], limit(model, batch),
                   reads(np.count_nonzero(model.weights), batch, times["ours"]))


def measure_net(name, batch, share, rounds, python):
    """One net, one batch size: against each peer at its best number of threads, and against a time if one is asked."""
    import minnet as mn

    model = net(name, share)
    X = rows_of(model)
    frozen, wanted, batches = mn.freeze(model, batch), model(X), np.split(X, ROWS // batch)
    outputs, ours = in_turn(frozen, batches)
    agree(outputs, wanted, "the frozen net")
    with tempfile.TemporaryDirectory() as folder:
        path, rows = str(Path(folder) / "net.onnx"), str(Path(folder) / "X.npy")
        write_onnx(model, path, batch)
        first = np.ascontiguousarray(np.moveaxis(X, -1, 1)) if X.ndim > 2 else X  # channels first
        np.save(rows, first)
        peers = onnxruntime_contestants(path, np.split(first, ROWS // batch))
        workers = {("DeepSparse", n): Worker(python, "deepsparse_worker.py", path, rows, batch, n)
                   for n in thread_counts()} if python else {}
        peers |= {key: (np.load(f"{path}.out.npy"), worker.ask) for key, worker in workers.items()}
        if X.ndim == 2 and batch == 1:
            peers |= sklearn_contestants(model, batches)
        for key, (outputs, _) in peers.items():
            shift = np.mean(outputs - wanted, axis=1, keepdims=True) if key[0] == "scikit-learn" else 0  # probabilities
            off = error_of(outputs - shift, wanted)
            if key[0] == "DeepSparse" and not off <= AGREE:  # see findings/deepsparse_sparse_mlp.sh
                print(f"{name} at {1 - share:.0%}, batch {batch}: {key[0]} is off by {off:.1e} of the largest output, "
                      "and is left out", flush=True)
                workers.pop(key).stop()
                continue
            agree(outputs - shift, wanted, key[0])
        contestants = {key: contestant for key, (_, contestant) in peers.items()
                       if key[0] != "DeepSparse" or key in workers}
        times = take_turns({"ours": ours, **contestants}, rounds)
        for worker in workers.values():
            worker.stop()
    return results_of(name, batch, share, times, limit(model, batch), shares(frozen, X))


def results_of(name, batch, share, times, limit, note):
    """One Result for each peer, with the times of its best number of threads."""
    ours, work, key = times.pop("ours"), f"{name} at {1 - share:.0%}, batch {batch}", (name, batch, share)
    best = {}
    for (peer, threads), theirs in times.items():
        if peer not in best or statistics.median(theirs) < statistics.median(best[peer][1]):
            best[peer] = threads, theirs
    results = []
    if key in TARGETS:
        results.append(compare(work, "the target", ours, [TARGETS[key]] * len(ours), 1.0, limit, note))
    for peer, (threads, theirs) in best.items():
        target = AGAINST.get(key) if peer == "DeepSparse" or name == "lenet_300_100" else None
        results.append(compare(work, f"{peer}, {plural(threads)}", ours, theirs, target, limit, note))
    return results


if __name__ == "__main__":
    print(table(measure(quick="--quick" in sys.argv)))

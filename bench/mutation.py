"""Change one thing in the library at a time, and see whether a test fails: what no test sees is listed.

    python -m bench mutation                             # the named mutants, then a random sample of 400; some hours
    python -m bench.mutation --sample 50 --seed 1
    python -m bench.mutation --only pruning/rounds.py    # every mutant of one file

A mutant is a file with one operator, number, condition, name or statement changed. Its room's tests run in a process
that loads the changed source in the place of the file, which stays as it is, until the first of them fails; PyTorch is
hidden, so that only what `pip install '.[test]'` gives is asked. A mutant is killed if a test fails, the library cannot
be imported, or the tests take four times as long as with the library as it is.
"""
import argparse
import ast
import importlib.abc
import importlib.util
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE, SEED = 400, 0
SLOWER, SPARE = 4, 20   # a mutant's tests may take so many times as long, and so many seconds more
PLACES = ("pruning", "engine", "data", "formats/storage.py")
TESTS = {  # path in minnet/ begins with -> tests in the order in which they are asked; the longest beginning counts
    "pruning/criteria": "criteria_formulas criteria criteria_laws by_hand criteria_second_order zeros oracle",
    "pruning/penalties": "penalties penalties_optimal",
    "pruning/recipes": "recipes recipes_latent recipes_regrow recipes_iterated recipes_sparse recipes_controls",
    "pruning/compaction": "compact compact_state effective",
    "pruning/compact.py": "compact compact_state", "pruning/paths.py": "effective compact",
    "pruning/compensation": "compensation compensate by_hand", "pruning/activation_cache.py": "compensation",
    "pruning/schedules.py": "schedules by_hand prune", "pruning/rounds.py": "by_hand schedules prune recipes_iterated",
    "pruning/distributions.py": "distributions by_hand", "pruning/structures.py": "structures prune prune_product",
    "pruning/pieces.py": "by_hand structures prune", "pruning/input": "input_features",
    "pruning": "bad_pruning prune by_hand structures distributions select input_features",
    "engine/attacks.py": "attacks", "engine/optimizers.py": "by_hand bad_training training steppers stored_runs",
    "engine/metrics.py": "metrics weights", "engine/answers.py": "metrics weights multilabel",
    "engine/scores.py": "metrics", "engine/intervals.py": "metrics", "engine/augmentation.py": "data",
    "engine/distillation.py": "beside", "engine/averaging.py": "beside", "engine/fista.py": "penalties_optimal",
    "engine/rewire.py": "sparse_training born_sparse", "engine/sparse.py": "born_sparse sparse_training",
    "engine/quantise.py": "quantised", "engine/hessian.py": "second_order", "engine/linear.py": "second_order",
    "engine/space.py": "spaces compact", "engine/vector.py": "models tape spaces", "engine/weights.py": "weights",
    "engine/layer_norm.py": "layer_norm gradients", "engine/adaptive.py": "gradients freeze",
    "engine/lr_schedules.py": "training", "engine/stopping.py": "beside",
    "engine/state.py": "stored_runs training", "engine/loop.py": "bad_training training steppers",
    "engine/losses.py": "gradients weights training", "engine/summary.py": "models",
    "engine/sample.py": "criteria criteria_formulas", "engine/depthwise.py": "depthwise gradients second_order",
    "engine": "gradients by_hand models tape second_order bad_training",
    "data/encoding.py": "encoding", "data/kinds.py": "encoding", "data/signature.py": "signature",
    "data/scaling.py": "scaling signature", "data": "data signature scaling encoding",
    "formats/storage.py": "storage hostile_models",
}
NAMED = (  # (file, what is there, what is put in its place): none of these may survive
    ("pruning/distributions.py", "p.value[p.mask].std(", "p.value.std("),
    ("pruning/distributions.py", "max(min(int(LAST_AT_MOST * candidates.sizes[-1]), high[-1]), candidates.gone[-1])",
     "min(int(LAST_AT_MOST * candidates.sizes[-1]), high[-1])"),
    ("pruning/pieces.py", "gone[self.other_piece[mask[self.others]]] = False", "pass"),
    ("pruning/rounds.py", "place + SAFE", "place"),
    ("engine/model.py", "mask[self.n_trainable :].all()", "mask[self.n_trainable + 1 :].all()"),
    ("engine/optimizers.py", "beta1**t", "beta1**(t + 1)"),
    ("pruning/criteria/data_free.py", "p.of(values)[...] = 0", "pass"),
)
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
             ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
             ast.And: ast.Or, ast.Or: ast.And, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
             ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
             ast.NotIn: ast.In}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "argmin": "argmax", "argmax": "argmin", "sum": "mean",
         "mean": "sum", "floor": "ceil", "ceil": "floor", "minimum": "maximum", "maximum": "minimum", "zeros": "ones",
         "ones": "zeros", "append": "remove", "flatnonzero": "asarray", "abs": "negative", "sqrt": "square"}
SKIPPED = ("__repr__", "__str__", "summary", "_html")


# --- mutants ---------------------------------------------------------------------------------------------------------

def count_of(path):
    """Return how many mutants a file has."""
    mutator = Mutator(None)
    mutator.visit(ast.parse(path.read_text(encoding="utf-8")))
    return mutator.seen


def mutant(path, number):
    """Return the line of one mutant of a file, what is changed, and the source."""
    tree, mutator = ast.parse(path.read_text(encoding="utf-8")), Mutator(number)
    mutator.visit(tree)
    return (*mutator.made, ast.unparse(ast.fix_missing_locations(tree)))


class Mutator(ast.NodeTransformer):
    """Make the change of one number, or none: those that could be made are counted."""

    def __init__(self, wanted):
        self.wanted, self.seen, self.made = wanted, 0, None

    def chosen(self, node, what):
        """Whether this change is the one to make."""
        hit = self.seen == self.wanted
        self.seen += 1
        if hit:
            self.made = node.lineno, what
        return hit

    def visit(self, node):
        """Pass over what says nothing about results: messages, annotations, texts for people."""
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
            return node
        return super().visit(node)

    def visit_FunctionDef(self, node):
        if node.name not in SKIPPED:
            node.body = self.statements(node.body)
            node.args.defaults = [self.visit(value) for value in node.args.defaults]
        return node

    def visit_ClassDef(self, node):
        node.body = self.statements(node.body)
        return node

    def visit_AnnAssign(self, node):
        node.value = node.value and self.visit(node.value)
        return node

    def statements(self, body):
        """Return statements, of which one may be missing."""
        made = []
        for node in body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            alone = isinstance(node, ast.Expr | ast.AugAssign) or (
                isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript | ast.Attribute))
            if alone and not text and self.chosen(node, f"without `{ast.unparse(node)[:60]}`"):
                made.append(ast.copy_location(ast.Pass(), node))
            else:
                made.append(node if text else self.visit(node))
        return made

    def visit_If(self, node):
        if self.chosen(node, f"not ({ast.unparse(node.test)[:60]})"):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            return node
        node.test, node.body, node.orelse = self.visit(node.test), self.statements(node.body), self.statements(
            node.orelse)
        return node

    def visit_For(self, node):
        node.iter, node.body = self.visit(node.iter), self.statements(node.body)
        return node

    def visit_BinOp(self, node):
        other = OPERATORS.get(type(node.op))
        if other is not None and self.chosen(node, f"{other.__name__} in `{ast.unparse(node)[:60]}`"):
            node.op = other()
            return node
        return self.generic_visit(node)

    visit_AugAssign = visit_BoolOp = visit_BinOp

    def visit_Compare(self, node):
        other = OPERATORS.get(type(node.ops[0]))
        if other is not None and self.chosen(node, f"{other.__name__} in `{ast.unparse(node)[:60]}`"):
            node.ops[0] = other()
            return node
        return self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not | ast.Invert | ast.USub) and not isinstance(node.operand, ast.Constant) and \
                self.chosen(node, f"`{ast.unparse(node)[:60]}` without its sign"):
            return node.operand
        return self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            other = not node.value
        elif isinstance(node.value, int | float):
            other = node.value + 1
        else:
            return node
        return ast.copy_location(ast.Constant(other), node) if self.chosen(node, f"{other} for {node.value}") else node

    def visit_Call(self, node):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if name in NAMES and self.chosen(node, f"{NAMES[name]} for {name} in `{ast.unparse(node)[:60]}`"):
            setattr(node.func, "attr" if isinstance(node.func, ast.Attribute) else "id", NAMES[name])
            return node
        return self.generic_visit(node)


# --- running ---------------------------------------------------------------------------------------------------------

class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from a text instead of its file."""

    def __init__(self, path, source):
        self.path, self.source = path, source
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        places = [str(self.path.parent)] if self.path.stem == "__init__" else None
        return importlib.util.spec_from_file_location(name, self.path, loader=self, submodule_search_locations=places)

    def exec_module(self, module):
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)


def tests_of(path):
    """Return the test files that are asked about a file of the library."""
    name = path.relative_to(ROOT / "minnet").as_posix()
    found = max((start for start in TESTS if name.startswith(start)), key=len)
    files = [ROOT / "tests" / f"test_{test}.py" for test in TESTS[found].split()]
    return [str(file) for file in files]


def run(tests, path=None, source=None, limit=3600.0):
    """Run tests in a copy of this process; return (whether all pass, seconds of processor time, their last words)."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            code = 99
            try:
                code = ask(tests, path, source, limit, output)
                sys.stdout.flush()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        _, status, used = os.wait4(child, 0)
        output.seek(max(0, output.seek(0, os.SEEK_END) - 500))
        words = output.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(status) == 0, used.ru_utime + used.ru_stime, words


def ask(tests, path, source, limit, output):
    """Load the changed source and run the tests; in a process of its own."""
    import pytest

    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
    sys.modules["torch"] = None
    if path is not None:
        sys.meta_path.insert(0, Changed(path, source))
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--tb=line",
                        f"--rootdir={ROOT}", *tests])


def survives(path, source, usual):
    """Whether no test sees a change."""
    tests = tests_of(path)
    key = tuple(tests)
    if key not in usual:
        passed, seconds, words = run(tests)
        if not passed:
            raise SystemExit(f"the tests {tests} fail without any change: {words}")
        usual[key] = seconds
    return run(tests, path, source, SLOWER * usual[key] + SPARE)[0]


def named():
    """Yield (path, line, what, source) of NAMED."""
    for name, old, new in NAMED:
        path = ROOT / "minnet" / name
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{name} has `{old}` {text.count(old)} times: change NAMED")
        yield path, text[: text.index(old)].count("\n") + 1, f"`{new}` for `{old}`", text.replace(old, new)


def sampled(places, sample, seed):
    """Return (path, line, what, source) of a random sample of all mutants of files, in random order."""
    files = [file for place in places for file in ([ROOT / "minnet" / place] if place.endswith(".py") else
                                                   sorted((ROOT / "minnet" / place).rglob("*.py")))]
    every = [(path, number) for path in files for number in range(count_of(path))]
    print(f"{len(every)} mutants of {len(files)} files", flush=True)
    chosen = random.Random(seed).sample(every, min(sample, len(every)))
    return [(path, *mutant(path, number)) for path, number in chosen]


def main(argv=(), quick=False):
    """Run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=5 if quick else SAMPLE)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", action="append", metavar="PLACE", help="a file or folder in minnet/")
    options = parser.parse_args(argv)
    os.environ |= {"CI": "true", "MINNET_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    import numba  # noqa: F401 - what is loaded now need not be in each copy of this process
    import scipy.stats  # noqa: F401
    import sklearn.utils.validation  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    usual, counts, start = {}, Counter(), time.monotonic()
    chosen = [*([] if options.only else named()), *sampled(options.only or PLACES, options.sample, options.seed)]
    for number, (path, line, what, source) in enumerate(chosen, 1):
        room = path.relative_to(ROOT / "minnet").parts[0]
        lives = survives(path, source, usual)
        counts.update((room, (room, lives)))
        if lives:
            print(f"survives: {path.relative_to(ROOT)}:{line}: {what}", flush=True)
        if number % 10 == 0:
            print(f"{number} of {len(chosen)}, {time.monotonic() - start:.0f} s", flush=True)
    print("\n| room | mutants | killed | survive |\n|---|---|---|---|")
    for room in sorted({key for key in counts if isinstance(key, str)}):
        killed, lives = counts[room, False], counts[room, True]
        print(f"| {room} | {counts[room]} | {killed} ({killed / counts[room]:.0%}) | {lives} |")


if __name__ == "__main__":
    main(sys.argv[1:])

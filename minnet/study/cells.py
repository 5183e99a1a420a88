"""The cells of a sweep: combinations of settings, each known by what determines its result.

    cells = cells_of({"criterion": ["magnitude", "obd"], "sparsity": [0.9, 0.95], "seed": range(5)})
    cells[0].settings, cells[0].varied, cells[0].id, cells[0].base

Two cells have one base if they differ in the pruning alone: the dense net is then trained once.
"""
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import product

import numpy as np

from minnet import __version__
from minnet.csr import is_sparse
from minnet.data import Dataset
from minnet.engine.rng import as_rng
from minnet.errors import InvalidType, InvalidValue, check_choice, check_count, quoted, unknown
from minnet.files import file_digest
from minnet.formats.storage import file_bytes
from minnet.model import Model
from minnet.pruning.criteria import CRITERIA
from minnet.pruning.recipes import RECIPES, takes_criterion
from minnet.pruning.recipes.controls import CONTROLS
from minnet.pruning.recipes.keywords import function_of
from minnet.study.arguments import teacher_of
from minnet.study.method import resolved
from minnet.study.result import plain
from minnet.study.settings import GRADUAL, Settings, name_of
from minnet.study.training import is_file, is_trained
from minnet.typing import Seed

# settings of the pruning: the dense nets do not depend on them
PRUNING = ("sparsity", "latency", "count", "keep", "macs", "bytes", "flash", "ram", "arithmetic", "criterion",
           "structure", "distribution", "schedule", "recipe", "compensate", "layers", "protect", "value_range",
           "guard", "guard_bound", "safe", "precision")
BUDGETS = ("count", "keep", "macs", "bytes", "flash", "ram", "latency")
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)  # where nothing says how much
SEEDS = tuple(range(5))
ALWAYS = ("criterion", "sparsity")  # columns of the table even where they are the same in all cells
ID_DIGITS = 16
MOST_DRAWS = 100  # per cell that is wanted: then the grid has no more that differ
DEFAULT = {name: getattr(Settings(**GRADUAL), name) for name in PRUNING}


@dataclass(frozen=True)
class Cell:
    """One job of a sweep.

    Parameters
    ----------
    settings : Settings
        Its settings.
    varied : dict of str to object
        What differs among the cells of the sweep, the seed left out: names as in Settings, values as JSON types.
    identity : dict of str to object
        All that determines the result, as JSON types.
    base_identity : dict of str to object
        All that determines the dense nets.
    """

    settings: Settings
    varied: dict[str, object]
    identity: dict[str, object]
    base_identity: dict[str, object]

    @property
    def id(self) -> str:
        """Return the name of the cell's file."""
        return key_of(self.identity)

    @property
    def base(self) -> str:
        """Return the name of the dense nets' file."""
        return key_of(self.base_identity)

    @property
    def name(self) -> str:
        """Return the cell in words, for progress and messages."""
        return ", ".join([*(f"{name} {value}" for name, value in self.varied.items()), f"seed {self.settings.seed}"])


def cells_of(grid: Mapping[str, object], *, draws: int | None = None, threads: int = 1, controls: bool = False,
             rng: Seed = 0) -> list[Cell]:
    """Return the cells of a grid, in its order, seeds innermost.

    The arguments are those of `sweep`, and so are the errors.
    """
    values = _checked(grid, controls)
    seeds = values.pop("seed")
    names = [name for name, value in values.items()
             if isinstance(value, Drawn) or len(value) > 1 or name in ALWAYS]
    rows = list(product(*values.values())) if draws is None else _drawn(values, check_count("draws", draws, 1), rng)
    sources: dict[object, object] = {}
    cells: list[Cell] = []
    for given in _used(values, rows):
        settings = Settings(**given)
        settings = resolved(settings, trained=is_trained(settings.model))
        record = settings.record()
        varied = {name: plain(record[name]) for name in names}
        cells += [_cell(replace(settings, seed=seed), varied, threads, sources) for seed in seeds]
    known: dict[str, Cell] = {}
    for cell in cells:
        other = known.setdefault(cell.id, cell)
        if other is not cell:
            raise InvalidValue(f"the grid has the cell {quoted(cell.name)} twice: give each value once, and functions "
                               "names of their own")
    return cells


def key_of(identity: Mapping[str, object]) -> str:
    """Return the name by which a file says what it is of."""
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def _checked(grid, controls):
    """Return {name: list of values, or what draws them}, with the default sparsities and seeds."""
    if not isinstance(grid, Mapping):
        raise InvalidType(f"grid={quoted(repr(grid))}; wanted a dict of settings, as in "
                          '{"criterion": ["magnitude", "obd"], "sparsity": [0.9, 0.95]}')
    known = {f.name for f in fields(Settings)}
    for name in grid:
        if name not in known:
            raise unknown("setting in grid", name, known)
    values = {name: _values(name, value) for name, value in grid.items()}
    values.setdefault("seed", list(SEEDS))
    if isinstance(values["seed"], Drawn):
        raise InvalidValue("seed is not drawn: every combination has the same seeds; give a list")
    values["seed"] = [check_count("seed", _python(seed)) for seed in values["seed"]]
    if not any(name in grid for name in ("sparsity", *BUDGETS)):
        values["sparsity"] = list(SPARSITIES)
    for name, table in (("criterion", CRITERIA), ("recipe", RECIPES)):
        if not isinstance(values.get(name), Drawn):
            for value in values.get(name, ()):
                check_choice(name, value, table)
    if controls:
        values["recipe"] = [*_with_controls(values.get("recipe", [Settings.recipe]))]
    return values


class Drawn:
    """A distribution that values are drawn from, with a method `rvs` as those of `scipy.stats`."""

    def __init__(self, distribution: object) -> None:
        self.distribution = distribution

    def draw(self, rng: np.random.Generator) -> object:
        """Return one value."""
        return _python(self.distribution.rvs(random_state=rng))


def _values(name, value):
    """Return the values of an argument: those of a list, or the one that is given."""
    if hasattr(value, "rvs"):
        return Drawn(value)
    if not isinstance(value, list | range | np.ndarray):
        return [value]
    if not len(value):
        raise InvalidValue(f"grid has no value for {name}: give at least one")
    return [_python(item) for item in value]


def _python(value):
    return value.item() if isinstance(value, np.generic) else value


def _drawn(values, draws, rng):
    """Return `draws` combinations at random, no two alike."""
    rng, rows = as_rng(rng), {}
    for _ in range(MOST_DRAWS * draws):
        row = tuple(v.draw(rng) if isinstance(v, Drawn) else v[int(rng.integers(len(v)))] for v in values.values())
        rows.setdefault(repr([name_of(item) if callable(item) else item for item in row]), row)
        if len(rows) == draws:
            return list(rows.values())
    raise InvalidValue(f"draws={draws}: the grid has {len(rows)} combinations that differ; give at most as many")


def _used(values, rows):
    """Yield the settings of each row, a recipe with a score of its own once for all criteria of the grid.

    Where there is one recipe and one criterion they are left as they are, so that what is not used is refused.
    """
    several = any(isinstance(values.get(name, ()), Drawn) or len(values.get(name, ())) > 1
                  for name in ("criterion", "recipe"))
    seen = set()
    for row in rows:
        given = dict(zip(values, row, strict=True))
        recipe = check_choice("recipe", given.get("recipe", Settings.recipe), RECIPES)
        if "criterion" in given and several and not takes_criterion(recipe):
            given["criterion"] = None
            key = tuple(map(id, given.values()))
            if key in seen:
                continue
            seen.add(key)
        yield given


def _with_controls(recipes: Sequence[str | Callable]) -> Iterator[str | Callable]:
    """Yield each recipe, and after one that takes `control` each of its controls."""
    functions = [check_choice("recipe", recipe, RECIPES) for recipe in recipes]
    if not any(map(_has_controls, functions)):
        able = [name for name, function in RECIPES.items() if _has_controls(function)]
        raise InvalidValue(f"controls=True: none of the recipes has controls; take one of {', '.join(able)}")
    for recipe, function in zip(recipes, functions, strict=True):
        yield recipe
        if _has_controls(function):
            yield from (partial(function, control=control) for control in CONTROLS)


def _has_controls(recipe):
    return "control" in inspect.signature(function_of(recipe)).parameters


def _cell(settings, varied, threads, sources):
    dense = replace(settings, **DEFAULT)
    return Cell(settings, varied, _identity(settings, threads, sources), _identity(dense, threads, sources))


def _identity(settings, threads, sources):
    """Return what determines a result: settings, the content of files and functions, and the number of threads."""
    record = settings.record()
    for name in ("data", "model", "test", "valid", "weights"):
        record[name] = _source(getattr(settings, name), sources)
    lesson = teacher_of(settings)
    if lesson is not None and not lesson.is_own:
        record["teacher"] = [_source(lesson.source, sources), *lesson[1:]]
    code = {name: _code(getattr(settings, name)) for name in record if callable(getattr(settings, name))}
    return plain({"minnet": __version__, "threads": threads, "settings": record,
                  "code": {name: text for name, text in code.items() if text}})


def _source(value, sources):
    """Return the name of data or a model, or the digest of their content, which is computed once."""
    key = value if isinstance(value, str) else id(value)
    if key not in sources:
        sources[key] = _digest(value)
    return sources[key]


def _digest(value):
    if is_file(value):
        return file_digest(value)
    if isinstance(value, Model):
        return hashlib.sha256(file_bytes(value)).hexdigest()
    if isinstance(value, Dataset):
        found = hashlib.sha256(repr((value.name, value.signature.to_json())).encode())
        for part in ("train", "valid", "test"):
            for rows in (getattr(value, f"X_{part}"), getattr(value, f"y_{part}")):
                parts = (rows.data, rows.indices, rows.indptr) if is_sparse(rows) else (np.asarray(rows),)
                for array in parts:
                    found.update(repr((array.shape, array.dtype)).encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()
    return value


def _code(function):
    """Return the digest of the text of a function of the user's, None where there is none."""
    with suppress(OSError, TypeError):
        text = inspect.getsource(inspect.unwrap(function_of(function)))
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]
    return None

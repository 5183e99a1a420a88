"""The schema of result.json: what a result must have so that a page, or the playground, can be made of it.

    problem = problem_of(result)        # None, or "after.macs is no number"
    problem = problem_of_cell(record)   # of a sweep: what a finished cell must have to be in its table
    problem = problem_of_dense(figures) # and what its dense nets must have

A rule is a function of one value that raises `Mismatch`. What no rule names may be anything that JSON can hold.
"""
from collections.abc import Callable, Mapping

from minnet.study.guard import WORDS

WIDEST = 1e300  # of a number: the difference of two is still a float
LARGEST = 2**63  # of a whole number
DEEPEST = 20    # lists and objects inside one another
RATES = ("precision", "recall", "f1")
FIGURES = ("accuracy", "recall_macro", "f1_macro", "f1_micro", "hamming_loss", "r2", "mae", "rmse", "loss",
           "parameters", "macs", "bytes_on_disk", "latency_us", "throughput_per_s", "brier", "ece", "accuracy_int8",
           "r2_int8", "bytes_frozen", "bytes_frozen_int8")
SHOWN = (0.0, 0.0, 0.0)  # of margins: the lowest, the next, the median
PARTS = tuple(WORDS)
Rule = Callable[[object], None]


class Mismatch(ValueError):
    """A value breaks a rule; `place` is where, such as "after.macs"."""

    def __init__(self, what: str, place: str = "") -> None:
        super().__init__(what)
        self.what, self.place = what, place


def problem_of(result: object) -> str | None:
    """Return what is wrong with a result, in one line without what it holds; None where nothing is."""
    return _problem(result, _whole_result, "the result")


def problem_of_cell(record: object) -> str | None:
    """Return what is wrong with the file of a cell of a sweep, as `problem_of` does."""
    return _problem(record, CELL)


def problem_of_dense(record: object) -> str | None:
    """Return what is wrong with the figures of a sweep's dense nets, as `problem_of` does."""
    return _problem(record, DENSE)


def _problem(record, rule, name="it"):
    """Return where a record breaks a rule, or None; `name` is that of the whole."""
    try:
        _check_depth(record)
        rule(record)
    except Mismatch as error:
        return f"{error.place.strip('.') or name} {error.what}"
    return None


def _whole_result(value: object) -> None:
    RESULT(value)
    _check_classes(value)
    _check_guard(value.get("guard"))
    if "safe" in value:
        _check_changes(value)


def _deep(value, room):
    """Return whether lists and objects are nested deeper than `room`."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return room < 0 or any(_deep(item, room - 1) for item in inner)


def _check_depth(result):
    """Raise Mismatch where a result is nested too deep."""
    if _deep(result, DEEPEST):
        raise Mismatch(f"has more than {DEEPEST} levels")


def _at(place, rule, value):
    """Apply a rule to what is at a place."""
    try:
        rule(value)
    except Mismatch as error:
        raise Mismatch(error.what, f".{place}{error.place}") from None


def _kind(test: Callable[[object], bool], what: str) -> Rule:
    """Return the rule that a value passes a test."""
    def _rule(value: object) -> None:
        if not test(value):
            raise Mismatch(what)
    return _rule


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST


def _is_number(value):
    return _is_whole(value) or (isinstance(value, float) and abs(value) <= WIDEST)


TEXT = _kind(lambda value: isinstance(value, str), "is no text")
FLAG = _kind(lambda value: isinstance(value, bool), "is neither true nor false")
NUMBER = _kind(_is_number, "is no number")
COUNT = _kind(lambda value: _is_whole(value) and value >= 0, "is no count")
WHOLE = _kind(_is_whole, "is no whole number")
TABLE = _kind(lambda value: isinstance(value, dict), "is no object")
SCALARS = _kind(lambda value: isinstance(value, list) and not any(isinstance(item, list | dict) for item in value),
                "is no list of names or numbers")
PART = _kind(lambda value: isinstance(value, str) and value in PARTS, f"is none of {', '.join(PARTS)}")


def _or_none(rule: Rule) -> Rule:
    return lambda value: None if value is None else rule(value)


def _list(rule: Rule, length: int | None = None) -> Rule:
    """Return the rule of a list, each entry of which obeys `rule`."""
    def _of_list(value: object) -> None:
        if not isinstance(value, list) or length not in (None, len(value)):
            raise Mismatch("is no list" + (f" of {length}" if length else ""))
        for i, item in enumerate(value):
            _at(i, rule, item)
    return _of_list


def _object(needed: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None) -> Rule:
    """Return the rule of an object that has the keys `needed`; of those in `optional` it may lack some."""
    rules = {**needed, **(optional or {})}

    def _of_object(value: object) -> None:
        TABLE(value)
        for name, rule in rules.items():
            if name in value:
                _at(name, rule, value[name])
            elif name in needed:
                raise Mismatch("is missing", f".{name}")
    return _of_object


def _each(rule: Rule) -> Rule:
    """Return the rule of an object, each value of which obeys `rule`."""
    def _of_values(value: object) -> None:
        TABLE(value)
        for item in value.values():  # a name from the file is not repeated
            rule(item)
    return _of_values


def _names(*rules: str) -> Callable[[Rule], dict[str, Rule]]:
    return lambda rule: dict.fromkeys(rules, rule)


GUESS = _or_none(NUMBER)
PAIR = _list(GUESS, 2)
PER_CLASS = _object({**_names(*RATES)(_list(NUMBER)), "support": _list(COUNT)},
                    {"intervals": _each(_list(PAIR))})
SIDE = _object({}, _names(*FIGURES)(GUESS) | {
    "per_class": PER_CLASS, "confusion": _or_none(_list(_list(COUNT))), "intervals": _each(_or_none(PAIR))})


def _flips(value: object) -> None:
    _object(_names("right_to_wrong", "wrong_to_right")(FLIPS))(value)
    _each(FLIPS)(value)


CHANGED = _object({"difference": _list(GUESS), "interval": _list(PAIR)})
FLIPS = _object({"per_class": _list(COUNT), "rows": _list(COUNT)}, _names("labels", "targets")(_list(COUNT)))
CHANGE = _object({}, _names(*FIGURES)(_object({}, {"interval": _or_none(PAIR)})) | {
    "per_class": _object(_names(*RATES)(CHANGED)), "flips": _flips,
    "margins": _object(_names("before", "after")(_list(GUESS)))})
AFTER = _object({"shape": _list(COUNT), "remaining": COUNT, "macs": COUNT}, _names("bytes", "latency_us")(GUESS))
LAYER = _object({"name": TEXT, "shape": _list(COUNT), "weights": COUNT, "remaining": COUNT, "macs": COUNT},
                {"after": _or_none(AFTER)})
STEP = _object({"stage": TEXT, "loss": GUESS, "sparsity": GUESS}, {"cut": _or_none(WHOLE)})
SEARCH = _object({"rounds": _list(_object({"asked": NUMBER, "holds": FLAG})), "held": FLAG,
                  "bound": _or_none(_object({"asked": NUMBER, "missed": _list(TEXT)}))},
                 {"reached": GUESS})
SCORES = _each(GUESS)
GUARD = _object({"part": PART, "samples": COUNT, "limits": _each(NUMBER), "before": SCORES, "after": SCORES},
                {"bounds": _each(_object({"bound": GUESS, "images_needed": GUESS})), "search": SEARCH,
                 "test": _object({"samples": COUNT, "before": SCORES, "after": SCORES})})
SAFE = _object({"protected": _list(TEXT), "tried": _list(_object({"criterion": TEXT, "flips": GUESS}))})
RESULT = _object(
    {"data": TEXT, "model": TEXT, "words": TEXT, "sparsity": TABLE, "before": SIDE, "after": SIDE,
     "layers": _list(LAYER), "history": _list(STEP), "settings": TABLE, "machine": TABLE, "threads": COUNT,
     "seed": COUNT, "recipe": TEXT},
    {"criterion": TEXT, "structure": TEXT, "classes": _or_none(SCALARS), "change": CHANGE,
     "guard": GUARD, "safe": SAFE, "inputs": _object({"kept": SCALARS, "of": COUNT}), "sha256": TABLE})

SCORED = _object({"loss": GUESS}, _names(*FIGURES)(GUESS))


def _part_scores(value: object) -> None:
    SCORED(value)
    if "accuracy" not in value and "r2" not in value:
        raise Mismatch("has neither accuracy nor r2")


def _cell_result(value: object) -> None:
    (FAILED if isinstance(value, dict) and "error" in value else FINISHED)(value)


FAILED = _object({"error": TEXT})
DENSE_FIGURES = {"valid": _part_scores, "test": _part_scores, "decides": PART, "parameters": COUNT, "macs": COUNT}
FINISHED = _object(DENSE_FIGURES | {"removed": NUMBER, "kept_weights": COUNT, "file_bytes": COUNT})
CELL = _object({"cell": _object({"settings": TABLE}), "result": _cell_result})
DENSE = _object({"base": TABLE, "figures": _object(DENSE_FIGURES)})


def _check_classes(result):
    """Raise Mismatch unless all tables of classes are of the same number of classes."""
    sides, change = [result["before"], result["after"]], result.get("change", {})
    tables = [side["per_class"] for side in sides if "per_class" in side]
    if len(tables) < len(sides) or "per_class" not in change:
        return  # then nothing is shown of classes
    if "flips" not in change:
        raise Mismatch("is missing", ".change.flips")
    lists = [table[name] for table in tables for name in (*RATES, "support")]
    lists += [values for table in tables for values in table.get("intervals", {}).values()]
    lists += [change["per_class"][name][key] for name in RATES for key in ("difference", "interval")]
    lists += [flips["per_class"] for flips in change["flips"].values()]
    for matrix in filter(None, (side.get("confusion") for side in sides)):
        lists += [matrix, *matrix]
    names = result.get("classes")
    if len({*map(len, lists), *([len(names)] if names else [])}) > 1:
        raise Mismatch("has tables of different numbers of classes")


def _check_guard(guard):
    """Raise Mismatch unless a guard's scores are there before and after."""
    if guard is None:
        return
    for found in (guard, guard.get("test", guard)):
        if not all(name in found[side] for name in guard["limits"] for side in ("before", "after")):
            raise Mismatch("lacks a score that it limits", ".guard")
    if "search" in guard and guard["search"]["held"]:
        for name, rule in (("reached", NUMBER), ("epochs", COUNT)):
            _at(f"guard.search.{name}", rule, guard["search"].get(name))


def _check_changes(result):
    """Raise Mismatch unless all is there that is said of a run of least change."""
    for name in ("criterion", "classes", "change"):
        if name not in result:
            raise Mismatch("is missing", f".{name}")
    if any(trial["flips"] is None and "reason" not in trial for trial in result["safe"]["tried"]):
        raise Mismatch("lacks a reason", ".safe.tried")
    for side in result["change"].get("flips", {}).values():
        numbers = side.get("labels", side.get("targets"))
        known = len(result["classes"] or side["per_class"])
        if numbers is None or len(numbers) != len(side["rows"]) or any(number >= known for number in numbers):
            raise Mismatch("has rows without their class", ".change.flips")
    before, after = (result["change"].get("margins", {}).get(side, SHOWN) for side in ("before", "after"))
    if len(before) != len(after) or len(before) < len(SHOWN):
        raise Mismatch("is too short", ".change.margins")

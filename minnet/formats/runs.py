"""Write a training run as JSON and read it back: its position, its optimizer, and its random streams.

    facts = run_facts(state)             # everything but the model and the optimizer's vectors
    state = make_run(facts, model)       # checked; its vectors are still 0

A file holds only optimizers of minnet's, by the names of their classes.
"""
import dataclasses

from minnet.engine.optimizers import OPTIMIZERS
from minnet.engine.state import State
from minnet.errors import InvalidType, InvalidValue, check_count, check_real, quoted, unknown
from minnet.formats.architecture import check_like
from minnet.threads import MOST_THREADS

COUNTERS = ("epoch", "batch", "t", "seed")
FACTS = {*COUNTERS, "batch_size", "loss_sum", "optimizer", "streams", "threads"}
OLDER = FACTS - {"batch_size"}  # of files from before it was noted
GENERATOR = "PCG64"  # of np.random.default_rng
LIMITS = {"state": 2**128, "inc": 2**128, "has_uint32": 2, "uinteger": 2**32}  # each number of it is below
BY_NAME = {made.__name__: made for made in OPTIMIZERS.values()}


def run_facts(state):
    """Return the State as JSON: counters, seed, optimizer and streams; InvalidType for parts that are not minnet's."""
    if type(state.optimizer) not in BY_NAME.values():
        raise InvalidType(f"the optimizer {quoted(repr(state.optimizer))} is none of minnet's: a file holds "
                          f"{', '.join(BY_NAME)}; save(state.model, path) holds the model alone")
    if state.topology != state.model.topology:
        raise InvalidValue(f"the model's live positions have moved {state.model.topology - state.topology} times since "
                           "this State was made: give it to rewire, as model.rewire(..., state=state)")
    facts = {name: getattr(state, name) for name in (*COUNTERS, "batch_size", "loss_sum", "threads")}
    return facts | {"optimizer": {"type": type(state.optimizer).__name__, **dataclasses.asdict(state.optimizer)},
                    "streams": [stream_facts(stream) for stream in state.rngs]}


def make_run(facts, model):
    """Return the State for `model` that `facts` describe; raise InvalidValue or InvalidType for what it cannot be."""
    if not isinstance(facts, dict) or set(facts) not in (FACTS, OLDER):
        raise InvalidValue(f"the run is no table of {', '.join(sorted(FACTS))}, but {quoted(repr(facts))}")
    counters = {name: check_count(name, facts[name]) for name in COUNTERS}
    n_threads = check_count("threads", facts["threads"], 1, MOST_THREADS)
    streams = facts["streams"]
    if not isinstance(streams, list) or len(streams) != n_threads:
        raise InvalidValue(f"the run has no list of {n_threads} streams, one for each of its threads, but "
                           f"{quoted(repr(streams))}")
    state = State(model, make_optimizer(facts["optimizer"]), counters.pop("seed"), n_threads)
    state.batch_size = check_count("batch_size", facts.get("batch_size", 0))
    state.loss_sum = check_real("loss_sum", facts["loss_sum"])
    for name, count in counters.items():
        setattr(state, name, count)
    for stream, numbers in zip(state.rngs, streams, strict=True):
        set_stream(stream, numbers)
    return state


def slots_of(facts):
    """Return the number of vectors that the optimizer of such a run keeps."""
    return make_optimizer(facts.get("optimizer") if isinstance(facts, dict) else None).slots


def make_optimizer(facts):
    """Return the optimizer that `facts`, {"type": "SGD", "lr": ...}, describe."""
    if not isinstance(facts, dict) or not isinstance(facts.get("type"), str):
        raise InvalidValue(f"an optimizer is described by a table with its type, got {quoted(repr(facts))}")
    if facts["type"] not in BY_NAME:
        raise unknown("optimizer", facts["type"], BY_NAME)
    made = BY_NAME[facts["type"]]
    fields = {field.name: field.default for field in dataclasses.fields(made)}
    given = {name: value for name, value in facts.items() if name != "type"}
    if set(given) != set(fields):
        raise InvalidValue(f"{facts['type']} is given {quoted(repr(sorted(given)))}; it takes {', '.join(fields)}")
    for name, value in given.items():
        check_like(f"{name} of {facts['type']}", fields[name], value)
    return made(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def stream_facts(stream):
    """Return the four numbers that a generator's next draw depends on."""
    facts = stream.bit_generator.state
    if facts["bit_generator"] != GENERATOR:
        raise InvalidType(f"a stream of this run is a {quoted(str(facts['bit_generator']))}: a file holds {GENERATOR}, "
                          "which np.random.default_rng makes")
    return {**facts["state"], "has_uint32": facts["has_uint32"], "uinteger": facts["uinteger"]}


def set_stream(stream, numbers):
    """Make a generator what it was when `stream_facts` took these numbers of it; raise InvalidValue for wrong ones."""
    if not isinstance(numbers, dict) or set(numbers) != set(LIMITS):
        raise InvalidValue(f"a stream of the run is no table of {', '.join(LIMITS)}, but {quoted(repr(numbers))}")
    for name, limit in LIMITS.items():
        check_count(f"{name} of a stream", numbers[name], 0, limit - 1)
    if numbers["inc"] % 2 == 0:
        raise InvalidValue(f"inc of a stream is {numbers['inc']}: it is odd in every {GENERATOR}")
    stream.bit_generator.state = {"bit_generator": GENERATOR, "state": {k: numbers[k] for k in ("state", "inc")},
                                  "has_uint32": numbers["has_uint32"], "uinteger": numbers["uinteger"]}

"""Checkpoint: a training, or a recipe, that is stored while it runs, so that it can be stopped at any time and goes on.

    checkpoint = Checkpoint("run.safetensors")
    for step in recipes.rigl(model, data, 0.9, rng=0, train=partial(checkpoint, optimizer="adam")):
        ...

A Checkpoint is used in the place of `train`, and writes the run after each epoch, whole: weights, mask, live positions,
what the optimizer keeps, random generators, and what the recipe says that it remembers (`remember`). Where the file is
there when the Checkpoint is made, the same call, on the same model as it was at the start, goes on where the run was,
with the same bits: what a recipe does before its first step is done again, trainings that were finished are passed
over, and then everything is put back.
"""
import inspect
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial, wraps

import numpy as np

from minnet.engine.model import Model
from minnet.engine.state import State, Step
from minnet.errors import InvalidValue, check_positive, check_real, file_error, quoted
from minnet.files import file_errors, opened, write_whole
from minnet.formats.memory import memory_facts, put_back
from minnet.formats.runs import make_run, run_facts
from minnet.formats.tensors import parse_json, read_arrays, read_head, to_bytes
from minnet.training import Training, train
from minnet.typing import Path

KIND = "checkpoint"
PIECE = 16  # batches after which the clock is looked at, where a run is also stored between epochs


class Checkpoint:
    """Train as `train` does, and store the run in a file, from which the same call goes on.

    Parameters
    ----------
    path : str or path
        The file. Where it is there, the run in it goes on; delete it to begin anew.
    save_every : float, optional
        Also store the run when so many seconds have passed, within an epoch too. Default: after each epoch alone.
    about : mapping, optional
        What the run depends on, as JSON: a file with other facts is refused.
    rest : float
        Seconds that pass at least between the ends of two epochs after which the run is stored: 0 stores it after each.

    Attributes
    ----------
    resumes : bool
        Whether a run was found.
    notes : dict
        What the caller notes in the file, as JSON.

    Raises
    ------
    FileError
        The file is damaged, or of another run.

    Notes
    -----
    A recipe that does not `remember` is not stored: its run begins anew, which gives the same bits later. The mean that
    `swa` or `ema` makes of the steps is stored too; then the last epoch of a training is not, for the mean is not yet
    in the model. So is a `record` that is bound to `prune`, whole each time.
    """

    def __init__(self, path: Path, *, save_every: float | None = None, about: Mapping | None = None,
                 rest: float = 0.0) -> None:
        self.path, self.about, self.rest = os.fspath(path), dict(about or {}), check_real("rest", rest, 0)
        self.save_every = None if save_every is None else check_positive("save_every", save_every)
        self.things: list[object] | None = None
        self.calls, self.saved = 0, 0.0
        self.beside: list[object] = []
        self.begun = False  # whether a step was seen
        self.__signature__ = inspect.signature(train)  # so that a recipe sees what is bound
        self.found = read_stored(self.path, KIND, self.about) if os.path.lexists(self.path) else None
        self.notes: dict[str, object] = self.found["notes"] if self.found else {}
        self.resumes = self.found is not None
        self.restored: tuple | None = None  # what is known of things beside a run that was resumed

    def remember(self, things: Sequence[object]) -> None:
        """Add what a recipe remembers between two steps: arrays, random generators, dicts or objects.

        Parameters
        ----------
        things : sequence
            What changes while the recipe runs, and is not the model's or the optimizer's.
        """
        self.things = [*(self.things or []), *things]

    def keep(self, thing: object) -> None:
        """Add what goes beside the run, such as the mean of its nets; where the run was resumed, put back what it was.

        Parameters
        ----------
        thing : object
            What changes with the steps, and is not the model's or the optimizer's.

        Raises
        ------
        InvalidValue
            The run was stored without it.
        """
        self.beside.append(thing)
        if self.restored is None:
            return
        facts, arrays, model = self.restored
        if len(self.beside) > len(facts):
            raise InvalidValue(f"{quoted(self.path)} was stored without a mean of its nets, or another thing that is "
                               "kept beside it now: leave that out, or delete the file to begin anew")
        put_back(thing, facts[len(self.beside) - 1], arrays, model)

    @wraps(train)
    def __call__(self, model: Model, data: object, *, every: str | int = "epoch", **options: object) -> Iterator[Step]:
        """Train as `train` does, from where the run was, and store it."""
        number, self.calls = self.calls, self.calls + 1
        often = every if self.save_every is None else _finer(every)
        again = partial(train, model, data, every=often, **options)
        return self._steps(number, model, again(), again, every)

    def _steps(self, number: int, model: Model, steps: Training, again, every) -> Iterator[Step]:
        """Yield the steps of the training of that number, and store it where it begins and after its epochs."""
        if self.found is not None:
            steps.close()
            if number < self.found["number"]:
                return
            found, self.found = self.found, None
            steps = again(state=_restored(found, model, self.things or []))
            self.begun = found["begun"]
            self.restored = (found["beside"]["list"], found["arrays"], model) if self.begun else None
            self.saved = time.monotonic()
        steps.state.keeper = self
        with closing(steps):
            self.write(number, steps.state)
            yield from self._stored(number, steps, every)

    def _stored(self, number, steps, every):
        """Yield the steps that `every` asks for; store the run after each epoch, and when it is time."""
        for step in steps:
            if step.batch == 0 or every == "batch" or (every != "epoch" and step.batch % every == 0):
                self.begun = True
                yield step
            if self._due(step) and not (self.beside and step.progress == 1):
                self.write(number, step.state)

    def _due(self, step):
        """Return whether it is time to store the run."""
        passed = time.monotonic() - self.saved
        return (step.batch == 0 and passed >= self.rest) or (self.save_every is not None and passed >= self.save_every)

    def write(self, number: int, state: State) -> None:
        """Store the run: the training of that number is where the state is.

        Parameters
        ----------
        number : int
            Of the trainings that a recipe consists of, which one this is, from 0.
        state : State
            The run of that training.
        """
        if self.things is None:
            return
        arrays = arrays_of(state.model) | {"vectors": state.vectors}
        facts = {"kind": KIND, "about": self.about, "notes": self.notes, "number": number, "state": run_facts(state),
                 "memory": memory_facts(self.things, arrays), "begun": self.begun,
                 "beside": memory_facts(self.beside, arrays, "beside")}
        with file_errors(self.path):
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        write_whole(self.path, to_bytes(arrays, json.dumps(facts)))
        self.saved = time.monotonic()


def remember(train: Callable[..., object], *things: object) -> None:
    """Say what a recipe remembers between two steps, so that its run can be stored and go on.

    Call it right before the training begins. What follows from the step alone, as its progress does, and what a recipe
    does before its first step, needs no mention.

    Parameters
    ----------
    train : callable
        What the recipe trains with; where it is no Checkpoint nothing is done.
    things : object
        Arrays, random generators, dicts, or objects whose attributes are such, numbers or text.
    """
    while isinstance(train, partial):
        train = train.func
    if isinstance(train, Checkpoint):
        train.remember(things)


def _finer(every):
    """Return after how many batches a Step comes, so that those of `every` are among them."""
    if every != "epoch" and not isinstance(every, int):
        return every
    return PIECE if every == "epoch" else max(n for n in range(1, min(every, PIECE) + 1) if every % n == 0)


def _places(model):
    """Return the live positions of the parameters that were born sparse."""
    return {name: p.index for name, p in model.parameters.items() if p.index is not None}


def _are_places(found, shape, dense):
    """Return whether an array has as many sorted positions as a model has, in a matrix of the shape `dense`."""
    return found.shape == shape and bool((found[1:] > found[:-1]).all() and (found < math.prod(dense)).all())


def arrays_of(model: Model) -> dict[str, np.ndarray]:
    """Return by name, as files hold them, the arrays that a model's outputs depend on.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    dict of str to numpy.ndarray
        Values, mask, and live positions of layers that were born sparse.
    """
    return {"values": model.values, "mask": model.mask.view(np.uint8)} | {
        f"index.{name}": places.astype(np.uint64) for name, places in _places(model).items()}


def put_into(model: Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Make a model what it was when `arrays_of` took its arrays; raise InvalidValue where it is another model.

    Parameters
    ----------
    model : Model
        The model, changed in place.
    arrays : mapping of str to numpy.ndarray
        The arrays; others among them are passed over.
    """
    stored = {name.removeprefix("index."): places for name, places in arrays.items() if name.startswith("index.")}
    places = _places(model)
    whole = {"values": model.values, "mask": model.mask}
    fits = all(name in arrays and arrays[name].shape == like.shape for name, like in whole.items())
    if not fits or set(stored) != set(places) or not all(
            _are_places(stored[name], index.shape, model.parameters[name].shape) for name, index in places.items()):
        raise InvalidValue("the stored run is of another model: give the same one, as it was when the run began")
    for name, index in places.items():
        index[:] = stored[name]
        model.topology += 1
    model.values[:], model.mask[:] = arrays["values"], arrays["mask"].astype(bool)


def read_stored(path: Path, kind: str, about: Mapping) -> dict:
    """Return the facts of a file, and its "arrays"; raise FileError for one of another kind or of another run.

    Parameters
    ----------
    path : str or path
        The file.
    kind : str
        What its facts call their kind.
    about : mapping
        What its run depends on.

    Returns
    -------
    dict
        Its facts.
    """
    with opened(path) as file:
        head = read_head(file, path)
        facts = parse_json("its description", head.text)
        if not isinstance(facts, dict) or facts.get("kind") != kind:
            raise file_error(path, f"holds no {kind} of a run", "name another file, or delete it")
        if facts.get("about") != json.loads(json.dumps(about)):
            raise file_error(path, f"is of another run: {_differing(facts.get('about'), about)}",
                             "give the same arguments, or begin anew")
        return facts | {"arrays": read_arrays(file, head)}


def _differing(stored, given):
    """Return in words the first fact in which two runs differ."""
    stored = stored if isinstance(stored, dict) else {}
    for name in {**given, **stored}:
        if stored.get(name) != given.get(name):
            return f"{name} was {quoted(repr(stored.get(name)))}, and is {quoted(repr(given.get(name)))}"
    return "its facts differ"


def _restored(found, model, things):
    """Make the model, and what a recipe remembers, what they were; return the State."""
    arrays = found["arrays"]
    put_into(model, arrays)
    state = make_run(found["state"], model)
    state.vectors[...] = arrays["vectors"]
    for thing, facts in zip(things, found["memory"]["list"], strict=True):
        put_back(thing, facts, arrays, model)
    return state

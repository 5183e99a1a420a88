"""The laws of criteria: what holds for every function (model, data) -> scores, on every small net.

A law takes a Case and returns what is wrong, with an example, or None.
"""
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from minnet.engine.sample import Sample
from minnet.errors import InvalidType, InvalidValue, MinnetError, unknown
from minnet.model import Model
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.prune import prune
from minnet.pruning.scores import NoData, name_of, score
from minnet.pruning.traits import Criterion, Traits
from minnet.testing.broken import Law, broken, chosen, difference, largest
from minnet.testing.small import NETS, make, sample_for

SINGLE = 1e-4  # how exactly float32 agrees with float64, relative to the largest score
EXACT = 1e-9   # how exactly two ways to the same scores agree
HIDDEN = {"dense": ("dense1", "dense2"), "normed": ("dense1",), "conv": ("conv1", "conv2", "dense1"),
          "residual": ("conv1", "conv2"), "concat": ("dense2",)}  # layers whose units may change places


class Stopped(Exception):
    """What a layer raises in `a_failing_pass`, and nothing else does."""


@dataclass(frozen=True)
class Case:
    """Hold a criterion and the name of a small net that it can judge."""

    criterion: Criterion
    net: str

    @property
    def traits(self) -> Traits:
        """Return what the criterion declares."""
        return traits_of(self.criterion)

    def bound(self, model: Model, initial: np.ndarray | None = None) -> Criterion:
        """Return the criterion as (model, data) -> scores, with initial weights where it asks for them."""
        if not takes_initial(self.criterion):
            return self.criterion
        began = np.sin(7 * model.values) if initial is None else initial
        return lambda model, data: self.criterion(model, data, initial=began)

    def scores(self, model: Model, sample: Sample | NoData, initial: np.ndarray | None = None) -> np.ndarray:
        """Return the scores of a model."""
        return self.bound(model, initial)(model, sample)


def takes_initial(criterion: Criterion) -> bool:
    """Return whether a criterion has a parameter `initial`."""
    return "initial" in inspect.signature(criterion).parameters


def check_criterion(criterion: Criterion, *, laws: Sequence[str] | None = None,
                    nets: Sequence[str] | None = None) -> list[str]:
    """Check the laws that every criterion keeps, on small nets with rows, images, norms and branches.

    There is one finite or infinite score a weight and no NaN, also where nothing fires; model and data stay as they
    are, also where a pass fails; the same seed gives the same bits; neither the order of the rows, nor batches, nor
    the order of hidden units, nor the precision matters; what the traits declare holds; `prune` removes exactly as
    many as it is asked for. A net that the criterion refuses by a MinnetError is left out; it has to judge one.

    Parameters
    ----------
    criterion : callable
        A function (model, data) -> scores of shape (n_weights,), higher where a weight should stay; what it needs
        it declares by an attribute `traits`.
    laws : sequence of str, optional
        Names in CRITERION_LAWS. Default: all.
    nets : sequence of str, optional
        Names in `minnet.testing.small.NETS`. Default: all.

    Returns
    -------
    list of str
        The nets that it judged.

    Raises
    ------
    LawBroken
        A law does not hold; the message names it and shows an example.
    InvalidType
        The criterion is no function.
    """
    if not callable(criterion):
        raise InvalidType(f"check_criterion takes a function (model, data) -> scores, got {criterion!r}")
    wanted = chosen(laws, CRITERION_LAWS)
    names, judged, reasons = list(NETS if nets is None else nets), [], []
    for net in names:
        if net not in NETS:
            raise unknown("net", net, NETS)
        case = Case(criterion, net)
        reason = refusal(case)
        if reason is None:
            judged.append(net)
        else:
            reasons.append(reason)
        for law in wanted if reason is None else ():
            if wrong := law(case):
                raise broken(f"the criterion {name_of(criterion)}", law, f"the net {net}, {NETS[net]()[0]}", wrong)
    if not judged:
        raise broken(f"the criterion {name_of(criterion)}", refusal, ", ".join(names), reasons[0])
    return judged


def refusal(case: Case) -> str | None:
    """Judge one net at least, and refuse others by a MinnetError of one line."""
    model = make(case.net)
    before = bits(model)
    try:
        case.scores(model, sample_for(model))
    except MinnetError as error:
        if "\n" in str(error) or bits(model) != before:
            raise broken(f"the criterion {name_of(case.criterion)}", refusal, case.net,
                         "it changed the model, or its message has several lines") from error
        return str(error)
    return None


def bits(model: Model, sample: Sample | None = None) -> bytes:
    """Return all bytes of a model, and of a sample."""
    more = () if sample is None else (sample.X, sample.y)
    return b"".join(array.tobytes() for array in (model.values, model.mask, *more))


def again(sample: Sample, rows: int | None = None) -> Sample:
    """Return the sample with an rng that begins anew, so that two calls draw the same, and batches of `rows` rows."""
    return replace(sample, rng=np.random.default_rng(2), rows=sample.rows if rows is None else rows)


def partly_masked(net: str) -> Model:
    """Return a net without a third of the weights, and without all that makes the first unit of the first layer."""
    model = make(net)
    mask = np.ones(len(model.values), bool)
    mask[: model.n_weights : 3] = False
    for use in model.couple().uses:
        if use.axis == -1 and use.parameter.layer == model.weight_parameters[0].layer:
            use.parameter.of(mask)[..., 0] = False
    model.set_mask(mask)
    return model


# --- the laws --------------------------------------------------------------------------------------------------------


def one_number_a_weight(case: Case) -> str | None:
    """Give each weight one number that is not NaN, below 0 only where the traits say signed."""
    for model in (make(case.net), partly_masked(case.net)):
        scores = case.scores(model, sample_for(model))
        if not isinstance(scores, np.ndarray) or scores.shape != (model.n_weights,):
            return f"shape {np.shape(scores)}, wanted ({model.n_weights},)"
        if scores.dtype not in (np.float32, np.float64):
            return f"scores are {scores.dtype}, wanted float32 or float64"
        if np.isnan(scores).any():
            return f"the score of weight {int(np.isnan(scores).argmax())} is NaN"
        if not case.traits.signed and scores.min() < 0:
            return f"the score of weight {scores.argmin()} is {scores.min():.6g}; declare Traits(signed=True)"
        if np.shares_memory(scores, model.values):
            return "the scores are a view of the weights; wanted a copy"
    return None


def the_model_stays(case: Case) -> str | None:
    """Leave values, mask and data as they are."""
    for model in (make(case.net), partly_masked(case.net)):
        sample = sample_for(model)
        parts = {"values": model.values, "mask": model.mask, "data.X": sample.X, "data.y": sample.y}
        before = {name: array.copy() for name, array in parts.items()}
        case.scores(model, sample)
        for name, array in parts.items():
            if array.tobytes() != before[name].tobytes():
                return f"{name}: {difference(array, before[name]) or 'the sign of a 0 changed'}"
    return None


def the_same_seed_the_same_bits(case: Case) -> str | None:
    """Give the same bits for the same seed."""
    models = [make(case.net), make(case.net)]
    first, second = (case.scores(model, sample_for(model)) for model in models)
    return None if first.tobytes() == second.tobytes() else difference(second, first)


def the_order_of_rows(case: Case) -> str | None:
    """Depend on the set of the rows, not on their order."""
    if case.traits.stochastic or case.traits.needs != "data":
        return None
    model = make(case.net)
    sample = sample_for(model)
    order = np.random.default_rng(0).permutation(len(sample))
    first = case.scores(model, sample)
    moved = replace(sample, X=sample.X[order], y=sample.y[order], rng=np.random.default_rng(1))
    return difference(case.scores(model, moved), first, rtol=1e-7, atol=1e-9 * largest(first))


def the_size_of_batches(case: Case) -> str | None:
    """Give the same for batches of 2 rows as for one of 9."""
    if case.traits.needs != "data":
        return None
    model = make(case.net)
    sample = sample_for(model, rows=9)
    whole = case.scores(model, again(sample, 9))
    return difference(case.scores(model, again(sample, 2)), whole, EXACT, EXACT * largest(whole))


def single_precision(case: Case) -> str | None:
    """Give in float32 what it gives in float64, to 1e-4 of the largest score."""
    model = make(case.net, dtype=np.float32)
    twin, sample = model.clone(np.float64), sample_for(model)
    began = np.random.default_rng(8).normal(size=len(model.values)).astype(model.dtype)
    wide = replace(again(sample), X=sample.X.astype(np.float64))
    theirs = case.scores(twin, wide, began.astype(np.float64))
    return difference(case.scores(model, again(sample), began), theirs, SINGLE, SINGLE * largest(theirs))


def the_order_of_units(case: Case) -> str | None:
    """Move with the hidden units where these change places, and so does what `prune` removes."""
    for layer in () if case.traits.stochastic else HIDDEN.get(case.net, ()):
        model = make(case.net)
        units = model.layers[layer].output_shape[-1]
        clone, source = permuted(model, layer, np.random.default_rng(2).permutation(units))
        sample = sample_for(model)
        first, second = case.scores(model, sample_for(model)), case.scores(clone, sample_for(clone))
        order, rounding = source[: model.n_weights], 1e-9 * largest(first)
        if wrong := difference(second, first[order], 1e-6, rounding):
            return f"units of {layer} changed places: {wrong}"
        for net in (model, clone):
            prune(net, 0.5, criterion=case.bound(net), data=sample)
        gone, cut = ~model.mask[: model.n_weights], np.sort(first)[round(0.5 * model.n_weights) - 1]
        clear = ~np.isclose(first, cut, rtol=1e-6, atol=rounding)  # what equals the cut goes by index
        if not np.array_equal(~clone.mask[: model.n_weights][clear[order]], gone[order][clear[order]]):
            return f"units of {layer} changed places, and other weights are removed"
    return None


def permuted(model: Model, layer: str, order: np.ndarray) -> tuple[Model, np.ndarray]:
    """Return a clone whose units made by `layer` have another order, and where each of its values is taken from.

    Unit order[i] is at place i, and clone.values = model.values[source].
    """
    coupling = model.couple()
    made = next(coupling.roots(use.units) for use in coupling.uses
                if use.axis == -1 and use.parameter is model.layers[layer].weight)
    to = dict(zip(made.tolist(), made[order].tolist(), strict=True))
    source = np.arange(len(model.values))
    for use in coupling.uses:
        index = list(places_of(coupling.roots(use.units).tolist(), to))
        window = use.parameter.of(source)
        window[...] = np.take(window, index, axis=use.axis)
    clone = model.clone()
    clone.values[:] = model.values[source]
    return clone, source


def places_of(roots: list[int], to: dict[int, int]) -> Iterator[int]:
    """Yield for each place the one that it takes: the t-th place of a unit takes the t-th of the unit that comes."""
    places: dict[int, list[int]] = {}
    for place, root in enumerate(roots):
        places.setdefault(root, []).append(place)
    seen = dict.fromkeys(places, 0)
    for root in roots:
        yield places[to.get(root, root)][seen[root]]
        seen[root] += 1


def exact_counts(case: Case) -> str | None:
    """Let `prune` remove exactly as many pieces as it is asked for."""
    for structure in ("weight", "channel", "column") if case.net in ("dense", "normed", "conv") else ():
        model = make(case.net)
        units = prune(model, 0.5, criterion=case.bound(model), structure=structure, data=sample_for(model)).units
        if units.removed != round(0.5 * units.total):
            return f"{units.removed} of {units.total} pieces by {structure} removed, wanted {round(0.5 * units.total)}"
    return None


def scores_of_units(case: Case) -> str | None:
    """Write a unit's score to each of its incoming weights, where the traits say unit."""
    model = make(case.net)
    scores = case.scores(model, sample_for(model))
    for p in model.weight_parameters if case.traits.unit else ():
        columns = p.of(scores).reshape(-1, p.shape[-1])
        if wrong := difference(columns, np.broadcast_to(columns[0], columns.shape)):
            return f"{p.name}: {wrong}"
    return None


def what_it_needs(case: Case) -> str | None:
    """Work without data where the traits say so, and raise InvalidValue with its name where they say data."""
    model, criterion = make(case.net), case.criterion
    if takes_initial(criterion) and case.traits.needs != "initial":
        return None
    try:
        alone = score(model, criterion, rng=3)
    except InvalidValue as error:
        if case.traits.needs != "weights" and name_of(criterion) in str(error):
            return None
        return f"without data it says: {error}; declare Traits(needs='data')"
    if case.traits.needs != "weights":
        return f"it gives scores without data; its traits say needs={case.traits.needs!r}"
    return difference(score(model, criterion, sample_for(model), rng=3), alone)


def a_failing_pass(case: Case) -> str | None:
    """Leave the model as it was where the last forward pass that the criterion makes raises in the last layer."""
    if case.net not in ("normed", "residual"):
        return None
    model = make(case.net)
    sample, last, calls = sample_for(model), model.tree.layers[-1], SimpleNamespace(made=0, allowed=np.inf)
    last.forward = _counted(last.forward, calls)  # of this layer of this model alone
    case.scores(model, again(sample))
    declared = case.traits != Traits() or case.criterion in CRITERIA.values()
    if declared and (calls.made > 0) != (case.traits.passes != "none"):
        return f"{calls.made} forward passes; its traits say passes={case.traits.passes!r}"
    if not calls.made:
        return None
    before, calls.allowed, calls.made = bits(model, sample), calls.made, 0
    try:
        case.scores(model, again(sample))
    except Stopped:
        return None if bits(model, sample) == before else "the model has other values after the failure"
    return "it swallowed the error of a layer"


def _counted(forward, calls):
    """Return `forward`, counted, which raises Stopped once more calls are made than are allowed."""
    def counted(x, tape):
        calls.made += 1
        if calls.made >= calls.allowed:
            raise Stopped
        return forward(x, tape)
    return counted


def where_nothing_happens(case: Case) -> str | None:
    """Give no NaN and no warning where all weights are 0 or masked, no unit fires, or one unit a layer is left."""
    for end in (zeros, masked, dead, one_unit):
        model = make(case.net)
        end(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                scores = case.scores(model, sample_for(model), model.values.copy())
        except Warning as warning:
            return f"{words_for(end)}: {type(warning).__name__}: {warning}"
        if np.isnan(scores).any():
            return f"{words_for(end)}: the score of weight {int(np.isnan(scores).argmax())} is NaN"
    return None


def words_for(end: Callable[[Model], None]) -> str:
    """Return the name of what was done to a net, in words."""
    return end.__name__.replace("_", " ")


def zeros(model: Model) -> None:
    """Set all weights and biases to 0."""
    model.values[: model.n_trainable] = 0


def masked(model: Model) -> None:
    """Mask all weights and biases."""
    mask = np.ones(len(model.values), bool)
    mask[: model.n_trainable] = False
    model.set_mask(mask)


def dead(model: Model) -> None:
    """Set every bias and shift so low that no unit ever fires; a net without either is zero."""
    found = [p for p in model.parameters.values() if p.kind in ("bias", "shift")]
    for p in found:
        p.value[...] = -1e6
    if not found:
        zeros(model)


def one_unit(model: Model) -> None:
    """Leave only the first unit of every layer."""
    mask = np.ones(len(model.values), bool)
    for p in model.weight_parameters[:-1]:
        p.of(mask)[..., 1:] = False
    model.set_mask(mask)


CRITERION_LAWS: dict[str, Law] = {f.__name__: f for f in (
    one_number_a_weight, the_model_stays, the_same_seed_the_same_bits, the_order_of_rows, the_size_of_batches,
    single_precision, the_order_of_units, exact_counts, scores_of_units, what_it_needs, a_failing_pass,
    where_nothing_happens)}

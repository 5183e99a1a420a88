"""`minnet.testing` as users have it: each law sees what breaks it, and the strategies draw what they say."""
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from test_own_layers import OWN, Scale, own

import minnet as mn
from minnet.engine.initialisers import ones
from minnet.errors import InvalidType, InvalidValue, UnknownName
from minnet.pruning.traits import Traits
from minnet.testing.criterion_laws import CRITERION_LAWS
from minnet.testing.layer_laws import LAYER_LAWS
from minnet.testing.penalty_laws import PENALTY_LAWS
from minnet.testing.recipe_laws import RECIPE_LAWS

FEW = settings(max_examples=6)


def relative(model, data=None):
    """|w| / mean |w| of the layer, as CONTRIBUTING has it."""
    scores = np.abs(model.weights).astype(np.float64)
    for p in model.weight_parameters:
        live = scores[p.slice][model.mask[p.slice]]
        scores[p.slice] /= live.mean() or 1.0 if live.size else 1.0
    return scores


class Cauchy(mn.Penalty):
    """log(1 + w^2), all of it smooth."""

    def smooth_of(self, w, strength):
        return strength * np.log1p(np.square(w, dtype=np.float64)).sum()

    def gradient_of(self, w, strength, out):
        out += strength * 2 * w / (1 + w**2)


def masked_twice(model, data, sparsity, *, epochs=2, rng=None, train=mn.train):
    """A recipe of a user's: half of it before the training, the rest after it."""
    from minnet.errors import check_count, check_fraction

    check_fraction("sparsity", sparsity)
    return _masked_twice(model, data, sparsity, train(model, data, epochs=check_count("epochs", epochs), rng=rng))


def _masked_twice(model, data, sparsity, steps):
    mn.prune(model, sparsity / 2)
    last = None
    for step in steps:
        last = step
        yield step
    mn.prune(model, sparsity)
    if last is not None:
        yield last


def test_what_users_write_is_held_to_the_laws():
    assert len(mn.testing.check_criterion(relative)) == 6
    mn.testing.check_penalty(Cauchy(0.3))
    mn.testing.check_penalty(Cauchy({"dense*": 0.3}), laws=["smooth_part_and_rest"])
    mn.testing.check_recipe(masked_twice, laws=["exact_counts", "the_same_seed_the_same_bits", "wrong_arguments"])


@each("name", OWN)
def test_layers_of_users(name):
    mn.testing.check_layer(own(name))


# --- what breaks a law, and which ------------------------------------------------------------------------------------


def declared(function, **traits):
    function.traits = Traits(**traits)
    return function


def halves(model, data):
    """Judges by the first half of the rows."""
    half = data.X[: len(data.X) // 2]
    return np.abs(model.weights) * (1 + half.sum())


def spoils(model, data):
    model.values[0] = 1
    return np.abs(model.weights)


def by_place(model, data):
    return np.abs(model.weights) + np.arange(model.n_weights)


def normed(model, data):
    scores = np.abs(model.weights)
    return scores / scores.max()


counter = iter(range(10**6))
CRITERIA = {
    "one_number_a_weight": lambda model, data: model.weights.astype(float),
    "the_model_stays": spoils,
    "the_same_seed_the_same_bits": lambda model, data: np.abs(model.weights) + next(counter),
    "the_order_of_rows": declared(lambda model, data: np.abs(model.weights) + data.X[0].sum() ** 2, needs="data"),
    "the_size_of_batches": declared(
        lambda model, data: np.abs(model.weights) * len(list(data.batches())), needs="data"),
    "single_precision": lambda model, data: np.abs(model.weights) * np.finfo(model.dtype).precision,
    "the_order_of_units": by_place,
    "scores_of_units": declared(lambda model, data: np.abs(model.weights), unit=True),
    "what_it_needs": halves,
    "a_failing_pass": declared(lambda model, data: np.abs(model.weights), needs="data", passes="1 forward"),
    "where_nothing_happens": normed,
}


class WrongGradient(Cauchy):
    def gradient_of(self, w, strength, out):
        out += strength * w / (1 + w**2)


class Shrinks(mn.Penalty):
    """An L1 norm with a prox that goes too far, to -0.0, and forgets NaN."""

    convex = True

    def rest_of(self, w, strength):
        return strength * np.abs(w).sum()

    def prox_of(self, w, strength, lr):
        w[...] = np.where(np.abs(w) > 3 * lr * strength, w - 3 * np.sign(w) * lr * strength, np.copysign(0.0, w))


class Jumps(Shrinks):
    def prox_of(self, w, strength, lr):
        w[...] = np.where(np.abs(w) > lr * strength, w, 0)


class Negative(Cauchy):
    def smooth_of(self, w, strength):
        return -super().smooth_of(w, strength)


class Elsewhere(Cauchy):
    def prox(self, model, lr):
        model.values[-1] = 0.5


PENALTIES = {
    "smooth_part_and_rest": Negative, "gradient_of_the_smooth_part": WrongGradient, "prox_beats_others": Shrinks,
    "prox_is_firmly_non_expansive": Jumps, "what_prox_takes_off_is_a_subgradient": Shrinks,
    "zeros_are_plus_zero": Shrinks, "nan_stays_visible": Shrinks, "only_what_it_lists": Elsewhere,
}


class Adds(Scale):
    """Adds to the gradient, where it is to write it."""

    def backward(self, dy, tape):
        self.gain.of(tape.grads)[...] += (dy * tape[self]).reshape(-1, dy.shape[-1]).sum(axis=0)
        return self.gain.of(tape.values) * dy


class Half(Scale):
    def backward(self, dy, tape):
        return super().backward(dy, tape) / 2


class Forgets(mn.Layer):
    """Has a width that is none of its arguments."""

    def __init__(self, *, name=None):
        self.name, self.factor = name, next(counter)

    def forward(self, x, tape):
        return x * self.factor

    def backward(self, dy, tape):
        return dy * self.factor


class Centred(mn.Layer):
    def forward(self, x, tape):
        return x - x.mean(axis=0)

    def backward(self, dy, tape):
        return dy - dy.mean(axis=0)


class Sums(mn.Layer):
    per_unit = True

    def forward(self, x, tape):
        return x + x.sum(axis=-1, keepdims=True)

    def backward(self, dy, tape):
        return dy + dy.sum(axis=-1, keepdims=True)


class Falls(mn.Activation):
    increasing = True

    def value(self, x):
        return -x

    def derivative(self, x):
        return -np.ones_like(x)


class Shifted(mn.Layer):
    """Says that it makes units that may be removed, and forgets that they are not 0."""

    per_unit = True

    def build(self, shape):
        return shape, [self.declare("gain", shape[-1:], ones)]

    def __init__(self, *, name=None):
        self.name = name

    def forward(self, x, tape):
        tape[self] = x
        return self.gain.of(tape.values) * x + len(self.gain.of(tape.values))

    def backward(self, dy, tape):
        self.gain.of(tape.grads)[...] = (dy * tape[self]).sum(axis=0)
        return self.gain.of(tape.values) * dy


LAYERS = {"gradients": Half(), "a_pass_is_pure": Adds(), "it_is_its_arguments": Forgets(),
          "rows_do_not_see_each_other": Centred(), "per_unit": Sums(), "elementwise": Falls(),
          "compact_and_freeze": Shifted()}


def dense_recipe(model, data, sparsity, *, epochs, train):
    return train(model, data, epochs=epochs)


def rough(model, data, sparsity, *, epochs, train, rng):
    """Sets weights without a mask, checks nothing, and draws from nowhere."""
    for step in train(model, data, epochs=epochs, rng=next(counter)):
        model.set_mask(np.arange(len(model.values)) > 5)
        model.values[0] = 0.5
        yield step


RECIPES = {"exact_counts": dense_recipe, "masked_is_plus_zero": rough, "the_same_seed_the_same_bits": rough,
           "wrong_arguments": rough}
BROKEN = [
    *[(mn.testing.check_criterion, law, what) for law, what in CRITERIA.items()],
    *[(mn.testing.check_penalty, law, what(0.3)) for law, what in PENALTIES.items()],
    *[(mn.testing.check_layer, law, what) for law, what in LAYERS.items()],
    *[(mn.testing.check_recipe, law, what) for law, what in RECIPES.items()],
]


@each("check, law, what", BROKEN)
def test_what_breaks_a_law_is_seen(check, law, what):
    with pytest.raises(mn.testing.LawBroken, match=f"^the .* breaks the law {law} on ") as caught:
        check(what, laws=[law])
    assert "\n" not in str(caught.value)


def test_every_law_is_broken_once():
    """`exact_counts` of criteria is what `prune` does, whatever the scores."""
    laws = {*CRITERION_LAWS, *PENALTY_LAWS, *LAYER_LAWS, *RECIPE_LAWS}
    assert {law for _, law, _ in BROKEN} == laws


@each("call, error, words", [
    (partial(mn.testing.check_criterion, "magnitude"), InvalidType, "takes a function"),
    (partial(mn.testing.check_criterion, relative, laws=["no law"]), UnknownName, "one_number_a_weight"),
    (partial(mn.testing.check_criterion, relative, nets=["none"]), UnknownName, "dense"),
    (partial(mn.testing.check_criterion, mn.criteria.bn_scale, nets=["dense"]), mn.testing.LawBroken, "BatchNorm"),
    (partial(mn.testing.check_penalty, Cauchy), InvalidType, "takes a Penalty"),
    (partial(mn.testing.check_penalty, Cauchy(0)), InvalidValue, "strength above 0"),
    (partial(mn.testing.check_layer, Scale), InvalidType, "takes a Layer"),
    (partial(mn.testing.check_layer, mn.Conv2d(2, 3), (4,)), InvalidType, "give check_layer the shape"),
    (partial(mn.testing.check_recipe, "gradual"), InvalidType, "takes a function"),
])
def test_wrong_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


# --- strategies ------------------------------------------------------------------------------------------------------


@FEW
@given(st.data(), st.booleans())
def test_what_is_drawn(data, rows):
    net = data.draw(mn.testing.nets(rows=rows, outputs=3))
    assert net.output_shape == (3,) and len(net.input_shape) == (1 if rows else 3) and net.mask.all()
    mask = data.draw(mn.testing.masks(net))
    net.set_mask(mask)
    assert mask.dtype == bool and not net.values[~mask].any() and mask[net.n_trainable :].all()
    scores = data.draw(mn.testing.scores(net, infinite=False))
    assert scores.shape == (net.n_weights,) and np.isfinite(scores).all()
    drawn = data.draw(mn.testing.datasets(net))
    assert drawn.shape == net.input_shape and drawn.n_classes == 3
    assert all(len(np.unique(y)) == 3 for y in (drawn.y_train, drawn.y_valid, drawn.y_test))
    result = mn.prune(net, 0.5, criterion=lambda model, data: scores)
    assert result.removed >= 0


def test_hypothesis_is_asked_for_by_the_strategies_alone(monkeypatch):
    files = Path(mn.testing.__file__).parent.glob("*.py")
    assert {path.stem for path in files if "\nfrom hypothesis " in path.read_text()} == {"strategies", "trees"}
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(mn.MinnetError, match=r"minnet.testing.nets needs hypothesis: pip install .minnet-lab\[test\]"):
        mn.testing.nets  # noqa: B018 - the look-up is the test
    with pytest.raises(AttributeError, match="minnet.testing has no 'net'.*nets"):
        mn.testing.net  # noqa: B018 - the look-up is the test

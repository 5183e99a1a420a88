"""After compaction: training goes on where it was, survivors find their old places, bad arguments get one line."""
import numpy as np
import pytest
from cutting import build, mask_weights, same_outputs, silence
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from trees import masked_models, random_input

import minnet as mn
from minnet.pruning.compact import compact, expand
from minnet.pruning.compaction.cut import cut
from minnet.pruning.compaction.plan import SILENT, STAYS, CompactionPlan

# --- training goes on ------------------------------------------------------------------------------------------------


def losses(model, state, X, y, steps=20):
    run = mn.train(model, (X, y), loss="mse", batch_size=8, epochs=100, every="batch", state=state)
    return [next(run).loss for _ in range(steps)]


def goes_quietly(model):
    """Whether all that goes was unread, or masked whole: only then does training not notice."""
    plan, makes = CompactionPlan(model), np.zeros(model.couple().n_units, bool)
    for use in plan.coupling.uses:
        if not use.reads and use.parameter.kind not in ("mean", "variance"):
            live = use.parameter.mask.reshape(-1, len(use.units)).any(axis=0)
            makes[plan.roots[use.units][live]] = True
    return not (plan.fate >= SILENT)[makes | (plan.fate > SILENT)].any() and (plan.fate != STAYS).any()


@settings(max_examples=25)
@given(masked_models(kinds=("units", "rows", "weights")), st.sampled_from([
    mn.SGD(0.01), mn.SGD(0.01, momentum=0.9, nesterov=True), mn.Adam(0.001)]))
def test_training_goes_on_where_it_was(model, optimizer):
    assume(not any(isinstance(layer, mn.Dropout) for layer in model.layers.values()))
    X = random_input(model, 24)
    y = np.random.default_rng(1).normal(size=(24, model.output_shape[-1]))
    for step in mn.train(model, (X, y), loss="mse", optimizer=optimizer, batch_size=8, epochs=1, rng=0):
        state = step.state
    assume(goes_quietly(model))
    small, small_state = compact(model, state)
    assert (small_state.epoch, small_state.batch, small_state.t) == (state.epoch, state.batch, state.t) == (1, 0, 3)
    np.testing.assert_allclose(losses(small, small_state, X, y), losses(model, state, X, y), rtol=1e-8, atol=1e-12)


def test_the_state_is_cut_with_the_model():
    model = silence(build(mn.Dense(3), mn.ReLU(), mn.Dense(2), shape=(4,)), dense1=[1])
    state = mn.State(model, mn.Adam(), rng=3, threads=2)
    state.vectors[:] = np.arange(state.vectors.size).reshape(state.vectors.shape)
    small, cut_state = compact(model, state)
    assert cut_state.model is small and cut_state.optimizer == state.optimizer and cut_state.seed == 3
    for new, old in zip(cut_state.vectors, state.vectors, strict=True):
        assert np.array_equal(new, old[cut(CompactionPlan(model))[1][: small.n_trainable]])
    assert [s.random() for s in cut_state.rngs] == [s.random() for s in state.rngs]


@pytest.mark.parametrize("budget", [{"macs": 0.5}, {"units": {"conv1": 5, "conv2": 8}}])
def test_pruned_and_compacted_in_one_call(budget):
    """The filters that go are gone at once, within the budget; a state is taken along."""
    model = mn.models.small_conv((8, 8, 1), 3, rng=0)
    state, macs = mn.State(model, mn.SGD(0.1)), model.macs
    small, run = mn.prune(model, structure="filter", **budget).compact(state)
    assert small.config() == compact(model).config() and run.model is small
    if "macs" in budget:
        assert 0.4 * macs < small.macs <= 0.5 * macs
    else:
        assert [small.layers[name].filters for name in ("conv1", "conv2")] == [5, 8]
    x = random_input(small)
    np.testing.assert_allclose(small(x), model(x), rtol=1e-4, atol=1e-5)


# --- expand ----------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(masked_models())
def test_expand_puts_survivors_back(model):
    """No two live numbers of these models are equal, so that equal numbers are at home."""
    small = compact(model)
    weights = expand(small, model, small.weights)
    live = expand(small, model, small.mask[: small.n_weights])
    assert live.dtype == bool and live.sum() == small.mask[: small.n_weights].sum()
    assert np.array_equal(weights[live], model.weights[live])
    values, live = expand(small, model, small.values), expand(small, model, small.mask)
    for p in model.parameters.values():
        if p.kind != "bias":  # it may have taken up a constant
            assert np.array_equal(p.of(values)[p.of(live)], p.value[p.of(live)])
    if set(small.parameters) == set(model.parameters):
        whole = expand(small, model)
        assert whole.config() == model.config() and same_outputs(small, whole)
        assert compact(whole).config() == small.config()


def test_expand_after_more_training_and_pruning():
    model = silence(build(mn.Dense(4), mn.ReLU(), mn.Dense(2), shape=(3,)), dense1=[2])
    small = compact(model)
    small.values[:] = np.arange(len(small.values)) + 1
    mask_weights(small, "dense1.weight", np.s_[0, 2])
    whole = expand(small, model)
    old, new = whole.parameters["dense1.weight"], small.parameters["dense1.weight"]
    assert np.array_equal(old.value[:, [0, 1, 3]], new.value)
    assert not old.mask[0, 3] and same_outputs(small, whole)


# --- bad arguments ---------------------------------------------------------------------------------------------------


def one_layer():
    return build(mn.Dense(2), shape=(3,))


def fold_with_state(model):
    return compact(model, mn.State(model, mn.SGD()), fold_batchnorm=True)


def with_norm():
    return build(mn.Dense(2), mn.BatchNorm(), shape=(3,))


def needs_bias():
    model = build(mn.Dense(3), mn.Sigmoid(), mn.Dense(2, use_bias=False), shape=(4,))
    return mask_weights(model, "dense1.weight", np.s_[:, 1])


BAD = {
    "no model": (lambda: compact("model.safetensors"), TypeError, "takes a Model"),
    "no state": (lambda: compact(one_layer(), 3), TypeError, "State"),
    "another state": (lambda: compact(one_layer(), mn.State(one_layer(), mn.SGD())), ValueError, "another model"),
    "folded state": (lambda: fold_with_state(one_layer()), ValueError, "fold_batchnorm"),
    "expand, other shape": (lambda: expand(build(mn.Dense(3), shape=(3,)), one_layer()), ValueError, "dense1.weight"),
    "expand, other layers": (lambda: expand(with_norm(), one_layer()), ValueError, "batchnorm1.gain has the shape"),
    "expand, other vector": (lambda: expand(one_layer(), one_layer(), np.ones(5)), ValueError, "(5,)"),
    "expand, new bias": (lambda: expand(compact(needs_bias()), needs_bias()), ValueError, "use_bias=True"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_get_one_line(case):
    call, kind, told = BAD[case]
    with pytest.raises(mn.MinnetError) as caught:
        call()
    assert isinstance(caught.value, kind) and told in str(caught.value) and "\n" not in str(caught.value)

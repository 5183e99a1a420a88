"""Compaction against brute force: the smaller net computes the same, and nothing is left that could go."""
import numpy as np
import pytest
from cutting import build, close, mask_weights, same_outputs, silence, widths, with_tanh
from hypothesis import given, settings
from trees import masked_models, models, random_input, seen, trees

import minnet as mn
from minnet.engine.containers import Container
from minnet.engine.layer import layer_from_config
from minnet.engine.layers import LAYERS
from minnet.pruning.compact import compact, compact_report, expand
from minnet.pruning.compaction.plan import CompactionPlan

REDRAWS = 3

# --- laws over random trees ------------------------------------------------------------------------------------------


@settings(max_examples=120)
@given(masked_models())
def test_outputs_stay_and_the_model_is_only_read(model):
    values, mask = model.values.copy(), model.mask.copy()
    small = compact(model)
    assert values.tobytes() == model.values.tobytes() and np.array_equal(mask, model.mask)
    assert same_outputs(model, small)
    assert list(small.layers) == list(model.layers)


@settings(max_examples=30)
@given(masked_models(dtype=np.float32))
def test_outputs_stay_in_float32(model):
    x = random_input(model)
    assert close(compact(model)(x), model(x), 1e-4)


@settings(max_examples=40)
@given(masked_models())
def test_a_second_time_changes_no_bit(model):
    small = compact(model)
    again = compact(small)
    assert again.config() == small.config()
    assert again.values.tobytes() == small.values.tobytes()
    assert np.array_equal(again.mask, small.mask)


@settings(max_examples=40)
@given(models())
def test_without_a_mask_nothing_changes(model):
    small = compact(model)
    assert small.config() == model.config()
    assert small.values.tobytes() == model.values.tobytes()
    assert small.mask.all()


@settings(max_examples=60)
@given(masked_models())
def test_gradients_of_survivors_stay(model):
    """Where a constant was folded, a bias that had made it may stay (an input's BatchNorm has one) and matter
    no longer: then only weights on live paths count.
    """
    small, folded = compact(model), compact_report(model).folded
    x, dy = random_input(model), np.random.default_rng(1).normal(size=(5, *model.output_shape))
    grads = []
    for net in (model, small):
        tape = mn.Tape(net)
        net.forward(x, tape)
        net.backward(dy, tape)
        grads.append(tape.grads[: net.n_trainable])
    live = expand(small, model, small.mask[: small.n_trainable])
    if folded:
        live[: model.n_weights] &= CompactionPlan(model).on_path[: model.n_weights]
        live[model.n_weights :] = False
    assert close(expand(small, model, grads[1]) * live, grads[0] * live, 1e-10)


@settings(max_examples=60)
@given(masked_models())
def test_counts_are_those_of_the_arrays(model):
    small, report = compact(model), compact_report(model)
    assert report.parameters == (model.n_trainable, small.n_trainable)
    trained = [p for p in small.parameters.values() if p.kind not in ("mean", "variance")]
    assert small.n_trainable == sum(p.value.size for p in trained)
    places = {name: int(np.prod(layer.output_shape[:-1])) for name, layer in small.layers.items()}
    live = {p.layer: int(p.mask.sum()) for p in small.parameters.values() if p.kind == "weight"}
    assert report.macs[1] == small.macs == sum(places[name] * count for name, count in live.items())
    assert {row.name: row.after for row in report.rows if row.name != "input"} == widths(small)
    for row in report.rows:
        kept_empty = row.stays.get("an axis keeps at least one unit", 0)
        assert row.before - row.after == row.unread + row.silent + row.folded - kept_empty
        assert sum(row.stays.values()) <= row.after


def test_layers_that_count_paths_are_linear():
    """Live paths are counted in linear layers; one that is not linear may not say that it counts them."""
    needs = {"Conv2d": (3, 2), "Dense": (3,), "SparseDense": (3, 20), "DepthwiseConv2d": (2,), "AvgPool2d": (2,),
             "AdaptiveAvgPool2d": (3,)}
    images = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    for name in [name for name, kind in LAYERS.items() if kind.counts_paths and not issubclass(kind, Container)]:
        x = images.reshape(2, -1) if name.endswith("Dense") else images
        model = build(LAYERS[name](*needs.get(name, ())), shape=x.shape[1:])
        a, b, both, none = model(np.stack([x[0], x[1], x[0] + x[1], 0 * x[0]]))
        np.testing.assert_allclose(both - none, a + b - 2 * none, atol=1e-12, err_msg=name)


def test_rows_alone():
    """The strategy for dense trees draws something that compacts."""
    shrunk = []

    @settings(max_examples=30)
    @given(masked_models(trees(rows=True)))
    def look(model):
        small = compact(model)
        assert same_outputs(model, small)
        shrunk.append(small.n_weights < model.n_weights)

    look()
    assert any(shrunk)


# --- nothing is left that could go -----------------------------------------------------------------------------------


def redrawn(small, rng):
    """A model of the same shape and mask, with Tanh for activations and other live numbers."""
    other = mn.Model(layer_from_config(with_tanh(small.tree.config()), LAYERS), small.input_shape, dtype=np.float64)
    for p in other.parameters.values():
        p.value[...] = rng.uniform(0.5, 1.5, p.value.shape)
        if p.kind != "variance":
            p.value[...] *= rng.choice([-1, 1], p.value.shape)
        if p.kind == "weight":
            p.value[...] /= np.sqrt(p.value[..., 0].size)
    other.set_mask(small.mask)
    return other


def without(model, coupling, unit):
    """The values of a model that lacks one unit: all that makes it is 0."""
    values = model.values.copy()
    for use in coupling.uses:
        if not use.reads and use.parameter.kind not in ("mean", "variance"):
            use.parameter.of(values)[..., coupling.roots(use.units) == unit] = 0
    return values


def varying(model, coupling, x):
    """Units of which some layer reads something that is not the same for all images."""
    tape, found = mn.Tape(model), set()
    model.forward(x, tape)
    for use in coupling.uses:
        if use.reads:
            rows = seen(model.layers[use.parameter.layer], tape, use.units)
            found |= set(coupling.roots(use.units)[(rows != rows[:1]).any(axis=(0, 1))].tolist())
    return found


@settings(max_examples=80)
@given(masked_models())
def test_every_unit_left_is_read_and_varies(model):
    """Remove each unit left: outputs change. A unit that the report says had to stay is another matter."""
    small = compact(model)
    plan, rng = CompactionPlan(small), np.random.default_rng(0)
    exempt = plan.coupling.fixed() | plan.last
    exempt[list(plan.border)] = True
    left = {int(unit) for use in plan.coupling.uses for unit in plan.roots[use.units] if not exempt[unit]}
    others, x = [redrawn(small, rng) for _ in range(REDRAWS)], random_input(small)
    for unit in left:
        outputs = [(other(x), other(x, without(other, plan.coupling, unit))) for other in others]
        assert any((a != b).any() for a, b in outputs), f"unit {unit} is left and nobody reads it"
    assert left <= set().union(*[varying(other, plan.coupling, x) for other in others])


def test_a_unit_that_never_fires_stays():
    model = build(mn.Dense(3), mn.ReLU(), mn.Dense(2), shape=(4,))
    model.parameters["dense1.bias"].value[1] = -1e9
    assert compact(model).config() == model.config()


# --- what goes, what stays, and why: one small net each --------------------------------------------------------------


def test_units_unread_or_without_inputs_go_to_a_fixed_point():
    model = build(mn.Dense(4), mn.Tanh(), mn.Dense(5), mn.Tanh(), mn.Dense(6), mn.Tanh(), mn.Dense(2), shape=(3,))
    mask_weights(model, "dense4.weight", np.s_[:4])            # nobody reads units 0..3 of dense3 ...
    mask_weights(model, "dense3.weight", np.s_[1:, 4:])        # ... the others read unit 0 of dense2 alone ...
    mask_weights(model, "dense2.weight", np.s_[2:, 0])         # ... which reads units 0 and 1 of dense1
    small, report = compact(model), compact_report(model)
    assert widths(small) == {"dense1": 2, "dense2": 1, "dense3": 2, "dense4": 2}
    assert [row.unread for row in report.rows] == [2, 4, 4, 0]
    assert same_outputs(model, small)


def test_a_constant_goes_into_the_next_bias():
    model = mask_weights(build(mn.Dense(3), mn.Sigmoid(), mn.Dense(2), shape=(4,)), "dense1.weight", np.s_[:, 1])
    small = compact(model)
    old = {name: p.value for name, p in model.parameters.items()}
    constant = 1 / (1 + np.exp(-old["dense1.bias"][1]))
    expected = old["dense2.bias"] + constant * old["dense2.weight"][1]
    np.testing.assert_allclose(small.parameters["dense2.bias"].value, expected, rtol=1e-14)
    assert np.array_equal(small.parameters["dense2.weight"].value, old["dense2.weight"][[0, 2]])
    assert compact_report(model)["dense1"].folded == compact_report(model).folded == 1


def test_a_layer_without_bias_gets_one_only_for_a_constant():
    layers = (mn.Dense(3), mn.Sigmoid(), mn.Dense(2, use_bias=False))
    model = mask_weights(build(*layers, shape=(4,)), "dense1.weight", np.s_[:, 1])
    assert "dense2.bias" in compact(model).parameters and same_outputs(model, compact(model))
    model = silence(build(mn.Dense(3), mn.ReLU(), mn.Dense(2, use_bias=False), shape=(4,)), dense1=[1])
    assert "dense2.bias" not in compact(model).parameters and same_outputs(model, compact(model))


@pytest.mark.parametrize("padding, activation, left", [
    ("valid", mn.Sigmoid, 2), ("same", mn.Sigmoid, 3), ("same", mn.ReLU, 2), ("same", mn.Tanh, 2),
    (1, mn.LeakyReLU, 2)])
def test_only_a_constant_other_than_0_minds_padding(padding, activation, left):
    """A filter pruned whole gives f(0), and padding is 0."""
    model = build(mn.Conv2d(3, 3), activation(), mn.Conv2d(2, 3, padding=padding), mn.GlobalAvgPool2d(), mn.Dense(2))
    small, report = compact(silence(model, conv1=[1])), compact_report(model)
    assert widths(small)["conv1"] == left and same_outputs(model, small)
    assert report["conv1"].stays == ({"its constant meets the padding of conv2": 1} if left == 3 else {})
    biases = [net.parameters["conv2.bias"].value for net in (model, small)]
    assert np.array_equal(*biases) == (padding != "valid")


def test_a_border_is_no_matter_once_its_reader_goes():
    """conv2 makes a map, constant but not flat, from the constants of conv1; the mean of that map is a number."""
    model = build(mn.Conv2d(2, 1), mn.Sigmoid(), mn.Conv2d(3, 3, padding="same"), mn.GlobalAvgPool2d(), mn.Dense(2))
    mask_weights(model, "conv1.weight", ...)
    small = compact(model)
    assert widths(small) == {"conv1": 1, "conv2": 1, "dense1": 2} and same_outputs(model, small)
    assert not small.parameters["dense1.weight"].mask.any()


def test_flatten_takes_channels_to_their_features():
    model = build(mn.Conv2d(3, 3), mn.ReLU(), mn.MaxPool2d(2), mn.Flatten(), mn.Dense(2), shape=(6, 8, 1))
    silence(model, conv1=[1])
    kept = model.parameters["dense1.weight"].value.reshape(2, 3, 3, 2)[:, :, [0, 2]].reshape(-1, 2)
    assert np.array_equal(compact(model).parameters["dense1.weight"].value, kept)


def test_joined_units_go_together_or_not_at_all():
    block = mn.Residual(mn.Sequential(mn.Conv2d(4, 3, padding="same"), mn.ReLU(), mn.Conv2d(3, 1)))
    model = build(mn.Conv2d(3, 1), block, mn.ReLU(), mn.GlobalAvgPool2d(), mn.Dense(2))
    silence(model, conv3=[1])
    assert widths(compact(model)) == widths(model)
    assert compact_report(model)["conv3"].stays == {"joined with a live unit": 1}
    silence(model, conv1=[1])
    assert widths(compact(model)) == widths(model) | {"conv1": 2, "conv3": 2}
    assert same_outputs(model, compact(model))


def test_what_goes_only_into_an_unread_sum_goes():
    """Unit 1 of the stream is read inside the block, not after it: conv2's unit 3, which reaches nothing else, goes."""
    block = mn.Residual(mn.Sequential(mn.Conv2d(4, 3, padding="same"), mn.ReLU(), mn.Conv2d(3, 1)))
    model = build(mn.Conv2d(3, 1), block, mn.ReLU(), mn.GlobalAvgPool2d(), mn.Dense(2))
    mask_weights(model, "dense1.weight", np.s_[1])
    mask_weights(model, "conv3.weight", np.s_[0, 0, 3, [0, 2]])
    assert widths(compact(model)) == widths(model) | {"conv2": 3}
    assert same_outputs(model, compact(model))


def test_concat_keeps_the_places_of_its_branches():
    both = mn.Concat(mn.Conv2d(2, 1), mn.Conv2d(3, 3, padding="same"))
    model = build(both, mn.Conv2d(2, 1), mn.Flatten(), mn.Dense(2))
    silence(model, conv1=[0], conv2=[1])
    small = compact(model)
    kept = model.parameters["conv3.weight"].value[:, :, [1, 2, 4]]
    assert np.array_equal(small.parameters["conv3.weight"].value, kept) and same_outputs(model, small)


def test_depthwise_outputs_go_with_their_channel():
    depthwise = mn.DepthwiseConv2d(3, multiplier=2)
    model = build(mn.Conv2d(3, 1), depthwise, mn.ReLU(), mn.Conv2d(2, 1), mn.Flatten(), mn.Dense(2))
    silence(model, depthwise1=[2])
    assert widths(compact(model)) == widths(model)
    silence(model, depthwise1=[3])
    small = compact(model)
    assert widths(small)["conv1"] == 2 and small.parameters["depthwise1.weight"].shape == (3, 3, 1, 4)
    assert same_outputs(model, small)


def test_a_max_pool_takes_in_all_of_its_window():
    """conv2 meets the constant of conv1 at the second pixel of a window; at the first it meets padding."""
    second = mn.Conv2d(2, (2, 1), padding=((1, 0), (0, 0)))
    model = build(mn.Conv2d(2, 1), mn.Tanh(), second, mn.Tanh(), mn.MaxPool2d((2, 1)), mn.Flatten(), mn.Dense(2),
                  shape=(2, 1, 1))
    mask_weights(mask_weights(model, "conv1.weight", np.s_[..., 0]), "conv2.weight", np.s_[1, 0, 0])
    assert widths(compact(model)) == widths(model) and same_outputs(model, compact(model))


def test_a_constant_goes_no_further_than_into_a_unit_that_goes():
    """dense2 is as constant as dense1: it needs no bias to take up what dense1 was."""
    model = build(mn.Dense(3), mn.Sigmoid(), mn.Dense(3, use_bias=False), mn.Tanh(), mn.Dense(2), shape=(4,))
    mask_weights(model, "dense1.weight", ...)
    small, report = compact(model), compact_report(model)
    assert "dense2.bias" not in small.parameters and same_outputs(model, small)
    assert (report["dense1"].unread, report["dense1"].folded, report["dense2"].folded) == (3, 0, 3)


def test_an_axis_keeps_one_unit_all_masked():
    model = build(mn.Dense(3), mn.Tanh(), mn.Dense(4), mn.Tanh(), mn.Dense(2), shape=(4,))
    mask_weights(model, "dense2.weight", ...)
    small, report = compact(model), compact_report(model)
    assert widths(small) == {"dense1": 1, "dense2": 1, "dense3": 2} and same_outputs(model, small)
    assert not small.mask[: small.n_weights].any() and small.parameters["dense3.bias"].mask.all()
    firsts = expand(small, model, np.ones(small.n_weights))
    assert np.flatnonzero(firsts).tolist() == [0, 3, 6, 9, 12, 24, 25]
    assert report["dense1"].stays == report["dense2"].stays == {"an axis keeps at least one unit": 1}


def test_input_and_logits_stay():
    model = build(mn.Dense(3), mn.ReLU(), mn.Dense(4), shape=(5,))
    mask_weights(silence(model, dense2=[1, 2]), "dense1.weight", np.s_[3])
    assert compact(model).config() == model.config()
    report = compact_report(model)
    assert report["dense2"].stays == {"is a logit or joined with the input": 2}
    assert report["input"].stays == {"is an input": 1}


def test_a_weight_that_sees_only_padding_reads_nothing():
    """On 1 x 1 images all but the middle of a 3 x 3 window lies outside."""
    model = build(mn.Conv2d(3, 1), mn.Conv2d(2, 3, padding="same"), mn.Flatten(), mn.Dense(2), shape=(1, 1, 2))
    mask_weights(model, "conv2.weight", np.s_[1, 1, 0])
    assert widths(compact(model))["conv1"] == 2 and same_outputs(model, compact(model))


def test_a_deep_net_has_more_paths_than_numbers_count():
    """40 ** 60 paths are more than a float32 holds."""
    hidden = [layer for _ in range(60) for layer in (mn.Dense(40), mn.ReLU())]
    model = build(*hidden, mn.Dense(2), shape=(3,), dtype=np.float32)
    mask_weights(silence(model, dense30=[7]), "dense51.weight", np.s_[3:5])
    assert widths(compact(model)) == widths(model) | {"dense30": 39, "dense50": 38}


def test_the_report_prints():
    model = build(mn.Conv2d(4, 3), mn.Sigmoid(), mn.Conv2d(3, 3, padding="same"), mn.Flatten(), mn.Dense(2))
    text = str(compact_report(mask_weights(silence(model, conv1=[0]), "dense1.weight", np.s_[1::3])))
    conv1, conv2 = (next(line for line in text.splitlines() if line.startswith(name)) for name in ("conv1", "conv2"))
    assert conv1.split()[:3] == ["conv1", "4", "4"] and "1: its constant meets the padding of conv2" in conv1
    assert conv2.split() == ["conv2", "3", "2", "1", "0", "0"]
    assert f"parameters {model.n_trainable:,} -> {compact(model).n_trainable:,}" in text

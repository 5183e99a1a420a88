"""Folding BatchNorm into the layer beside it: outputs stay, masks are carried, and what cannot fold says why."""
import pytest
from cutting import build, same_outputs, silence
from hypothesis import given, settings
from trees import masked_models

import minnet as mn
from minnet.pruning.compact import compact, compact_report


@settings(max_examples=60)
@given(masked_models())
def test_folding_batchnorm_keeps_outputs(model):
    small = compact(model, fold_batchnorm=True)
    assert same_outputs(model, small)
    left = {name for name, layer in small.layers.items() if isinstance(layer, mn.BatchNorm)}
    assert left == set(compact_report(model, fold_batchnorm=True).refused)


NORMS = {
    "before": ((mn.Conv2d(3, 3, padding="same", use_bias=False), mn.BatchNorm(), mn.ReLU()), None),
    "before, nested": ((mn.Sequential(mn.Conv2d(3, 1)), mn.Sequential(mn.BatchNorm(), mn.Tanh())), None),
    "before, depthwise": ((mn.DepthwiseConv2d(2, multiplier=2), mn.BatchNorm()), None),
    "twice": ((mn.Conv2d(3, 1), mn.BatchNorm(), mn.BatchNorm()), None),
    "after": ((mn.BatchNorm(), mn.Conv2d(3, 3)), None),
    "after, depthwise": ((mn.BatchNorm(), mn.DepthwiseConv2d(2, multiplier=3)), None),
    "after, padded": ((mn.BatchNorm(), mn.Conv2d(3, 3, padding="same")), "pads with zeros"),
    "alone": ((mn.Residual(mn.BatchNorm()), mn.ReLU()), "no layer with weights"),
    "behind an activation": ((mn.ReLU(), mn.BatchNorm(), mn.ReLU()), "no layer with weights"),
}


@pytest.mark.parametrize("case", NORMS)
def test_where_batchnorm_folds(case):
    layers, why = NORMS[case]
    model = build(*layers, mn.Flatten(), mn.Dense(2))
    small, refused = compact(model, fold_batchnorm=True), compact_report(model, fold_batchnorm=True).refused
    assert same_outputs(model, small)
    assert [why in reason for reason in refused.values()] == ([] if why is None else [True])
    assert any(isinstance(layer, mn.BatchNorm) for layer in small.layers.values()) == (why is not None)


def test_a_norm_without_shift_folds_under_padding():
    model = build(mn.BatchNorm(), mn.Conv2d(3, 3, padding="same"), mn.Flatten(), mn.Dense(2))
    for kind in ("mean", "shift"):
        model.parameters[f"batchnorm1.{kind}"].value[...] = 0
    small = compact(model, fold_batchnorm=True)
    assert "batchnorm1" not in small.layers and same_outputs(model, small)


def test_a_folded_norm_carries_its_mask():
    """Two units that stay because a Residual joins them: what their gain and shift cut stays cut."""
    branch = mn.Sequential(mn.Conv2d(2, 1, name="inner"), mn.BatchNorm())
    model = build(mn.Residual(branch), mn.Flatten(), mn.Dense(2))
    small = compact(silence(model, batchnorm1=[0]), fold_batchnorm=True)
    assert small.parameters["inner.weight"].mask[0, 0].tolist() == [[False, True]] * 2
    assert small.parameters["inner.bias"].mask.tolist() == [False, True]
    assert same_outputs(model, small)

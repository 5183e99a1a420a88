"""Criteria beside the oracle: what must come out whatever the numbers."""
import numpy as np
import pytest

import minnet as mn
from minnet.errors import UnknownName
from minnet.pruning.criteria.ablation import oracle
from minnet.study.agreement import compare_criteria


@pytest.fixture(scope="module")
def trained():
    data = mn.load_data("digits", rng=0)
    model = mn.models.mlp(data.shape, data.n_classes, (12,), rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(0.1, momentum=0.9), epochs=5, rng=0):
        pass
    return model, data


def test_the_oracle_agrees_with_itself_and_its_opposite_does_not(trained):
    model, data = trained

    def signed(name, sign):
        def criterion(model, data):
            return sign * np.abs(oracle(model, data))
        criterion.__name__ = name
        return criterion

    asked = [signed("same", 1), signed("opposite", -1)]
    found = compare_criteria(model, data, asked, samples=50, sparsities=(0.2, 1.0))
    same, opposite = found.scores
    assert (same.criterion, opposite.criterion) == ("same", "opposite")
    np.testing.assert_allclose([same.spearman, opposite.spearman], [1, -1], atol=1e-12)
    assert same.overlap == (1.0, 1.0) and opposite.overlap == (0.0, 1.0)


def test_taylor_agrees_better_than_magnitude_and_that_better_than_random(trained):
    """The order that first-order theory promises on a trained net with small weights; seeds are fixed."""
    model, data = trained
    order = [g.criterion for g in compare_criteria(model, data, ["random", "magnitude", "taylor"], samples=100).scores]
    assert order == ["taylor", "magnitude", "random"]


def test_the_table_names_all_that_was_asked_and_why_some_have_no_row(trained):
    model, data = trained

    def flat(model, data):
        return np.ones(model.n_weights)

    text = str(compare_criteria(model, data, ["magnitude", flat], samples=20))
    assert "magnitude" in text and "flat left out: its scores, or the true changes, are all equal" in text
    with pytest.raises(UnknownName, match=r"'magnitud'.*magnitude"):
        compare_criteria(model, data, ["magnitud"], samples=20)

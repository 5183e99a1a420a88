"""One rule of standardising for tables, targets and selectors: any unit, any weights; constants become 0."""
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_diabetes

import minnet as mn
from minnet.arrays import power_of_2
from minnet.data.scaling import CHUNK, mean_and_deviation, standard

UNITS = [1e-300, 1e-200, 1.0, 1e200, 1e300]


def values(n=2 * CHUNK + 5):
    """Columns of different means and spreads."""
    return np.random.default_rng(0).normal(size=(n, 3)) * [1, 1e-3, 1e3] + [0, 5, -1e4]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_mean_and_deviation_are_numpys(dtype):
    X = (100 * values()).astype(dtype)
    mean, deviation = mean_and_deviation(X)
    np.testing.assert_array_equal(mean, X.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(deviation, X.std(axis=0, dtype=np.float64), rtol=1e-12)
    images = X[:120].reshape(5, 4, 6, 3)
    np.testing.assert_allclose(mean_and_deviation(images)[1], images.std(axis=(0, 1, 2), dtype=np.float64), rtol=1e-12)


@pytest.mark.parametrize("exponent", [-1000, -660, 660, 900])
def test_a_power_of_2_as_unit_changes_no_digit(exponent):
    X, unit = values(), np.ldexp(1.0, exponent)
    for plain, scaled in zip(mean_and_deviation(X), mean_and_deviation(X * unit), strict=True):
        np.testing.assert_array_equal(plain * unit, scaled)


def test_weights_are_rows_given_several_times():
    X, times = values(400), np.random.default_rng(1).integers(0, 4, 400)
    many = mean_and_deviation(np.repeat(X, times, axis=0))
    for unit in (1.0, 1e-200, 1e200):
        for by_weight, by_row in zip(mean_and_deviation(X, times * unit), many, strict=True):
            np.testing.assert_allclose(by_weight, by_row, rtol=1e-12)


def test_a_row_of_weight_0_does_not_count():
    X, weights = values(50), np.ones(50)
    weights[7] = 0
    X[7] = 1e250
    for weighted, without in zip(mean_and_deviation(X, weights), mean_and_deviation(np.delete(X, 7, 0)), strict=True):
        np.testing.assert_allclose(weighted, without, rtol=1e-14)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6 / 3, 1e200, 1e-200])
def test_constants_become_0_exactly(value):
    mean, deviation = standard(np.full((999, 2), value), None)
    assert (mean == value).all() and (deviation == 1).all()


def test_what_is_nearly_constant_stays_small():
    X = np.full((100, 1), 1e200)
    X[3] *= 1 + 1e-15
    mean, deviation = mean_and_deviation(X)
    assert np.abs((X - mean) / deviation).max() <= 1


def test_powers_of_2():
    found = power_of_2(np.array([0.0, 5e-324, 0.3, 1, 3, 1.7e308]))
    np.testing.assert_array_equal(found, [0.5, 5e-324, 0.25, 1, 2, 2.0**1023])


@pytest.fixture(scope="module")
def diabetes():
    """Standardised rows, and targets."""
    X, y = load_diabetes(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


@pytest.mark.parametrize("unit", UNITS[1:-1])
def test_a_data_set_learns_targets_of_any_unit(diabetes, unit):
    """As `minnet prune table.csv` reads them: the net, its scores and intervals do not depend on the unit."""
    X, y = diabetes
    found = []
    for factor in (1.0, unit):
        data = mn.load_data((X, y * factor), task="regression")
        model = mn.models.mlp(data.shape, 1, (8,), rng=0)
        for _ in mn.train(model, data, epochs=5, rng=0, optimizer=mn.Adam(0.01)):
            pass
        scores = mn.evaluate(model, data)
        found.append([scores.r2, scores.mae / factor, scores.rmse / factor, scores.loss, *scores.intervals.r2,
                      *(scores.intervals.rmse / factor)])
    assert 0.2 < found[0][0] < 1
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("unit", UNITS[1:-1])
def test_features_are_selected_in_any_unit(diabetes, unit, form):
    X, y = diabetes
    plain, other = (mn.SparsitySelector(4, max_iter=10, hidden_layer_sizes=(8,), random_state=0).fit(form(rows), y)
                    for rows in (X, X * [unit, *[1] * 9]))
    np.testing.assert_array_equal(plain.support_, other.support_)


# --- a regressor that goes on ----------------------------------------------------------------------------------------

def fitted_twice(X, y, change):
    """A regressor after one fit, then one by targets that `change` makes, of steps too small to learn anything."""
    made = mn.PrunedRegressor((8,), max_iter=20, warm_start=True, random_state=0, learning_rate_init=0.01,
                              sparsity=0.5).fit(X, y)
    before = made.predict(X)
    made.set_params(max_iter=1, learning_rate_init=1e-12).fit(X, change(y))
    return made, before


@pytest.mark.filterwarnings("ignore:training reached")
@pytest.mark.parametrize("change", [lambda y: y, lambda y: y + 40, lambda y: 0.2 * y - 7, lambda y: y[::-1] ** 2])
def test_a_warm_start_begins_at_what_was_predicted(diabetes, change):
    X, y = diabetes
    made, before = fitted_twice(X, y, change)
    np.testing.assert_allclose(made.predict(X), before, rtol=1e-6)
    shift, scale = made.model_.signature.target_scaling
    np.testing.assert_allclose([shift[0], scale[0]], [change(y).mean(), change(y).std()], rtol=1e-12)
    assert made.model_.sparsity == 0.5


@pytest.mark.filterwarnings("ignore:training reached")
@pytest.mark.parametrize("unit", UNITS)
def test_a_warm_start_in_another_unit_learns_too(diabetes, unit):
    X, y = diabetes
    made, _ = fitted_twice(X, y, lambda y: y * unit)
    assert made.set_params(max_iter=60, learning_rate_init=0.01).fit(X, y * unit).loss_ < 0.9

"""Training on bad input is refused at the call, in one line that names the argument; hard input stays finite."""
import numpy as np
import pytest
from each import each
from nets import N_CLASSES, bits, finish, is_plus_zero, problem
from trees import random_mask

import minnet as mn
from minnet.errors import Diverged, InvalidType, InvalidValue, NotFinite, UnknownName


@pytest.mark.parametrize("net", ["chain", "images"])
def test_divergence_keeps_the_last_finite_values(net):
    """One batch an epoch: the loss of an epoch is finite, its step is not, and the next one begins with infinities."""
    model, (X, y) = problem(net)
    model.set_mask(random_mask(model, ("weights",), 0.5, np.random.default_rng(0)))
    finite, infinite = [bits(model.values)], 0
    with pytest.raises(Diverged, match=r"step \d+, learning rate 3e\+38") as caught:
        for _ in mn.train(model, (1000 * X, y), optimizer=mn.SGD(3e38), epochs=50, batch_size=14, rng=0):
            if np.isfinite(model.values).all():
                finite.append(bits(model.values))
            else:
                infinite += 1
    assert infinite and "\n" not in str(caught.value)
    assert bits(model.values) in finite
    assert np.isfinite(model.values).all() and is_plus_zero(model.values[~model.mask])


def pair(X=None, y=None):
    """Good data for the net "chain" but for what is given."""
    _, (good_X, good_y) = problem("chain")
    return good_X if X is None else X, good_y if y is None else y


def holding(value, row=3):
    X = pair()[0].copy()
    X[row, 2] = value
    return X


ROWS = np.zeros((14, 7), np.float32)
BAD = {  # what is wrong -> arguments of `train` beside the model, the error, a part of its message
    "NaN in X": ((pair(holding(np.nan)), {}), NotFinite, "X holds 1 .* row 3"),
    "infinity in X": ((pair(holding(-np.inf, 13)), {}), NotFinite, "X holds 1 .* row 13"),
    "infinite as float32": ((pair(holding(0.0).astype(np.float64) + 1e300), {}), NotFinite, "X"),
    "text in X": ((pair(ROWS.astype(str)), {}), InvalidType, "X"),
    "None for X": (((None, [0]), {}), InvalidType, "X is None"),
    "complex X": ((pair(ROWS + 0j), {}), InvalidType, "X .*complex"),
    "ragged X": ((pair([[1.0], [1.0, 2.0]]), {}), InvalidType, "X"),
    "too few features": ((pair(ROWS[:, :6]), {}), InvalidValue, r"X .*\(14, 6\).*7"),
    "one row as 1-D": ((pair(ROWS[0]), {}), InvalidValue, r"X .*\(7,\)"),
    "images for rows": ((pair(ROWS[..., None, None]), {}), InvalidValue, r"X .*\(14, 7, 1, 1\)"),
    "no rows": ((pair(ROWS[:0], np.zeros(0, int)), {}), InvalidValue, "X has 0 rows"),
    "no labels": ((pair(y=np.zeros(0, int)), {}), InvalidValue, "y 0"),
    "too few labels": ((pair(y=np.zeros(13, int)), {}), InvalidValue, "X has 14 rows and y 13"),
    "one number for y": ((pair(y=1), {}), InvalidValue, "y"),
    "text in y": ((pair(y=["a"] * 14), {}), InvalidType, "y holds text"),
    "a label too high": ((pair(y=np.arange(14)), {}), InvalidValue, "labels run from 0 to 13"),
    "a label below 0": ((pair(y=np.arange(14) % 3 - 1), {}), InvalidValue, "labels run from -1"),
    "numbers for classes": ((pair(y=np.arange(14) % 3 * 1.0), {}), InvalidValue, "y has the dtype float64"),
    "NaN in y": ((pair(y=np.full((14, 3), np.nan)), {}), NotFinite, "y holds NaN .* 14 rows"),
    "classes for mse": ((pair(), {"loss": "mse"}), InvalidValue, "y has the dtype int64"),
    "data that are none": (("digits", {}), InvalidType, "data='digits'"),
    "no data": ((None, {}), InvalidType, "data=None"),
    "batch_size 0": ((pair(), {"batch_size": 0}), InvalidValue, "batch_size=0"),
    "batch_size -1": ((pair(), {"batch_size": -1}), InvalidValue, "batch_size=-1"),
    "batch_size 1.5": ((pair(), {"batch_size": 1.5}), InvalidType, "batch_size=1.5"),
    "batch_size True": ((pair(), {"batch_size": True}), InvalidType, "batch_size=True"),
    "epochs -1": ((pair(), {"epochs": -1}), InvalidValue, "epochs=-1"),
    "epochs 2.0": ((pair(), {"epochs": 2.0}), InvalidType, "epochs=2.0"),
    "rng -1": ((pair(), {"rng": -1}), InvalidValue, "rng=-1"),
    "rng text": ((pair(), {"rng": "0"}), InvalidType, "rng='0'"),
    "rng of old": ((pair(), {"rng": np.random.RandomState(0)}), InvalidType, "rng=RandomState"),
    "unknown loss": ((pair(), {"loss": "crossentropy"}), UnknownName, "'crossentropy'; did you mean cross_entropy"),
    "unknown rate": ((pair(), {"lr_schedule": "cosin"}), UnknownName, "lr_schedule 'cosin'; did you mean cosine"),
    "unknown optimizer": ((pair(), {"optimizer": "adm"}), UnknownName, "optimizer 'adm'; did you mean adam"),
    "an optimizer that is none": ((pair(), {"optimizer": 0.1}), InvalidType, "optimizer=0.1"),
    "a penalty that is none": ((pair(), {"penalty": "l1"}), InvalidType, "penalty='l1'"),
    "clip_norm 0": ((pair(), {"clip_norm": 0}), InvalidValue, "clip_norm=0"),
    "clip_norm NaN": ((pair(), {"clip_norm": np.nan}), InvalidValue, "clip_norm=nan"),
    "every step": ((pair(), {"every": "step"}), InvalidValue, "every='step'"),
    "every 0": ((pair(), {"every": 0}), InvalidValue, "every=0"),
    "a state that is none": ((pair(), {"state": 3}), InvalidType, "state=3"),
    "another's state": ((pair(), {"state": mn.State(problem("chain")[0], mn.SGD())}), InvalidValue, "another model"),
}


@each("case", BAD)
def test_bad_input_is_refused_at_the_call(case):
    """Before the first step is asked for, in one line that names the argument; model and data keep their bits."""
    (data, arguments), error, message = BAD[case]
    model, _ = problem("chain")
    before, generator = bits(model.values), arguments.get("rng")
    with pytest.raises(error, match=message) as caught:
        mn.train(model, data, **arguments)
    assert isinstance(caught.value, mn.MinnetError) and "\n" not in str(caught.value)
    assert bits(model.values) == before and arguments.get("rng") is generator


@pytest.mark.parametrize("make", [
    lambda: mn.SGD(0), lambda: mn.SGD(-1), lambda: mn.SGD(np.nan), lambda: mn.SGD("0.1"), lambda: mn.SGD(True),
    lambda: mn.SGD(momentum=1), lambda: mn.SGD(momentum=-0.1), lambda: mn.SGD(weight_decay=-1),
    lambda: mn.Adam(betas=0.9), lambda: mn.Adam(betas=(0.9, 1.0)), lambda: mn.Adam(betas=(np.nan, 0.9)),
    lambda: mn.Adam(eps=0), lambda: mn.AdamW(np.inf), lambda: mn.RMSprop(decay=1), lambda: mn.RMSprop(eps=-1),
])
def test_bad_numbers_of_optimizers(make):
    with pytest.raises((InvalidValue, InvalidType)) as caught:
        make()
    assert "=" in str(caught.value) and "wanted" in str(caught.value)


HARD = {  # X that is legal and hard
    "huge": np.full((14, 7), 1e30, np.float32), "tiny": np.full((14, 7), 1e-40, np.float32), "zeros": ROWS,
    "huge mean": np.float32(1e6) + np.random.default_rng(0).normal(size=(14, 7)).astype(np.float32),
    "one row": ROWS[:1] + 1, "two rows": ROWS[:2] + np.float32([[1], [2]]),
    "a constant feature": pair()[0] * (np.arange(7) > 0),
}


@pytest.mark.parametrize("net", ["chain", "noisy"])
@pytest.mark.parametrize("case", HARD)
def test_hard_input_gives_finite_numbers_or_an_error(case, net):
    """batch_size above n, a last batch of one row with BatchNorm, and numbers at the ends of float32."""
    model, _ = problem(net)
    X = HARD[case]
    data = X, np.arange(len(X)) % N_CLASSES
    for batch_size in (100, max(1, len(X) - 1)):
        try:
            finish(mn.train(model, data, epochs=2, batch_size=batch_size, rng=0))
        except Diverged:
            assert case == "huge"
        assert np.isfinite(model.values).all()
    if case != "huge":
        assert np.isfinite(model(X)).all()


KINDS = {
    "Fortran order": np.asfortranarray, "reversed": lambda X: X[::-1].copy()[::-1], "a list": lambda X: X.tolist(),
    "big-endian": lambda X: X.astype(">f4"), "float64": lambda X: X.astype(np.float64),
    "objects": lambda X: X.astype(object),
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_layout_of_the_same_numbers_gives_the_same_bits(kind):
    plain, (X, y) = problem("chain")
    finish(mn.train(plain, (X, y), epochs=2, batch_size=4, rng=0))
    model, given_X = problem("chain")[0], KINDS[kind](X)
    before = np.array(given_X).tobytes()
    finish(mn.train(model, (given_X, y.astype(np.uint8).tolist()), epochs=2, batch_size=4, rng=0))
    assert bits(model.values) == bits(plain.values)
    assert np.array(given_X).tobytes() == before

"""What goes beside training: distillation, augmentation, weight averaging, bounds of norms."""
from functools import partial

import numpy as np
import pytest
from nets import bits
from tables import make, sample_for

import minnet as mn
from minnet.cli import main
from minnet.cli.commands import load
from minnet.cli.options import settings_from
from minnet.cli.parser import Usage
from minnet.engine.augmentation import AUGMENTATIONS, Mix, compose, cutout, elastic, mixup, rotate, shift
from minnet.engine.distillation import Batches, SeenLoss
from minnet.engine.losses import cross_entropy, softmax
from minnet.engine.state import State
from minnet.errors import InvalidType, MinnetError
from minnet.formats.storage import describe
from minnet.study.job import Job
from minnet.study.settings import Settings
from minnet.study.training import STATISTICS, TRAINING, Training

training = partial(mn.train, optimizer=mn.SGD(0.1, momentum=0.9), batch_size=3, epochs=3, rng=0)
IMAGES = {"shift": shift(2), "rotate": rotate(30), "elastic": elastic(4, 1.5), "cutout": cutout(3)}


def data_of(model, rows=8):
    sample = sample_for(model, rows=rows)
    return sample.X, sample.y


def trained(net="dense", **more):
    """A net after three epochs."""
    model = make(net)
    *_, last = training(model, data_of(model), **more)
    return model, last


def images(n=5, shape=(6, 5, 2)):
    return np.random.default_rng(0).normal(size=(n, *shape))


# --- distillation ----------------------------------------------------------------------------------------------------


def test_a_share_of_0_is_plain_training_bit_for_bit():
    plain, last = trained()
    other, step = trained(teacher=mn.Teacher(make("dense", seed=5), temperature=1, share=0))
    assert bits(plain.values, last.state.vectors) == bits(other.values, step.state.vectors) and step.path == last.path
    alone, _ = trained(accelerate=False)
    same, step = trained(augment=lambda X, rng: X)
    assert bits(alone.values) == bits(same.values) and "one thread" in step.why


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1.0), (4.0, 0.3), (0.5, 0.7)])
def test_the_loss_of_a_taught_batch_is_the_published_one(temperature, share):
    """(1 - a) CE + a T^2 KL, written out; its gradient by finite differences; each row's own beside the sum."""
    model, teacher = make("dense"), mn.Teacher(make("dense", seed=5), temperature, share)
    (X, y), n = data_of(model), 8
    batches = Batches(X, None, State(model, mn.SGD(0.1), 0))
    loss, z = SeenLoss(cross_entropy, batches, teacher), model(batches[np.arange(n)])

    def value(z):
        p, q = softmax(teacher.model(X) / temperature), softmax(z / temperature)
        soft = temperature**2 * (p * np.log(p / q)).sum(axis=1)
        return (1 - share) * -np.log(softmax(z)[np.arange(n), y]) + share * soft

    dz, losses = np.zeros_like(z), np.zeros(n)
    assert np.isclose(loss(z, y, dz, n, losses), value(z).mean(), rtol=1e-12)
    np.testing.assert_allclose(losses, value(z), rtol=1e-10)
    for i, j in np.ndindex(z.shape):
        move = np.zeros_like(z)
        move[i, j] = 1e-6
        assert abs((value(z + move) - value(z - move)).mean() / 2e-6 - dz[i, j]) < 1e-8


def test_a_teacher_is_a_copy_and_pulls_the_student_to_it():
    dense = make("dense", seed=5)
    teacher = mn.Teacher(dense, temperature=2, share=1.0)
    before = teacher.model.values.copy()
    X, y = data_of(dense)
    model = make("dense")
    far = np.abs(softmax(model(X)) - softmax(dense(X))).mean()
    for _ in mn.recipes.gradual(model, (X, y), 0.3, epochs=30, rng=0, train=partial(training, teacher=teacher)):
        pass
    assert np.abs(softmax(model(X)) - softmax(teacher.model(X))).mean() < far / 2
    dense.values[:] = 0
    assert bits(teacher.model.values) == bits(before)


@pytest.mark.parametrize("wrong", [
    {"teacher": 3}, {"augment": 3}, {"teacher": make("conv")}, {"loss": "mse", "teacher": make("dense", seed=1)},
    {"augment": lambda X, rng: X[:1]}, {"augment": shift(1)}, {"augment": shift(1, shape=(2, 2))},
    {"augment": compose(mixup(), mixup())},
])
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(MinnetError):
        trained(**wrong)
    model = make("dense")
    with pytest.raises(MinnetError, match="copy"):
        training(model, data_of(model), teacher=model)


# --- augmentation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_stay_in_their_range_and_repeat_by_seed(name, dtype):
    X = images().astype(dtype)
    one, same, other = (IMAGES[name](X, np.random.default_rng(seed)) for seed in (0, 0, 1))
    low, high = X.min(axis=(1, 2, 3), keepdims=True), X.max(axis=(1, 2, 3), keepdims=True)
    assert one.shape == X.shape and one.dtype == dtype and ((low <= one) & (one <= high)).all()
    assert bits(one) == bits(same) != bits(other) and bits(one) != bits(X)
    flat = AUGMENTATIONS[name](shape=(6, 5, 2))(X.reshape(5, -1), np.random.default_rng(0))
    assert bits(flat.reshape(X.shape)) == bits(AUGMENTATIONS[name]()(X, np.random.default_rng(0)))


def test_nothing_moves_at_0_and_a_shift_is_exact():
    X = images()
    for still in (shift(0), rotate(0), elastic(0)):
        np.testing.assert_allclose(still(X, np.random.default_rng(0)), X, atol=1e-12)
    moved, padded = shift(2)(X, np.random.default_rng(0)), np.pad(X, ((0, 0), (2, 2), (2, 2), (0, 0)), "edge")
    for row, wide in zip(moved, padded, strict=True):
        assert any(np.array_equal(row, wide[i : i + 6, j : j + 5]) for i in range(5) for j in range(5))


class Largest:
    """A generator whose numbers are the largest it may draw."""

    def uniform(self, low, high, shape):
        return np.full(shape, high)


def test_a_quarter_turn_is_a_rotation_of_the_array():
    X = images(shape=(5, 5, 1))
    np.testing.assert_allclose(rotate(90)(X, Largest()), np.rot90(X, -1, axes=(1, 2)), atol=1e-12)


def test_a_cutout_is_a_square_of_the_mean():
    X = images()
    changed = (cutout(3)(X, np.random.default_rng(0)) != X).any(axis=3)
    for image in changed:
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        assert image.sum() == len(rows) * len(columns) and len(rows) <= 3 and len(columns) <= 3
        assert np.ptp(rows) == len(rows) - 1 and np.ptp(columns) == len(columns) - 1


def test_mixed_rows_have_the_mean_of_both_losses():
    model = make("dense")
    X, y = data_of(model)
    batches = Batches(X, mixup(2.0), State(model, mn.SGD(0.1), 0))
    z = model(batches[np.arange(8)])
    _, partner, share = batches.last
    np.testing.assert_allclose(batches.last.X, share * X + (1 - share) * X[partner], rtol=1e-12)
    dz = np.zeros_like(z)
    found = SeenLoss(cross_entropy, batches, None)(z, y, dz, 8)
    one, other = np.zeros_like(z), np.zeros_like(z)
    wanted = share * cross_entropy(z, y, one) + (1 - share) * cross_entropy(z, y[partner], other)
    assert 0 < share < 1 and np.isclose(found, wanted, rtol=1e-12)
    np.testing.assert_allclose(dz, share * one + (1 - share) * other, rtol=1e-10, atol=1e-15)
    assert isinstance(compose(lambda X, rng: X, mixup())(X, np.random.default_rng(0)), Mix)


def test_an_augmented_run_goes_on_bit_for_bit():
    augment = compose(shift(1), mixup(1.0))
    whole, last = trained("conv", augment=augment, epochs=2, teacher=mn.Teacher(make("conv", seed=4)))
    part, halves = make("conv"), []
    more = {"augment": augment, "teacher": mn.Teacher(make("conv", seed=4)), "every": "batch", "epochs": 2}
    for step in training(part, data_of(part), **more):
        halves.append(step)
        if len(halves) == 2:
            break
    *_, end = training(part, data_of(part), state=halves[-1].state, **more)
    assert bits(whole.values, last.state.vectors) == bits(part.values, end.state.vectors)
    assert bits(whole.values) != bits(trained("conv", epochs=2)[0].values)


# --- averaging, norms ------------------------------------------------------------------------------------------------


def test_means_are_those_of_the_nets_that_were_yielded():
    model, seen = make("normed"), []
    for step in mn.swa(training(model, data_of(model), epochs=8), begin=0.5):
        seen.append(step.model.values.copy())
    np.testing.assert_allclose(model.values, np.mean(seen[3:], axis=0), rtol=1e-12)
    model, seen = make("normed"), []
    for step in mn.ema(training(model, data_of(model), every="batch"), decay=0.7):
        seen.append(step.model.values.copy())
    mean = seen[0]
    for values in seen[1:]:
        mean = 0.7 * mean + 0.3 * values
    np.testing.assert_allclose(model.values, mean, rtol=1e-10, atol=1e-15)


def test_a_mean_is_of_nets_of_the_last_mask():
    for average in (partial(mn.swa, begin=0.0), partial(mn.ema, decay=0.5)):
        model, seen = make("dense"), []
        for step in average(mn.recipes.gradual(model, data_of(model), 0.5, epochs=6, rng=0, train=training)):
            seen.append((bits(step.model.mask), step.model.values.copy()))
        nets = [values for mask, values in seen if mask == bits(model.mask)]
        assert 1 < len(nets) < 6 and np.count_nonzero(~model.mask) == 31 and not model.values[~model.mask].any()
        if average.func is mn.swa:
            np.testing.assert_allclose(model.values, np.mean(nets, axis=0), rtol=1e-12)
    with pytest.raises(MinnetError):
        mn.swa([], begin=2)
    assert not list(mn.ema([]))


@pytest.mark.parametrize("net", ["dense", "conv", "depthwise"])
def test_no_norm_into_a_unit_exceeds_its_bound(net):
    model = make(net)
    before = model.values.copy()
    mn.penalties.MaxNorm(1e6).prox(model, 0.1)
    assert bits(model.values) == bits(before)
    for _ in training(model, data_of(model), penalty=mn.penalties.MaxNorm(0.5), every="batch"):
        for p in model.weight_parameters:
            norms = np.linalg.norm(p.value.reshape(-1, p.shape[-1]), axis=0)
            assert norms.max() <= 0.5 * (1 + 1e-12)
    assert mn.penalties.MaxNorm(1.0).value(model) == 0


def test_a_projection_scales_units_that_are_too_long_and_no_other():
    model = make("dense")
    p, q = model.weight_parameters[:2]
    before = p.value.copy()
    norms = np.linalg.norm(before, axis=0)
    limit = float(np.median(norms))
    kept = q.value.copy()
    mn.penalties.MaxNorm({"dense1": limit}).prox(model, 0.1)
    np.testing.assert_allclose(p.value, before * np.minimum(limit / norms, 1), rtol=1e-12)
    assert np.array_equal(q.value, kept)


def test_an_attack_of_each_batch():
    """By nothing it is plain training, bit for bit; else what is learnt is the batch that the attack made."""
    X, y = np.random.default_rng(0).random((12, 6)), np.arange(12) % 3
    found = []
    for attack in (None, partial(mn.attacks.fgsm, epsilon=0.0), partial(mn.attacks.fgsm, epsilon=0.1)):
        model = make("dense")
        steps = list(mn.train(model, (X, y), epochs=2, batch_size=12, rng=0, accelerate=False, adversarial=attack))
        found.append((model.values.copy(), steps[0].loss))
    assert np.array_equal(found[0][0], found[1][0]) and found[2][1] > found[0][1]
    with pytest.raises(InvalidType, match="give a function"):
        mn.train(make("dense"), (X, y), adversarial="fgsm")


def test_options_of_batches_at_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plain = ["train", "digits", "--model", "mlp", "--epochs", "1"]
    assert main(plain) == 0
    more = "--teacher minnet-out/model.safetensors --augment shift:1,rotate:5.5 --adversarial fgsm:0.05"
    assert main([*plain, *more.split(), "--out", "other"]) == 0
    assert "augment" in describe("other/model.safetensors")["made"]["settings"]
    assert main([*plain, "--augment", "shft:1"]) == 2 and "did you mean shift" in capsys.readouterr().err


# --- beside the trainings of a job -----------------------------------------------------------------------------------

DATA = mn.load_data((np.random.default_rng(0).random((48, 6)).astype(np.float32), np.arange(48) % 3), rng=0)
BESIDE = {"average": ("ema", 0.9), "max_norm": 0.8, "recalibrate": True, "teacher": ("dense", 2.0, 0.3)}


@pytest.fixture
def normed(monkeypatch):
    """The architecture `mlp` has a BatchNorm."""
    tree = mn.Sequential(mn.Dense(8), mn.BatchNorm(), mn.ReLU(), mn.Dense(3))
    monkeypatch.setitem(mn.models.MODELS, "mlp", lambda shape, n_outputs, rng=None: mn.Model(tree, shape, rng=rng))


@pytest.mark.parametrize("average", [None, "swa", ("ema", 0.9)])
def test_a_training_by_settings_is_what_the_functions_give(average, normed):
    job = Training(Settings(data=DATA, model="mlp", epochs=4, batch_size=4, average=average, max_norm=0.8,
                            recalibrate=True))
    model = job.model.clone()
    list(job.run())
    penalty = mn.penalties.MaxNorm(0.8)
    every = {} if average is None else {"every": job.stride}
    steps = mn.train(model, DATA, epochs=4, rng=job.seed(TRAINING), **job.arguments | {"penalty": penalty}, **every)
    mean = {None: iter, "swa": mn.swa, ("ema", 0.9): partial(mn.ema, decay=0.9**job.stride)}[average]
    for _ in mean(steps):
        pass
    mn.compensation.recalibrate_batchnorm(model, DATA, rng=job.seed(STATISTICS))
    assert bits(model.values) == bits(job.model.values)
    assert "average" not in Training(Settings(data=DATA, model="mlp")).made["settings"]


def test_the_dense_net_teaches_once_it_is_trained(normed, tmp_path, monkeypatch):
    """And a job with all of this that is stopped goes on with the same bits."""
    def job(folder):
        made = Job(Settings(data=DATA, model="mlp", epochs=2, batch_size=4, recipe="iterative", **BESIDE))
        made.store(tmp_path / folder)
        return made
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    whole = job("whole")
    assert "teacher" not in whole.arguments and len(list(whole.run())) == 6
    teacher = whole.arguments["teacher"]
    assert (teacher.temperature, teacher.share) == (2.0, 0.3) and bits(teacher.model.values) != bits(whole.dense.values)
    norms = np.linalg.norm(whole.model.parameters["dense1.weight"].value, axis=0)
    assert (norms <= 0.8 + 1e-6).all() and whole.model.sparsity > 0.85
    for stop in (1, 3, 5):
        first = job("stopped").run()
        for _ in range(stop):
            next(first)
        first.close()
        again = job("stopped")
        assert len(list(again.run())) == 6 and bits(again.model.values, again.dense.values) == bits(
            whole.model.values, whole.dense.values)
        again.stages.clear()


@pytest.mark.parametrize(("wrong", "text"), [
    ({"average": "sma"}, "did you mean swa"), ({"average": ("ema", 2)}, "from 0 to 1"), ({"max_norm": 0}, "above 0"),
    ({"recalibrate": True}, "has none that is trained"), ({"teacher": ("dense", 0, 0.5)}, "temperature"),
    ({"teacher": "dense"}, "and here is none"),
])
def test_what_cannot_go_beside_is_said_before_training(wrong, text):
    with pytest.raises(MinnetError, match=text):
        Training(Settings(data=DATA, model="lenet_300_100", **wrong))


def test_a_teacher_of_numbers_is_refused():
    data = mn.load_data((DATA.X_train, DATA.X_train[:, 0]), task="regression", rng=0)
    with pytest.raises(MinnetError, match="probabilities of classes"):
        Job(Settings(data=data, model="mlp", teacher="dense"))


def test_options_beside_at_the_command_line():
    parser = load("prune")[0]
    args = parser.parse_args("--average ema:0.9 --max-norm 3 --recalibrate --teacher a:b.st:share=0.2".split())
    settings = settings_from(args)
    assert (settings.average, settings.max_norm, settings.recalibrate) == (("ema", 0.9), 3, True)
    assert settings.teacher == ("a:b.st", 4.0, 0.2) and parser.parse_args(["--average", "swa"]).average == "swa"
    for wrong in ("--average=swa:", "--average=ema:2", "--teacher=x:heat=1", "--teacher=x:share=2", "--max-norm=0"):
        with pytest.raises(Usage, match="wanted"):
            parser.parse_args([wrong])

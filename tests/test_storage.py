"""A model comes back from its file to the bit; the same model gives the same bytes; other libraries read them."""
import errno
import hashlib
import json
import os
import struct

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nets import bits
from test_files import FailingOs
from trees import masked_models, random_input

import minnet as mn
from minnet import files
from minnet.engine.initialisers import glorot
from minnet.engine.layer import Layer
from minnet.errors import FileError, InvalidType, InvalidValue, NotFinite
from minnet.formats import layout, masks, tensors
from minnet.formats.storage import describe, expected_bytes, load, load_state, save

MODELS = {
    "mlp": lambda dtype: mn.models.mlp((7,), 3, (6, 5), rng=0, dtype=dtype),
    "small_conv": lambda dtype: mn.models.small_conv((8, 8, 1), 10, rng=0, dtype=dtype),
    "resnet_8": lambda dtype: mn.models.resnet_8((8, 8, 3), 4, 4, rng=0, dtype=dtype),
    "nothing to learn": lambda dtype: mn.Model(mn.Flatten(), (2, 3, 1), dtype=dtype),
    "one weight": lambda dtype: mn.Model(mn.Dense(1, use_bias=False), (1,), rng=0, dtype=dtype),
}
SPARSITIES = (0.0, 0.3, 0.95, 0.999, 1.0)


def lenet(sparsity=0.0, seed=0):
    """LeNet-300-100 on MNIST's shape with exactly that share of its weights cut, at random."""
    return cut(mn.models.lenet_300_100((784,), 10, rng=seed), sparsity, seed)


def cut(model, sparsity, seed=0):
    """The model, with exactly that share of its weights cut at random."""
    mask = model.mask.copy()
    mask[np.random.default_rng(seed).permutation(model.n_weights)[: round(sparsity * model.n_weights)]] = False
    model.set_mask(mask)
    return model


def same(one, other):
    """Whether two models agree in everything, to the bit."""
    return one.config() == other.config() and bits(one.values, one.mask) == bits(other.values, other.mask)


def contents(path):
    """(header, data) of a file, read by hand."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def facts_of(path):
    return json.loads(contents(path)[0]["__metadata__"]["minnet"])


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_to_the_bit(tmp_path, name, dtype, sparsity):
    model, first, again = cut(MODELS[name](dtype), sparsity), tmp_path / "first", tmp_path / "again"
    before = bits(model.values, model.mask)
    save(model, first)
    loaded = load(first)
    assert same(model, loaded) and bits(model.values, model.mask) == before
    save(loaded, again)
    assert first.read_bytes() == again.read_bytes()
    assert os.path.getsize(first) == expected_bytes(model)
    X = random_input(model, 3)
    assert bits(model(X)) == bits(loaded(X))


@given(masked_models())
def test_any_tree_with_any_mask_comes_back_to_the_bit(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("model") / "m"
    save(model, path)
    assert same(model, load(path)) and os.path.getsize(path) == expected_bytes(model)


@given(hnp.arrays(np.float32, 28, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_every_finite_number_comes_back(tmp_path_factory, numbers):
    """-0.0, subnormal and huge ones included."""
    path, model = tmp_path_factory.mktemp("model") / "m", mn.Model.blank(mn.Dense(4), (6,))
    model.values[:] = numbers
    save(model, path)
    assert bits(load(path).values) == bits(numbers)


@pytest.mark.parametrize("number", [-0.0, 1e-45, -1e-45, np.finfo(np.float32).max])
def test_a_live_zero_is_kept_by_its_mask_bit(tmp_path, number):
    """Storage goes by the mask: a live value may be 0, and a masked place has no number at all."""
    model = cut(mn.models.mlp((20,), 3, (30,), rng=0), 0.5)
    model.values[model.mask] = number
    save(model, tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert same(model, loaded)
    assert (loaded.values[loaded.mask].view(np.uint32) == np.float32(number).view(np.uint32)).all()


def test_the_bytes_of_a_small_model_are_these(tmp_path):
    """Written by hand: what the format is, so that no change of it goes unnoticed."""
    model = mn.Model.blank(mn.Sequential(mn.Dense(2, name="out")), (3,))
    model.values[:] = np.arange(1, 9)
    model.set_mask(np.array([1, 0, 1, 1, 0, 1, 1, 1], bool))
    save(model, tmp_path / "m", made={"seed": 1, "epochs": [2, 0.5, None, "x", True]})
    text = ('{"architecture":{"dtype":"float32","input_shape":[3],"tree":{"layers":[{"initialiser":"he","name":"out",'
            '"type":"Dense","units":2,"use_bias":true}],"name":"sequential1","type":"Sequential"}},'
            '"fingerprint":"FINGERPRINT","format_version":4,"frozen":null,"kind":"model",'
            '"made":{"epochs":[2,0.5,null,"x",true],"seed":1},"minnet":"' + mn.__version__ + '","signature":null}')
    covered = "[" + text[len('{"architecture":') : text.index(',"fingerprint"')] + ",null]"
    weights, mask = struct.pack("<4f", 1, 3, 4, 6), bytes([0b10110100])
    covered = b"\n".join([covered.encode(), b'"out.bias" F32 [2]', struct.pack("<2f", 7, 8)])
    covered += b"\n" + b"\n".join([b'"out.weight" F32 [4]', weights]) + b'\n"out.weight.mask" U8 [1]\n' + mask
    text = text.replace("FINGERPRINT", hashlib.sha256(covered).hexdigest())
    header = json.dumps({
        "__metadata__": {"minnet": text},
        "out.bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "out.weight": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]},
        "out.weight.mask": {"dtype": "U8", "shape": [1], "data_offsets": [24, 25]},
    }, separators=(",", ":"))
    header += " " * (-len(header) % 8)
    data = struct.pack("<2f4fB", 7, 8, 1, 3, 4, 6, 0b10110100)
    assert (tmp_path / "m").read_bytes() == struct.pack("<Q", len(header)) + header.encode() + data


def rebuilt(stored, name, shape):
    """(values, mask) of one parameter, put together by plain loops from what the safetensors library reads."""
    if f"{name}.mask" in stored:
        flags = [byte >> 7 - i & 1 for byte in stored[f"{name}.mask"].tolist() for i in range(8)]
        live = [i for i in range(int(np.prod(shape))) if flags[i]]
    elif f"{name}.columns" in stored:
        columns, live = iter(stored[f"{name}.columns"].tolist()), []
        for row, count in enumerate(stored[f"{name}.counts"].tolist()):
            live += [row * shape[-1] + next(columns) for _ in range(count)]
    else:
        return stored[name], np.ones(shape, bool)
    values, mask = np.zeros(shape, stored[name].dtype), np.zeros(shape, bool)
    values.reshape(-1)[live], mask.reshape(-1)[live] = stored[name], True
    return values, mask


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_the_safetensors_library_reads_what_we_write(tmp_path, sparsity):
    model, path = cut(mn.models.resnet_8((8, 8, 3), 4, 16, rng=0), sparsity), tmp_path / "m"
    save(model, path)
    stored = safetensors.numpy.load_file(path)
    for name, p in model.parameters.items():
        values, mask = rebuilt(stored, name, p.shape)
        assert bits(values, mask) == bits(p.value, p.mask), name
    with safetensors.safe_open(path, "numpy") as file:
        assert list(file.metadata()) == ["minnet"]
        text = file.metadata()["minnet"]
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_we_read_what_the_safetensors_library_writes(tmp_path, sparsity):
    """The reader is held to another writer than ours."""
    model, path, theirs = cut(mn.models.small_conv((8, 8, 1), 10, rng=0), sparsity), tmp_path / "m", tmp_path / "t"
    save(model, path)
    metadata = contents(path)[0]["__metadata__"]
    theirs.write_bytes(safetensors.numpy.save(safetensors.numpy.load_file(path), metadata))
    assert same(load(theirs), model)


def test_sizes_are_exact_and_a_sparse_model_is_small(tmp_path):
    """A 95 %-sparse LeNet-300-100 takes less than a tenth of the dense file."""
    dense, sparse = lenet(), lenet(0.95)
    assert np.count_nonzero(sparse.mask[: sparse.n_weights]) == 13_310
    save(dense, tmp_path / "dense")
    save(sparse, tmp_path / "sparse")
    sizes = os.path.getsize(tmp_path / "dense"), os.path.getsize(tmp_path / "sparse")
    assert sizes == (expected_bytes(dense), expected_bytes(sparse))
    assert sizes[1] < 0.1 * sizes[0]
    assert expected_bytes(dense, mask=sparse.mask) == sizes[1]
    assert expected_bytes(dense) == sizes[0], "asking what a mask would save changes nothing"


def test_a_sparser_model_is_never_larger():
    sizes = [expected_bytes(lenet(sparsity)) for sparsity in (0, 0.01, 0.5, 0.9, 0.95, 0.98, 0.99, 0.999, 1)]
    assert sizes[1:] == sorted(sizes[1:], reverse=True)
    assert sizes[2] < sizes[0]


@given(hnp.array_shapes(min_dims=1, max_dims=4, max_side=40), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_the_form_is_the_smallest_and_each_form_comes_back(shape, density, seed):
    mask = np.random.default_rng(seed).random(shape) < density
    live, size = int(np.count_nonzero(mask)), {}
    for form in ("bits", "columns"):
        packed = masks.pack(form, mask)
        size[form] = sum(array.nbytes for array in packed.values())
        specs = masks.specs(form, shape, live, "F32")
        assert specs.pop("") == ("F32", (live,))
        assert specs == {ending: (tensors.CODES[array.dtype], array.shape) for ending, array in packed.items()}
        assert np.array_equal(masks.unpack(form, shape, live, packed), mask.reshape(-1))
    form = masks.form_of(shape, live)
    assert (form == "dense") == mask.all()
    assert form == "dense" or size[form] == min(size.values())


def test_a_tensor_too_wide_for_16_bits_is_stored_as_bits():
    assert masks.form_of((3, masks.MOST_COLUMNS), 5) == "columns"
    assert masks.form_of((3, masks.MOST_COLUMNS + 1), 5) == "bits"
    mask = np.ones((2, masks.MOST_COLUMNS), bool)
    mask[1, 7] = False
    packed = masks.pack("columns", mask)
    assert np.array_equal(masks.unpack("columns", mask.shape, mask.sum(), packed), mask.reshape(-1))


@pytest.mark.parametrize("array", [
    np.arange(12.0).reshape(3, 4).T, np.arange(12.0).reshape(3, 4)[:, ::2], np.arange(12.0)[::-1],
    np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.broadcast_to(np.float32(3), (2, 5)),
    np.arange(6, dtype=">f4"), np.arange(6, dtype=">u2"), np.zeros(0, np.float32),
], ids=["transposed", "strided", "reversed", "fortran", "broadcast", "big-endian", "big-endian u2", "empty"])
def test_arrays_of_any_layout_are_written_right(array):
    """The safetensors library itself wrote some of these wrong for a while."""
    read = safetensors.numpy.load(tensors.to_bytes({"a": array, "b": np.arange(3, dtype=np.uint8)}, "{}"))
    assert np.array_equal(read["a"], array) and read["a"].shape == array.shape
    assert read["b"].tolist() == [0, 1, 2]


def test_loading_leaves_nothing_shared_and_all_writable(tmp_path):
    save(lenet(0.5), tmp_path / "m")
    one, other = load(tmp_path / "m"), load(tmp_path / "m")
    one.values[:] = 1
    one.set_mask(np.ones_like(one.mask))
    assert not same(one, other)
    assert one.parameters["dense1.weight"].value[0, 0] == 1, "parameters are views of the vector"


# --- what it was made with -------------------------------------------------------------------------------------------


def test_description(tmp_path):
    model, path = cut(mn.models.small_conv((8, 8, 1), 10, rng=0), 0.75), tmp_path / "m"
    made = {"seed": 3, "criterion": "magnitude", "nested": [{"a": None}]}
    save(model, path, made=made)
    about = describe(path)
    weights = {"weights": model.n_weights, "remaining": int(model.mask[: model.n_weights].sum())}
    assert {key: about[key] for key in weights} == weights
    assert about["sparsity"] == pytest.approx(0.75)
    assert (about["kind"], about["format_version"], about["minnet"]) == ("model", 4, mn.__version__)
    assert about["made"] == made and about["bytes"] == os.path.getsize(path) == expected_bytes(model, made=made)
    assert (about["dtype"], about["input_shape"], about["output_shape"]) == ("float32", (8, 8, 1), (10,))
    assert [row["name"] for row in about["layers"]] == list(model.layers)
    assert [row["output_shape"] for row in about["layers"]] == [leaf.output_shape for leaf in model.layers.values()]
    assert about["layers"][0]["parameters"] == {"weight": (3, 3, 1, 16), "bias": (16,)}
    assert "state" not in about


def test_no_time_date_or_path_is_in_a_file(tmp_path):
    """The same model, saved elsewhere under another name, gives the same bytes."""
    (tmp_path / "elsewhere").mkdir()
    for name in ("one.safetensors", "elsewhere/other"):
        save(lenet(0.9), tmp_path / name)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "elsewhere/other").read_bytes()
    assert set(facts_of(tmp_path / "one.safetensors")) == {
        "format_version", "minnet", "kind", "architecture", "made", "signature", "frozen", "fingerprint"}


def test_numpy_numbers_are_stored_as_numbers(tmp_path):
    model = mn.Model(mn.Sequential(mn.Dense(np.int64(3)), mn.LeakyReLU(np.float32(0.25))), (2,), rng=0)
    save(model, tmp_path / "m", made={"accuracy": np.float64(0.5), "n": np.int32(7), "ok": np.bool_(True)})
    assert describe(tmp_path / "m")["made"] == {"accuracy": 0.5, "n": 7, "ok": True}
    assert bits(load(tmp_path / "m").values) == bits(model.values)


def test_initialisers_go_by_name_or_not_at_all(tmp_path):
    """One of ours by its name; a function of the caller's is not kept, and the model is saved all the same."""
    def own(rng, shape):
        return np.full(shape, 0.5)

    model = mn.Model(mn.Sequential(mn.Dense(3, initialiser=glorot), mn.Dense(2, initialiser=own)), (4,), rng=0)
    save(model, tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert [layer.initialiser for layer in loaded.layers.values()] == ["glorot", "he"]
    assert bits(loaded.values) == bits(model.values)


@pytest.mark.parametrize("made", [
    [1], "text", {"path": os}, {"x": float("nan")}, {"x": float("inf")}, {"x": {1, 2}}, {("a", 1): 2},
    {"array": np.zeros(3)}, {1: 1, "1": 2},
], ids=str)
def test_what_json_cannot_hold_is_refused(tmp_path, made):
    with pytest.raises(InvalidType) as caught:
        save(lenet(), tmp_path / "m", made=made)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("depth", [3, 200, 5000])
def test_what_could_not_be_read_is_not_written(tmp_path, depth):
    """Too deep for the reader, or for Python: refused when saving, not when loading."""
    nested = []
    for _ in range(depth):
        nested = [nested]
    if depth < tensors.DEEPEST:
        save(lenet(), tmp_path / "m", made={"nested": nested})
        assert describe(tmp_path / "m")["made"] == {"nested": nested}
    else:
        with pytest.raises((InvalidType, InvalidValue)):
            save(lenet(), tmp_path / "m", made={"nested": nested})
        assert not list(tmp_path.iterdir())


def test_a_description_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(InvalidValue, match="note less"):
        save(lenet(), tmp_path / "m", made={"log": "x" * tensors.MOST_HEADER})
    assert not list(tmp_path.iterdir())


# --- refusals leave the old file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["conv2.weight", "batchnorm1.mean", "dense1.bias"])
def test_nan_and_infinity_are_refused_by_name(tmp_path, name, number):
    model, path = mn.models.resnet_8((8, 8, 1), 3, 4, rng=0), tmp_path / "m"
    save(model, path)
    before = path.read_bytes()
    model.parameters[name].value.reshape(-1)[-1] = number
    with pytest.raises(NotFinite, match=f"{name} holds 1 numbers"):
        save(model, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m"]


def test_a_negative_variance_is_refused_by_name(tmp_path):
    model = mn.models.resnet_8((8, 8, 1), 3, 4, rng=0)
    model.parameters["batchnorm2.variance"].value[1] = -1e-9
    with pytest.raises(InvalidValue, match=r"batchnorm2\.variance"):
        save(model, tmp_path / "m")


@pytest.mark.parametrize("thing", [None, 3, "m.safetensors", {}, np.zeros(3), mn.Dense(3)], ids=repr)
def test_only_models_and_states_are_saved(tmp_path, thing):
    for call in (lambda: save(thing, tmp_path / "m"), lambda: expected_bytes(thing)):
        with pytest.raises(InvalidType, match="neither a Model nor a State"):
            call()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_each_failing_call_leaves_the_old_model_or_the_new_one(tmp_path, monkeypatch, code):
    """The n-th call that writes fails, for n = 1, 2, ..., until one run succeeds."""
    path, old, new, failures = tmp_path / "m", lenet(0.5, 1), lenet(0.95, 2), 0
    save(old, path)
    while True:
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", FailingOs(failures + 1, code))
            try:
                save(new, path)
                break
            except FileError as error:
                assert str(path) in str(error) and "\n" not in str(error)
        failures += 1
        assert os.listdir(tmp_path) == ["m"]
        found = load(path)
        assert same(found, old) or same(found, new)
    assert failures >= 5 and same(load(path), new)


def test_a_place_that_cannot_be_written_is_a_file_problem(tmp_path):
    for place in (tmp_path, tmp_path / "missing" / "m", tmp_path / ("x" * 300)):
        with pytest.raises(FileError):
            save(lenet(), place)


# --- parameters that are born sparse ---------------------------------------------------------------------------------


class Scattered(Layer):
    """A layer whose weight (rows, columns) is born sparse: what the engine is ready for, in its smallest form."""

    prefix = "scattered"

    def __init__(self, rows, columns, live, *, name=None):
        self.rows, self.columns, self.live, self.name = rows, columns, live, name

    def build(self, shape):
        index = np.arange(self.live, dtype=np.int64) * (self.rows * self.columns // self.live)
        return shape, [self.declare("weight", (self.rows, self.columns), normal, index)]


def normal(rng, item):
    return rng.normal(size=item.size)


@pytest.mark.parametrize("cuts", [0, 3, 40])
@pytest.mark.parametrize(("rows", "columns", "dtype"), [(10, 40, "U8"), (1000, 40, "U16"), (10**4, 10**5, "U32"),
                                                        (2**25, 2**20, "U64")])
def test_a_parameter_that_is_born_sparse_comes_back(tmp_path, rows, columns, dtype, cuts):
    own = {"Scattered": Scattered}
    model = mn.Model(mn.Sequential(Scattered(rows, columns, 40)), (3,), rng=0)
    p = model.parameters["scattered1.weight"]
    p.index[:] = np.sort(np.random.default_rng(0).choice(rows * columns, 40, replace=False)
                         if rows * columns < 10**6 else np.random.default_rng(0).integers(rows * columns, size=40))
    mask = model.mask.copy()
    mask[np.random.default_rng(1).permutation(40)[:cuts]] = False
    model.set_mask(mask)
    save(model, tmp_path / "m")
    loaded = load(tmp_path / "m", layers=own)
    assert same(model, loaded) and bits(loaded.parameters["scattered1.weight"].index) == bits(p.index)
    assert contents(tmp_path / "m")[0]["scattered1.weight.index"]["dtype"] == dtype
    assert os.path.getsize(tmp_path / "m") == expected_bytes(model)
    about = describe(tmp_path / "m", layers=own)
    assert about["weights"] == rows * columns and about["remaining"] == 40 - cuts


@pytest.mark.parametrize("gaps", [[3, 0, 1], [2**64 - 1, 1, 1], [5, 2**63, 2**63], [0, 1, 98]], ids=str)
def test_an_index_that_is_none_is_refused(gaps):
    with pytest.raises(InvalidValue, match="index"):
        masks.unpack_index(np.array(gaps, np.uint64), 99)


# --- layers of the caller's own -------------------------------------------------------------------------------------


class Scale(Layer):
    """y = gain * factor * x, one gain for each feature."""

    prefix = "scale"

    def __init__(self, factor=1.0, inner=None, *, name=None):
        self.factor, self.inner, self.name = factor, inner, name

    def children(self):
        return () if self.inner is None else (self.inner,)

    def build(self, shape):
        if self.factor < 0:
            raise ValueError(f"factor={self.factor}: below 0")
        return shape, [self.declare("gain", shape[-1:], lambda rng, shape: 1.0)]

    def forward(self, x, tape):
        return x * (self.factor * self.gain.of(tape.values))


def scaled_model(rng=0):
    return mn.Model(mn.Sequential(mn.Dense(4), Scale(0.5), mn.Dense(3), Scale(name="last")), (5,), rng=rng)


def test_a_layer_of_the_callers_own_comes_back_by_the_name_of_its_class(tmp_path):
    model, path = scaled_model(), tmp_path / "m"
    model.values[:] = np.random.default_rng(1).normal(size=len(model.values))
    save(model, path)
    loaded = load(path, layers={"Scale": Scale})
    assert same(model, loaded) and type(loaded.layers["last"]) is Scale and loaded.layers["scale1"].factor == 0.5
    X = random_input(model, 3)
    assert bits(model(X)) == bits(loaded(X))
    assert [row["type"] for row in describe(path, layers={"Scale": Scale})["layers"]] == ["Dense", "Scale"] * 2


@pytest.mark.parametrize("layers", [None, {}, {"Scattered": Scattered}, {"scale": Scale}], ids=str)
def test_a_class_that_the_caller_did_not_give_is_not_made(tmp_path, layers):
    """Though it is there, in this very module: a file says no more than a name."""
    save(scaled_model(), tmp_path / "m")
    for read in (load, describe, load_state):
        with pytest.raises(FileError, match=r'unknown layer .Scale.; .*load\(path, layers={"Scale": Scale}\)'):
            read(tmp_path / "m", layers=layers)


@pytest.mark.parametrize(("layers", "error", "words"), [
    ([Scale], InvalidType, "layers=.*give classes by name"),
    ({"Scale": Scale()}, InvalidType, "'Scale'; wanted a subclass of Layer"),
    ({"Scale": dict}, InvalidType, "wanted a subclass of Layer"),
    ({"Dense": Scale}, InvalidValue, "'Dense', which is a layer of minnet's"),
])
def test_only_classes_of_layers_are_taken(tmp_path, layers, error, words):
    save(scaled_model(), tmp_path / "m")
    with pytest.raises(error, match=words):
        load(tmp_path / "m", layers=layers)
    assert same(load(save_to(tmp_path / "dense", mn.Model(mn.Dense(2), (3,))), layers={"Dense": mn.Dense}),
                load(tmp_path / "dense"))


def save_to(path, model):
    save(model, path)
    return path


@pytest.mark.parametrize(("old", "new", "words"), [
    (b'"factor":0.5', b'"factor":9e9', "at most"),
    (b'"factor":0.5', b'"factor":[1]', "wanted something like 1.0"),
    (b'"factor":0.5', b'"factxr":0.5', "it takes factor, inner, name"),
    (b'"factor":0.5', b'"factor":-.5', "not the JSON"),
    (b'"factor":0.5', b'"factor":-55', "cannot be made: ValueError: factor=-55: below 0"),
])
def test_what_a_file_says_of_such_a_layer_is_checked(tmp_path, old, new, words):
    path = save_to(tmp_path / "m", scaled_model())
    content = path.read_bytes().replace(old.replace(b'"', b'\\"'), new.replace(b'"', b'\\"'))
    path.write_bytes(content)
    with pytest.raises(FileError, match=words):
        load(path, layers={"Scale": Scale})


def test_a_file_must_be_able_to_tell_layers_apart(tmp_path):
    other = type("Scale", (Scale,), {})
    dense = type("Dense", (mn.Dense,), {})
    nameless = type("Nameless", (Scale,), {"__init__": lambda self: None, "factor": 1.0, "inner": None, "name": None})
    for layers, words in [((Scale(), other()), "second class called Scale"), ((dense(2),), "second class called Dense"),
                          ((nameless(),), "constructor takes no name")]:
        with pytest.raises(InvalidType, match=words):
            save(mn.Model(mn.Sequential(*layers), (3,)), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_run_is_read_as_a_run(tmp_path):
    state = mn.State(scaled_model(), mn.SGD(), 0, 1)
    path = save_to(tmp_path / "run", state)
    for read in (load, load_state):
        assert same(read(path, layers={"Scale": Scale}).model, state.model)
    with pytest.raises(FileError, match=r"holds a model, not a training run \(read it with load"):
        load_state(save_to(tmp_path / "m", mn.Model(mn.Dense(2), (3,))))


# --- a file may not ask for much more memory than it has -------------------------------------------------------------


def test_a_very_sparse_large_model_is_stored_so_that_it_can_be_read(tmp_path, monkeypatch):
    """Columns could be so few that a reader has to suspect an attack on the memory: then the mask is stored as bits."""
    model = cut(mn.Model(mn.Dense(2000, use_bias=False), (8,), rng=0), 0.9999)
    save(model, tmp_path / "columns")
    monkeypatch.setattr(layout, "SMALL_BYTES", 1000)
    save(model, tmp_path / "bits")
    assert "dense1.weight.columns" in contents(tmp_path / "columns")[0]
    assert "dense1.weight.mask" in contents(tmp_path / "bits")[0]
    assert same(load(tmp_path / "bits"), model) and os.path.getsize(tmp_path / "bits") == expected_bytes(model)
    monkeypatch.setattr(layout, "MOST_EXPANSION", 10)
    with pytest.raises(FileError, match="bytes of memory"):
        load(tmp_path / "columns")

"""`minnet import`, `minnet export`, and pruning what came as ONNX: from the command to files that others read."""
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_cli import command  # noqa: F401 - a fixture

import minnet as mn
from minnet.formats.c_source import c_source

onnxruntime = pytest.importorskip("onnxruntime")
h5py = pytest.importorskip("h5py")
from keras_files import layer, old, sequential, whole  # noqa: E402 - need h5py itself

SIDE = 8


@pytest.fixture
def model(tmp_path):
    """A small net, as model.safetensors and model.onnx in the folder where commands run."""
    net = mn.models.small_conv((SIDE, SIDE, 1), 3, rng=0)
    mn.save(net, tmp_path / "model.safetensors")
    mn.save_onnx(net, tmp_path / "model.onnx")
    return net


def images(n=120, seed=0):
    """Images (n, h, w, 1) of three classes that can be told apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(size=(n, SIDE, SIDE, 1)) + y[:, None, None, None]).astype(np.float32), y


def run_onnx(path, X):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(X)})[0]


# --- import ----------------------------------------------------------------------------------------------------------


def test_import_onnx(command, model, tmp_path):  # noqa: F811 - the fixture
    ended = command("import", "model.onnx", "--json")
    assert ended.code == 0
    facts = json.loads(ended.stdout)
    assert facts["imported"] == "an ONNX model" and facts["parameters"] == model.n_parameters
    X, _ = images(4)
    np.testing.assert_allclose(mn.load(ended.out / "model.safetensors")(X), model(X), rtol=1e-5, atol=1e-5)


def test_import_refuses_a_shape_that_is_not_the_models(command, model, tmp_path):  # noqa: F811 - the fixture
    ended = command("import", "model.onnx", "--shape", "64,1,1", "--out", "other")
    assert ended.code == 2 and "--shape 64,1,1: the model takes rows of 8,8,1" in ended.stderr, ended.stderr
    assert len(ended.stderr.splitlines()) == 1 and not (tmp_path / "other").exists()
    assert command("import", "model.onnx", "--shape", "8,8,1", "--out", "same").code == 0


def test_a_pruned_net_is_imported_pruned_and_it_is_said(command, model, tmp_path):  # noqa: F811
    mn.prune(model, 0.5)
    mn.save_onnx(model, tmp_path / "pruned.onnx")
    ended = command("import", "pruned.onnx")
    assert "50.0% of its weights are 0 and come in masked" in ended.stdout + ended.stderr
    assert mn.load(ended.out / "model.safetensors").sparsity == pytest.approx(model.sparsity)
    assert command("import", "pruned.onnx", "--zeros", "keep", "--out", "free").code == 0
    assert mn.load(tmp_path / "free" / "model.safetensors").sparsity == 0


def test_import_keeps_the_column_of_the_classes(command, tmp_path):  # noqa: F811
    """A table in which another column is the last is scored by the one that the model learnt."""
    rows = [(f"{i % 7}.5", "no" if i % 7 < 3 else "yes", str(i % 5)) for i in range(70)]
    for name, order in (("t.csv", (0, 2, 1)), ("other.csv", (1, 0, 2))):
        lines = [("a", "kind", "b"), *rows]
        (tmp_path / name).write_text("\n".join(",".join(line[i] for i in order) for line in lines))
    trained = mn.models.mlp((2,), 2, hidden=(4,), rng=0)
    for _ in mn.train(trained, mn.load_data(tmp_path / "t.csv"), epochs=1, rng=0):
        pass
    mn.save_onnx(trained, tmp_path / "t.onnx")
    assert command("import", "t.onnx", "--out", "in").code == 0
    assert mn.load(tmp_path / "in" / "model.safetensors").signature.target == "kind"
    assert command("evaluate", "in/model.safetensors", "--data", "other.csv").code == 0


@pytest.mark.parametrize("labels, wanted", [("7,-1,30", [7, -1, 30]), ("07, 8 ,9", [7, 8, 9]),
                                            ("1,2,three", ["1", "2", "three"]), ("1.5,2,3", ["1.5", "2", "3"])])
def test_import_takes_labels_as_a_table_has_them(labels, wanted, command, model):  # noqa: F811
    """Whole numbers where all are: the labels of a table, which then match."""
    assert command("import", "model.onnx", f"--classes={labels}").code == 0
    assert mn.load("minnet-out/model.safetensors").signature.classes.tolist() == wanted


def test_import_keras_weights(command, model, tmp_path):  # noqa: F811
    """Into an architecture by its name, or that of a file."""
    rng = np.random.default_rng(0)
    kinds = {"weight": "kernel", "bias": "bias"}
    weights = {layer.name: {kinds[p.kind]: rng.normal(size=p.shape) for p in layer.parameters}
               for layer in model.layers.values() if layer.parameters}
    old(tmp_path / "w.h5", weights | {"unknown": {"kernel": np.ones(1)}})
    ended = command("import", "w.h5", "--model", "small_conv", "--shape", "8,8,1", "--classes", "3")
    assert ended.code == 0 and "not used" in ended.stdout and "unknown" in ended.stdout
    loaded = mn.load(ended.out / "model.safetensors")
    np.testing.assert_allclose(loaded.parameters["dense1.weight"].value, weights["dense1"]["kernel"], rtol=1e-6)
    assert command("import", "w.h5", "--model", "model.safetensors", "--out", "other").code == 0
    assert (tmp_path / "other" / "model.safetensors").read_bytes() == (ended.out / "model.safetensors").read_bytes()


@pytest.mark.filterwarnings("default:the state dict:UserWarning")
def test_import_without_an_architecture(command, tmp_path):  # noqa: F811
    """A whole model of Keras, which takes raw rows and gives labels for one sigmoid; a state dict of Linear layers."""
    ones = np.ones((3, 1), np.float32)
    layers = layer("Rescaling", scale=0.5, offset=0), layer("Dense", units=1, activation="sigmoid", use_bias=True)
    whole("net.keras", sequential(*layers, shape=(3,)), {"layers/dense": [ones, ones[0]]})
    assert command("import", "net.keras", "--classes", "no,yes").code == 0
    model = mn.load("minnet-out/model.safetensors")
    assert model.predict(np.float32([[1, 1, 1], [-2, -2, -2]])).tolist() == ["yes", "no"]
    state = {f"fc{i}.{kind}": array for i, n in ((1, 4), (2, 3))
             for kind, array in (("weight", np.ones((n - 1, n), np.float32)), ("bias", np.ones(n - 1, np.float32)))}
    save_file(state, "net.safetensors")
    ended = command("import", "net.safetensors", "--out", "torch")
    assert ended.code == 0 and "ReLU is assumed" in ended.stderr
    assert [type(one).__name__ for one in mn.load("torch/model.safetensors").tree.layers] == ["Dense", "ReLU", "Dense"]


@pytest.mark.parametrize("arguments, words", [
    (["nothing.h5"], "no such file"), (["model.onnx", "--model", "mlp"], "is a whole model"),
    (["w.h5"], "give their architecture with --model"), (["w.h5", "--model", "small_con"], "did you mean small_conv"),
    (["w.h5", "--model", "small_conv"], "--shape"), (["w.h5", "--model", "small_conv", "--shape", "8,8"], "--classes"),
    (["w.h5", "--model", "small_conv", "--shape", "8,x"], "whole number"),
    (["w.h5", "--model", "small_conv", "--shape", "8,8,1", "--classes", "4"], "does not fit the model"),
    (["X.npz"], "is a NumPy archive"), (["net.pt"], "save_file"),
    (["model.safetensors", "--model", "model.safetensors"], "names|Conv2d|fit"),
])
def test_import_refused(arguments, words, command, model, tmp_path):  # noqa: F811
    """One line, exit code 2, and no model is written."""
    old(tmp_path / "w.h5", {"conv1": {"kernel": np.ones((3, 3, 1, 5)), "bias": np.ones(5)}})
    np.savez(tmp_path / "X.npz", X=np.ones(3), y=np.ones(3))
    (tmp_path / "net.pt").write_bytes(b"\x80\x02}q\x00.")
    ended = command("import", *arguments)
    assert ended.code == 2 and not ended.stdout and ended.stderr.count("\n") == 1
    assert any(word in ended.stderr for word in words.split("|"))
    assert not (ended.out / "model.safetensors").exists()


# --- export ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["model.safetensors", "model.onnx"])
@pytest.mark.parametrize("options, turn", [([], (0, 3, 1, 2)), (["--channels-last"], (0, 1, 2, 3))])
def test_export_onnx(source, options, turn, command, model):  # noqa: F811
    ended = command("export", source, "--to", "onnx", *options, "--out", "there")
    assert ended.code == 0 and ended.stdout.strip() == "there/model.onnx"
    X, _ = images(4)
    np.testing.assert_allclose(run_onnx("there/model.onnx", X.transpose(turn)), model(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mn.load_onnx("there/model.onnx")(X), model(X), rtol=1e-5, atol=1e-5)


def test_export_sparse(command, model, tmp_path):  # noqa: F811
    mn.prune(model, 0.9)
    mn.save(model, tmp_path / "pruned.safetensors")
    sizes = [json.loads(command("export", "pruned.safetensors", "--to", "onnx", "--json", *options).stdout)["bytes"]
             for options in ([], ["--sparse"])]
    assert sizes[1] < 0.5 * sizes[0]


def test_export_c(command, model):  # noqa: F811
    """What test_c_source.py compiles."""
    ended = command("export", "model.safetensors", "--to", "c", "--json")
    assert ended.code == 0 and json.loads(ended.stdout)["format"] == "c"
    assert (ended.out / "model.c").read_text() == c_source(model)


def test_export_c_in_integers(command, model, tmp_path):  # noqa: F811
    """A name, ranges from data, test vectors; what is missing is said."""
    X, y = images()
    np.savez(tmp_path / "data.npz", X=X, y=y)
    arguments = "export model.safetensors --to c --name net --arithmetic int8".split()
    ended = command(*arguments, "--data", "data.npz", "--vectors", "2")
    assert ended.code == 0 and "net_quantise makes its input" in ended.stderr, ended.stderr
    assert {path.name for path in ended.out.glob("net*")} == {"net.c", "net.h", "net_vectors.h", "net_main.c"}
    assert "int net_class(const int8_t *input, int32_t *work);" in (ended.out / "net.h").read_text()
    ended = command(*arguments)
    assert ended.code == 2 and "--data digits" in ended.stderr and ended.stderr.count("\n") == 1
    assert command("export", "model.safetensors", "--to", "onnx", "--vectors", "2").code == 2


def test_export_for_pytorch_and_back(command, model):  # noqa: F811
    assert command("export", "model.safetensors", "--to", "safetensors", "--out", "there").code == 0
    assert load_file("there/weights.safetensors")["conv2.weight"].shape == (32, 16, 3, 3)
    assert command("import", "there/weights.safetensors", "--model", "model.safetensors", "--out", "back").code == 0
    np.testing.assert_array_equal(mn.load("back/model.safetensors").values, model.values)


@pytest.mark.parametrize("arguments, words", [
    (["model.safetensors"], "--to"), (["model.safetensors", "--to", "pickle"], "invalid choice"),
    (["model.safetensors", "--to", "safetensors", "--sparse"], "apply to --to onnx"),
    (["X.npz", "--to", "onnx"], "is a NumPy archive"), (["weights.safetensors", "--to", "onnx"], "import"),
])
def test_export_refused(arguments, words, command, model, tmp_path):  # noqa: F811
    np.savez(tmp_path / "X.npz", X=np.ones(3))
    save_file({"a.weight": np.ones((2, 2), np.float32)}, tmp_path / "weights.safetensors")
    ended = command("export", *arguments)
    assert ended.code == 2 and not ended.stdout and ended.stderr.count("\n") == 1 and words in ended.stderr


# --- from any framework, and back ------------------------------------------------------------------------------------


def test_prune_a_model_that_came_as_onnx(command, model, tmp_path):  # noqa: F811
    """Fewer filters, the same outputs in ONNX Runtime as here."""
    X, y = images()
    np.savez(tmp_path / "X.npz", X=X, y=y)
    X = 40 * X + 3  # the model has seen no other scaling
    np.savez(tmp_path / "X.npz", X=X, y=y)
    ended = command("prune", "model.onnx", "--data", "X.npz", "--structure", "filter", "--sparsity", "0.5",
                    "--epochs", "2", "--lr", "0.001")
    assert ended.code == 0, ended.stderr
    scored = command("evaluate", str(ended.out / "model.safetensors"), "--data", "X.npz", "--part", "test", "--json")
    assert json.loads(scored.stdout)["accuracy"] == ended.result["after"]["accuracy"]
    small = mn.load(ended.out / "model.safetensors")
    assert sum(layer.filters for layer in small.layers.values() if isinstance(layer, mn.Conv2d)) == (16 + 32) / 2
    theirs = run_onnx(ended.out / "model.onnx", X.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(theirs, small(X), rtol=1e-4, atol=1e-4)
    assert ended.result["before"]["parameters"] == model.n_parameters


@pytest.mark.parametrize("content, words", [
    (b"\x80\x02}q\x00.", "save_file(net.state_dict()"), (b"cut", "is a text file"),
    (lambda onnx: onnx[: len(onnx) // 2], "cut off"), (b"\x89HDF\r\n\x1a\n", "minnet import"),
])
def test_files_that_are_no_model_are_not_pruned(content, words, command, model, tmp_path):  # noqa: F811
    """One line that says what the file is, though it stands where a data set may stand as well."""
    X, y = images()
    np.savez(tmp_path / "X.npz", X=X, y=y)
    whole = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "net.pt").write_bytes(content(whole) if callable(content) else content)
    ended = command("prune", "net.pt", "--data", "X.npz")
    assert ended.code == 2 and not ended.stdout and ended.stderr.count("\n") == 1 and words in ended.stderr
    assert not (ended.out / "model.safetensors").exists()


def test_data_in_the_other_layout_are_reshaped_or_told(command, model, tmp_path):  # noqa: F811
    """A grey image is the same numbers wherever its axis of 1 stands; of more channels the way out is told."""
    X, y = images()
    for name, rows in (("last", X), ("first", X.transpose(0, 3, 1, 2)), ("none", X[..., 0]), ("two", X.repeat(2, 3))):
        np.savez(tmp_path / f"{name}.npz", X=rows, y=y)
    found = {name: command("evaluate", "model.onnx", "--data", f"{name}.npz", "--json") for name in
             ("last", "first", "none", "two")}
    assert found["last"].stdout == found["none"].stdout.replace('"none"', '"last"')
    assert found["last"].stdout == found["first"].stdout.replace('"first"', '"last"')
    assert found["two"].code == 2 and "rows of shape (8, 8, 2), the model takes (8, 8, 1)" in found["two"].stderr


@pytest.mark.parametrize("scale, dtype", [(1, np.float32), (50, np.float32), (20, np.uint8)])
def test_data_reach_an_imported_model_as_they_are(scale, dtype, model, tmp_path):
    """It has its own preprocessing behind it: numbers stay, bytes as well."""
    from minnet.study.settings import Settings
    from minnet.study.training import Training

    X, y = images()
    X = (scale * (X - X.min())).astype(dtype)
    np.savez(tmp_path / "X.npz", X=X, y=y)
    job = Training(Settings(data=str(tmp_path / "X.npz"), model=str(tmp_path / "model.onnx")))
    assert job.model.signature.scaling is None
    assert np.isin(job.model.inputs(job.data.X_train), X.astype(np.float32)).all()


def test_predict_says_what_it_lacks_in_a_model_from_elsewhere(command, model):  # noqa: F811
    """And the way out is one: `import` records that it takes rows as given."""
    ended = command("predict", "model.onnx", "digits")
    assert ended.code == 2 and "model.onnx records neither the scaling of its data" in ended.stderr
    command("import", "model.onnx")
    assert command("predict", "minnet-out/model.safetensors", "digits").code == 0
    np.savez("mine.npz", X=images()[0], y=images()[1])
    assert command("prune", "model.onnx", "--data", "mine.npz", "--epochs", "1", "--sparsity", "0").code == 0
    assert command("predict", "minnet-out/model.safetensors", "mine.npz").code == 0

"""Every reader of files, with valid files for it: {file name: bytes} each, made by the tests' own forges.

    readers = readers_in(folder)            # {name: Reader}; the folder is for files that are made on the way
    readers["npz"].load(folder)             # reads what stands there under the names of its seeds
"""
import io
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import minnet as mn
from minnet.cli import compare as command
from minnet.cli.config import with_config
from minnet.cli.parser import Parser
from minnet.data.dataset import load_rows
from minnet.data.signature import Signature
from minnet.formats.onnx_write import onnx_bytes
from minnet.formats.storage import describe, file_bytes
from minnet.readers import read_idx
from minnet.report.page import page
from minnet.runtime.rates import Rates, read_rates
from minnet.study.cell_files import CellFolder
from minnet.study.cells import cells_of
from minnet.study.folder import as_json, read_result
from minnet.study.job import Base
from minnet.study.stages import Stages
from minnet.study.transaction import CHANGE, JOURNAL, NEW, finish
from minnet.study.workers import Dense


@dataclass(frozen=True)
class Reader:
    """What reads, how often it is asked, and valid files; the first of each seed is the one that is changed."""

    load: Callable[[Path], object]
    seeds: list[dict[str, bytes]]
    weight: int = 10


def readers_in(folder: Path) -> dict[str, Reader]:
    """Make the valid files, and return what reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {}
        for make in (models, torch_states, onnx_graphs, keras_files, keras_descriptions, arrays, tables, runs, sweeps):
            found |= make(folder)
    return found


def as_files(name, contents):
    return [{name: content} for content in contents]


def parsed(path):
    """The JSON of a file, whose readers take what was parsed."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise mn.MinnetError("is no JSON") from error


def models(folder):
    """minnet's own files: models, runs, predictors, stages."""
    from forge import good_files, wide

    good_files(folder)
    data = mn.load_data((np.arange(60.0).reshape(20, 3) % 7, [f"class {i % 2}" for i in range(20)]))
    signed = mn.models.mlp(3, 2, (4,), rng=0)
    signed.signature = data.signature
    image = mn.Model(mn.Sequential(mn.Conv2d(3, 2), mn.BatchNorm(), mn.PReLU(), mn.MaxPool2d(2), mn.Flatten(),
                                   mn.Dense(2)), (6, 6, 1), rng=0)
    born = mn.Model(mn.Sequential(mn.SparseDense(5, live=12), mn.ReLU(), mn.Dense(2)), (4,), rng=0)
    mn.freeze(signed, precision="int8").save(folder / "fast")
    mn.freeze(wide()).save(folder / "wide")
    stage = stage_of(folder)
    return {
        "model (.safetensors)": Reader(lambda at: (describe(at / "m"), mn.load(at / "m")), as_files("m", [
            *map(file_bytes, (wide(), signed, image, born)), file_bytes(signed, precision="int8")]), 60),
        "run (.safetensors)": Reader(lambda at: mn.load_state(at / "m"), as_files("m", [(folder / "run").read_bytes()]),
                                     40),
        "predictor (.safetensors)": Reader(lambda at: mn.load_predictor(at / "m"), as_files(
            "m", [(folder / name).read_bytes() for name in ("fast", "wide")]), 15),
        "stage (.safetensors)": Reader(resumed, as_files("0000.safetensors", [stage]), 30),
        "signature (JSON)": Reader(lambda at: Signature.from_json(parsed(at / "s")), as_files(
            "s", [json.dumps(data.signature.to_json()).encode()]), 30),
    }


def resumed(folder):
    """Run a stage of training, or what is left of it."""
    model = mn.Model(mn.Sequential(mn.SparseDense(4, live=8), mn.ReLU(), mn.Dense(2)), (3,), rng=0)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3), [0, 1, 0, 1]
    return list(Stages(folder, about={"seed": 0}).run(model, lambda train: train(model, rows, epochs=1)))


def stage_of(folder):
    resumed(folder / "stages")
    return (folder / "stages" / "0000.safetensors").read_bytes()


def torch_states(folder):
    from test_hostile_imports import good, model
    from test_hostile_readers import masked_state

    state = good.__wrapped__(Folders(folder / "torch"))["a.safetensors"][0]
    return {"state dict, with a model": Reader(lambda at: mn.load_torch(model(), at / "t"), as_files(
                "t", [state]), 30),
            "state dict, alone": Reader(lambda at: mn.load_torch(at / "t"), as_files("t", [state, masked_state()]), 30)}


class Folders:
    """Pytest's maker of folders."""

    def __init__(self, folder):
        self.folder = folder

    def mktemp(self, name):
        (self.folder / name).mkdir(parents=True)
        return self.folder / name


def onnx_graphs(folder):
    import onnx
    from onnx_graphs import GRAPHS, Graph

    graphs = [graph.bytes(end) for graph, end in (make() for make in GRAPHS.values())]
    small = mn.models.mlp((5,), 3, (4,), rng=0)
    mn.prune(small, 0.5)
    own = [onnx_bytes(small), onnx_bytes(small, precision="int8"), onnx_bytes(small, sparse=True)]
    graph = Graph((4,))
    proto = graph.model(graph("Relu", graph.gemm("x", 4, 30)))
    (folder / "two").mkdir()
    onnx.save(proto, folder / "two" / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    first, second = ((folder / "two" / name).read_bytes() for name in ("net.onnx", "net.data"))

    def load(at):
        return mn.load_onnx(at / "net.onnx")

    return {"ONNX": Reader(load, as_files("net.onnx", [*graphs, *own]), 110),
            "ONNX in two files": Reader(load, [{"net.onnx": first, "net.data": second},
                                               {"net.data": second, "net.onnx": first}], 40)}


def keras_files(folder):
    """HDF5 is read in a process of its own, which takes a third of a second: few cases."""
    import keras_files as forge
    from test_hostile_imports import weights

    net = forge.sequential(forge.layer("Dense", "d", units=3, use_bias=True, activation="relu"), shape=(4,))
    place = {"layers/dense": list(weights()["d"].values())}
    forge.old(folder / "old.h5", weights())
    forge.variables(folder / "vars.h5", weights(), named=True)
    forge.whole(folder / "net.keras", net, place)
    forge.whole(folder / "net.h5", net, {"d": weights()["d"]})
    content = {name: (folder / name).read_bytes() for name in ("old.h5", "vars.h5", "net.h5", "net.keras")}

    def fill(at):
        tree = mn.Sequential(mn.Dense(3, name="d"), mn.ReLU(), mn.Dense(2, name="e"))
        return mn.load_keras(mn.Model(tree, (4,), rng=0), at / "k")

    return {"Keras weights (.h5)": Reader(fill, as_files("k", [content["old.h5"], content["vars.h5"]]), 1),
            "Keras model (.h5)": Reader(lambda at: mn.load_keras(at / "k"), as_files("k", [content["net.h5"]]), 1),
            "Keras model (.keras)": Reader(lambda at: mn.load_keras(at / "k"), as_files(
                "k", [content["net.keras"]]), 1)}


def keras_descriptions(_):
    """What a whole model says of its layers, without HDF5."""
    from keras_files import functional, layer
    from test_hostile_readers import DESCRIPTIONS, ENTRIES

    from minnet.formats.keras_file import Saved, narrow
    from minnet.formats.keras_graph import model_of

    def load(at):
        saved = Saved("vars", [], ENTRIES, parsed(at / "d"))
        return narrow(saved), model_of(saved, at / "net.keras", "auto")
    dense = layer("Dense", "a", units=4, use_bias=True, activation="relu")
    block = functional((4,), (dense, ["x"]), (layer("Add", "s"), ["a", "x"]), (layer("Softmax", "p", axis=-1), ["s"]))
    nets = [json.dumps(net).encode() for net in (block, *DESCRIPTIONS.values())]
    return {"Keras description": Reader(load, as_files("d", nets), 60)}


def packed(save, *arrays, **named):
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def arrays(_):
    X, y = np.arange(240, dtype=np.float32).reshape(60, 4), np.arange(60) % 3
    parts = {f"{what}_{part}": array for part in ("train", "test") for what, array in (("x", X), ("y", y))}
    idx = b"\0\0\x08\x03" + np.array([2, 3, 3], ">u4").tobytes() + bytes(range(18))
    import gzip

    return {".npz": Reader(lambda at: mn.load_data(at / "a.npz"), as_files("a.npz", [
                packed(np.savez, X=X, y=y), packed(np.savez_compressed, X=X.astype(">f8"), y=y.astype(str)),
                packed(np.savez, **parts)]), 60),
            ".npy": Reader(lambda at: mn.load_data(at / "a.npz"), as_files("a.npz", [packed(np.save, X), packed(
                np.savez, X=X, y=y)])),
            "IDX": Reader(lambda at: read_idx(at / "i"), as_files("i", [idx, gzip.compress(idx, mtime=0)]), 30)}


def tables(_):
    """Text, as data to learn and as rows for a model."""
    rows = [f"{i % 5},{i / 7:.3f},{'' if i == 4 else 'ab'[i % 2]},kind {i % 3}" for i in range(60)]
    texts = ["a,b,c,kind\n" + "\n".join(rows) + "\n", "\n".join(row.replace(",", ";") for row in rows),
             '"a"\t"b"\t"kind"\n' + "\n".join(f"{i}\t{i * i}\t{i % 2}" for i in range(20)),
             "\ufeffa b kind\n" + "\n".join(f"{i}  1e{i % 9} yes" if i % 2 else f"{i}  -.5 no" for i in range(20))]
    seeds = as_files("t.csv", [text.encode() for text in texts] + [texts[0].encode("utf-16")])
    model = mn.models.mlp(2, 2, (2,), rng=0)
    model.signature = mn.load_data((np.arange(40.0).reshape(20, 2), [i % 2 for i in range(20)])).signature
    two = "f0,f1,y\n" + "\n".join(f"{i},{i % 3},{i % 2}" for i in range(9))
    return {"table, to learn": Reader(lambda at: mn.load_data(at / "t.csv", target=-1), seeds, 80),
            "table, by a name": Reader(lambda at: mn.load_data(at / "t.csv", target="kind"), seeds, 40),
            "table, for a model": Reader(lambda at: load_rows(at / "t.csv", model, target="y"), as_files(
                "t.csv", [two.encode()]), 40)}


def runs(_):
    """What commands read again: results, options, rates of the machine, the journal of a change."""
    from test_report import CLASSES, RESULT, WHOLE

    results = [as_json(result).encode() for result in (RESULT, RESULT | CLASSES, WHOLE)]
    toml = (b'sparsities = "0.95"\ncriteria = "magnitude"\ngrid = ["lr=0.1,0.05"]\ncontrols = true\ninput = "digits"\n'
            b"seeds = 3\n")
    parser = Parser("compare", "")
    command.options(parser)
    journal = json.dumps({"written": ["a", "b"], "removed": ["c"]}).encode()
    rates = json.dumps({name: 1e-9 for name in Rates.__dataclass_fields__}).encode()
    return {"result.json": Reader(lambda at: page(read_result(at)), as_files("result.json", results), 80),
            "options (.toml)": Reader(lambda at: with_config(parser, ["--config", str(at / "c.toml")]), as_files(
                "c.toml", [toml, toml + b"[table]\nx = 1979-05-27\n"]), 40),
            "rates of the machine": Reader(lambda at: read_rates(at / "r"), as_files("r", [rates])),
            "journal of a change": Reader(finish, as_files(f"{CHANGE}/{JOURNAL}", [journal, json.dumps(
                {"written": [f"../{NEW}"], "removed": []}).encode()]))}


def sweeps(folder):
    """A finished cell of a sweep, and its dense nets."""
    cells = cells_of({"criterion": "magnitude", "sparsity": 0.5, "seed": 0})
    cell, place = cells[0], folder / "sweep"
    scores = {"valid": {"accuracy": 0.5, "loss": 1.0}, "test": {"accuracy": 0.5, "loss": 1.0}, "decides": "valid",
              "parameters": 9, "macs": 9}
    stored = CellFolder(place, cells)
    stored.keep(cell, scores | {"file_bytes": 9, "removed": 0.5, "weights": 9, "kept_weights": 5, "seconds": 1.0})
    stored.keep_base(cell, Dense(Base(np.ones(9, np.float32), np.ones(9, np.float32)), scores))
    names = [f"cells/{cell.id}.json", f"dense/{cell.base}.npz"]
    content = {name: (place / name).read_bytes() for name in names}
    return {"cell of a sweep": Reader(lambda at: CellFolder(at, cells), [{names[0]: content[names[0]]}], 40),
            "dense nets of a sweep": Reader(lambda at: CellFolder(at, cells).base(cell), [
                {names[1]: content[names[1]]}], 30)}

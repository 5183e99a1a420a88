"""Architectures and runs that no model can have are refused before memory is taken for them."""
import numpy as np
import pytest
from forge import bit, fact, good_files, other, refuse, spoil, text

from minnet.formats.storage import describe, load

HUGE = 10**12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return good_files(tmp_path_factory.mktemp("hostile"))


def architecture(key, value):
    def change(file):
        file.facts["architecture"][key] = value
    return change


def layer(place, **arguments):
    """Other arguments for the layer at this place of the sequence: 0 dense1, 1 BatchNorm, 3 Residual, 4 Dropout."""
    def change(file):
        file.layers[place] |= arguments
    return change


def instead(*layers):
    """Another tree, over the same tensors."""
    def change(file):
        file.facts["architecture"]["tree"] = {"type": "Sequential", "name": "all", "layers": list(layers)}
    return change


def nested(depth):
    tree = {"type": "ReLU", "name": "last"}
    for i in range(depth):
        tree = {"type": "Sequential", "name": f"s{i}", "layers": [tree]}
    return tree


def doubling(depth):
    """Concats that would make the output 2^depth wide, with nothing to learn."""
    return [{"type": "Concat", "name": f"c{i}", "branches": [{"type": "Sequential", "name": f"a{i}", "layers": []},
                                                             {"type": "Sequential", "name": f"b{i}", "layers": []}]}
            for i in range(depth)]


def pool(**arguments):
    return {"type": "MaxPool2d", "name": "pool", "size": 2, "stride": None, "padding": "valid"} | arguments


def conv(**arguments):
    return {"type": "Conv2d", "name": "conv", "filters": 3, "kernel": 2, "stride": 1, "padding": "valid",
            "use_bias": True, "initialiser": "he"} | arguments


def on_images(*layers):
    def change(file):
        instead(*layers)(file)
        file.facts["architecture"]["input_shape"] = [4, 4, 2]
    return change


ARCHITECTURES = {
    "no table": (fact("architecture", 3), "the architecture is no table"),
    "a key too few": (lambda file: file.facts["architecture"].pop("dtype") and None, "the architecture is no table"),
    "a key too many": (architecture("module", "os"), "the architecture is no table"),
    "dtype float16": (architecture("dtype", "float16"), "dtype='float16'"),
    "dtype float64": (architecture("dtype", "float64"), "wants F64"),
    "dtype is a list": (architecture("dtype", ["float32"]), "dtype="),
    "input of 0": (architecture("input_shape", [0]), "input_shape=[0]"),
    "input of -8": (architecture("input_shape", [-8]), "input_shape=[-8]"),
    "input of true": (architecture("input_shape", [True]), "input_shape=[True]"),
    "input of 8.0": (architecture("input_shape", [8.0]), "input_shape=[8.0]"),
    "input of 10^12": (architecture("input_shape", [HUGE]), "input_shape=[1000000000000]"),
    "input without axes": (architecture("input_shape", []), "input_shape=[]"),
    "input of 10^4 axes": (architecture("input_shape", [1] * 10**4), "input_shape="),
    "input is a number": (architecture("input_shape", 8), "input_shape=8"),
    "input of another size": (architecture("input_shape", [9]), "dense1.weight.counts"),
    "an image": (architecture("input_shape", [2, 2, 2]), "put Flatten"),
    "the tree is a text": (architecture("tree", "Sequential"), "described by a table with its type"),
    "the tree is a list": (architecture("tree", []), "described by a table with its type"),
    "unknown layer": (layer(0, type="Lambda"), "unknown layer 'Lambda'"),
    "a layer of another module": (layer(0, type="os.system"), "unknown layer 'os.system'"),
    "type is a list": (layer(0, type=["Dense"]), "described by a table with its type"),
    "unknown argument": (layer(0, __class__="x"), "Dense is given"),
    "argument self": (layer(0, self=1), "Dense is given"),
    "argument missing": (lambda file: file.layers[0].pop("units") and None, "Dense is given"),
    "no name": (layer(0, name=None), "has a name of its own"),
    "name is a number": (layer(0, name=1), "has a name of its own"),
    "two of a name": (layer(0, name="relu1"), "has a name of its own"),
    "a name with a dot": (layer(2, name="a.b"), "must be letters, digits, _ and -"),
    "a name that climbs": (layer(2, name="../../x"), "must be letters, digits, _ and -"),
    "units 10^12": (layer(0, units=HUGE), "at most 2147483647"),
    "units 2^31 - 1": (layer(5, units=2**31 - 1), "gives 2,147,483,647 numbers"),
    "units 0": (layer(0, units=0), "units"),
    "units -1": (layer(0, units=-1), "units"),
    "units true": (layer(0, units=True), "units"),
    "units 64.0": (layer(0, units=64.0), "units"),
    "units '64'": (layer(0, units="64"), "units"),
    "units is a layer": (layer(0, units={"type": "ReLU", "name": "x"}), "units"),
    "units 4": (layer(5, units=4), "the architecture wants"),
    "use_bias 'no'": (layer(0, use_bias="no"), "use_bias of dense1='no'"),
    "use_bias false": (layer(0, use_bias=False), "tensor dense1.bias belongs to no parameter"),
    "unknown initialiser": (layer(0, initialiser="os.system"), "unknown initialiser 'os.system'"),
    "initialiser is a list": (layer(0, initialiser=[]), "unknown initialiser"),
    "momentum null": (layer(1, momentum=None), "momentum of batchnorm1=None"),
    "momentum true": (layer(1, momentum=True), "momentum of batchnorm1=True"),
    "momentum is a layer": (layer(1, momentum={"type": "ReLU", "name": "x"}), "momentum of batchnorm1={"),
    "momentum 2": (layer(1, momentum=2.0), "momentum of batchnorm1=2.0"),
    "epsilon -1": (layer(1, epsilon=-1.0), "epsilon of batchnorm1=-1.0"),
    "epsilon 1e300": (layer(1, epsilon=1e300), "epsilon of batchnorm1 is 1e+300"),
    "rate 1": (layer(4, rate=1.0), "rate"),
    "rate '0.5'": (layer(4, rate="0.5"), "rate of dropout1='0.5'"),
    "layers is a number": (lambda file: file.facts["architecture"]["tree"].update(layers=3), "wanted a list of layers"),
    "layers is a table": (lambda file: file.facts["architecture"]["tree"].update(layers={}), "wanted a list of layers"),
    "a layer is a number": (instead(1), "described by a table"),
    "a layer is null": (instead(None), "described by a table"),
    "branch is a number": (layer(3, branch=3), "holds 3, which is no layer"),
    "branch is null": (layer(3, branch=None), "holds None, which is no layer"),
    "shortcut is a list": (layer(3, shortcut=[]), "holds (), which is no layer"),
    "a residual of two widths": (layer(3, shortcut={"type": "Dense", "name": "x", "units": 3}), "adds the shapes"),
    "no branches": (instead({"type": "Concat", "name": "c", "branches": []}), "has no branches"),
    "layers nested 40 deep": (architecture("tree", nested(40)), "belongs to no parameter"),
    "layers nested 60 deep": (architecture("tree", nested(60)), "nested more than 100 deep"),
    "layers nested 10^4 deep": (lambda file: text(lambda good: good.replace('"units": 3', '"units": ' + '{"x":' * 10**4
                                                                          + "3" + "}" * 10**4))(file), "nested"),
    "10,001 layers": (instead(*({"type": "ReLU", "name": f"r{i}"} for i in range(10_001))), "more than 10,000 layers"),
    "2^40 wide without weights": (instead(*doubling(40)), "numbers for one row or image"),
    "another tree": (instead({"type": "Dense", "name": "dense9", "units": 64}), "belongs to no parameter"),
    "kernel 0": (on_images(conv(kernel=0)), "kernel of conv"),
    "kernel 10^12": (on_images(conv(kernel=HUGE)), "at most 2147483647"),
    "kernel 2^31 - 1": (on_images(conv(kernel=2**31 - 1, padding="same")), "belongs to no parameter"),
    "kernel of three": (on_images(conv(kernel=[1, 1, 1])), "kernel of conv"),
    "kernel of 10^5 ones": (on_images(conv(kernel=[1] * 10**5)), "kernel of conv"),
    "kernel in kernel": (on_images(conv(kernel=[[[HUGE]], 1])), "at most 2147483647"),
    "stride 0": (on_images(conv(stride=0)), "stride of conv"),
    "stride -1": (on_images(conv(stride=-1)), "stride of conv"),
    "padding huge": (on_images(conv(padding=10**9)), "padding"),
    "padding negative": (on_images(conv(padding=-1)), "padding"),
    "padding unknown": (on_images(conv(padding="full")), "padding"),
    "padding true": (on_images(conv(padding=True)), "padding"),
    "padding a layer": (on_images(conv(padding={"type": "ReLU", "name": "x"})), "padding"),
    "a window larger than the image": (on_images(conv(kernel=5)), "the smallest it takes is 5"),
    "a pool that makes an image huge": (on_images(pool(size=10**9, stride=1, padding=10**9 - 1)), "numbers for one"),
    "a convolution of rows": (instead(conv()), "takes images"),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_bad_architecture_is_refused(folder, name):
    change, wanted = ARCHITECTURES[name]
    read = (load,) if name.startswith("a name") else (load, describe)
    refuse(spoil(folder, change), wanted, read=read)


# --- runs ------------------------------------------------------------------------------------------------------------


def of_run(key, value):
    def change(file):
        file.facts["state"][key] = value
    return change


def of_optimizer(**fields):
    def change(file):
        file.facts["state"]["optimizer"] |= fields
    return change


def of_stream(**numbers):
    def change(file):
        file.facts["state"]["streams"][1] |= numbers
    return change


RUNS = {
    "no table": (fact("state", []), "an optimizer is described"),
    "no optimizer": (lambda file: file.facts["state"].pop("optimizer") and None, "an optimizer is described"),
    "a key too many": (of_run("hook", "os.system"), "the run is no table"),
    "a key too few": (lambda file: file.facts["state"].pop("batch") and None, "the run is no table"),
    "epoch -1": (of_run("epoch", -1), "epoch=-1"),
    "epoch true": (of_run("epoch", True), "epoch=True"),
    "epoch 1.5": (of_run("epoch", 1.5), "epoch=1.5"),
    "t null": (of_run("t", None), "t=None"),
    "seed -1": (of_run("seed", -1), "seed=-1"),
    "seed is a text": (of_run("seed", "0"), "seed='0'"),
    "loss_sum is a text": (of_run("loss_sum", "0"), "loss_sum='0'"),
    "threads 0": (of_run("threads", 0), "threads=0"),
    "threads 10^9": (of_run("threads", 10**9), "threads=1000000000"),
    "threads 3": (of_run("threads", 3), "no list of 3 streams"),
    "streams is a table": (of_run("streams", {}), "no list of 2 streams"),
    "a stream is null": (of_run("streams", [None, None]), "a stream of the run"),
    "a generator by name": (of_stream(bit_generator="MT19937"), "a stream of the run"),
    "state 2^128": (of_stream(state=2**128), "state of a stream"),
    "state -1": (of_stream(state=-1), "state of a stream"),
    "inc even": (of_stream(inc=2), "odd"),
    "has_uint32 2": (of_stream(has_uint32=2), "has_uint32 of a stream"),
    "uinteger 2^32": (of_stream(uinteger=2**32), "uinteger of a stream"),
    "unknown optimizer": (of_optimizer(type="LBFGS"), "unknown optimizer 'LBFGS'"),
    "another optimizer": (of_optimizer(type="SGD"), "SGD is given"),
    "a field too many": (of_optimizer(step="os.system"), "Adam is given"),
    "lr 0": (of_optimizer(lr=0), "lr=0"),
    "lr true": (of_optimizer(lr=True), "lr of Adam=True"),
    "lr is a text": (of_optimizer(lr="0.1"), "lr of Adam='0.1'"),
    "one beta": (of_optimizer(betas=[0.9]), "betas of Adam"),
    "a beta of 2": (of_optimizer(betas=[0.9, 2]), "betas"),
    "betas is a number": (of_optimizer(betas=0.9), "betas of Adam"),
    "eps -1": (of_optimizer(eps=-1.0), "eps=-1.0"),
    "decoupled 'yes'": (of_optimizer(decoupled="yes"), "decoupled of Adam='yes'"),
    "no vectors": (other("state.vectors", None), "tensor state.vectors is missing"),
    "one vector": (other("state.vectors", np.zeros((1, 5000), "f4")), "tensor state.vectors is F32 of shape (1, 5000)"),
    "NaN in a vector": (bit("state.vectors", 7, np.nan), "state.vectors holds 1 numbers"),
    "a run said to be a model": (lambda file: fact("kind", "model")(file), "of the kind 'model'"),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_bad_run_is_refused(folder, name):
    change, wanted = RUNS[name]
    refuse(spoil(folder, change, "run"), wanted, read=(load,))

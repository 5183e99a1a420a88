"""Make a Model of what Keras saved whole: the architecture by its description, and its weights.

    model = model_of(read_saved("net.keras"), "net.keras", "auto")

A Sequential is walked layer by layer, a Functional from its output back; models inside models are taken apart. The
description is data: nothing in it is built or executed, and layers that minnet lacks are all listed at once.
"""
import itertools
import re
import warnings
from collections import Counter

import numpy as np

from minnet.data import Signature
from minnet.data.signature import AS_GIVEN
from minnet.engine.activations import Sigmoid
from minnet.engine.model import name_layers
from minnet.engine.more_activations import Softmax
from minnet.errors import MinnetError, file_error, quoted
from minnet.formats.architecture import read_architecture
from minnet.formats.assign import put
from minnet.formats.ends import two_logits
from minnet.formats.keras_config import DEEPEST, MODELS, LayerSpec, all_layers, inner_specs
from minnet.formats.keras_layers import LAYERS, WITH_NUMBERS
from minnet.formats.keras_net import LARGEST, KerasNet, Wire, label
from minnet.formats.onnx_fold import UnsupportedGraph
from minnet.formats.onnx_tree import Item, tree_of
from minnet.model import Model

MOST_CALLS = 20_000     # of layers, those of a model that is used often counted each time
MOST_TOLD = 8
MOST_AXES = 8
MOST_INPUTS = 1_000     # of one layer
WEIGHTS_ONLY = "give their architecture with --model NAME or FILE; in Python load_keras(model, path)"
WAY_OUT = 'or write it as ONNX where Keras is installed: model.export("net.onnx", format="onnx")'
ENLARGES = "minnet has no layer that enlarges images: end the net before it"
RECURRENT = "minnet has no recurrent layers"
IN_NO_FORM = {      # layers that cannot be read from ONNX either, and why
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "UpSampling1D", "UpSampling2D"), ENLARGES),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM2D", "TimeDistributed"), RECURRENT),
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention"),
                    "minnet has no attention"),
    "UnitNormalization": "take BatchNormalization or LayerNormalization instead",
}
NUMBERS = re.compile(r"mse|mae|mape|msle|huber|log_?cosh|mean_?(squared|absolute)\w*|poisson", re.IGNORECASE)
BINARY = re.compile(r"binary_?crossentropy", re.IGNORECASE)
QUANTISED = re.compile(r"(\w[^_]*)\S*_from")     # a policy such as "int8_from_float32"


class InNoForm(UnsupportedGraph):
    """A net with a layer that cannot be read from ONNX either."""


def model_of(saved, path, zeros):
    """Return the Model in what was `saved` in the file `path`; `zeros` as for `load_keras`.

    Raises FileError.
    """
    if saved.model is None:
        raise file_error(path, "contains weights only", WEIGHTS_ONLY)
    try:
        whole = _outermost(saved.model)
        _refuse_unknown(whole)
        net = KerasNet(_finder(saved))
        with np.errstate(all="ignore"):  # what is not finite is refused where it becomes a weight or a scaling
            model = _model(net, _Walk(net).outermost(whole), path, zeros, saved.loss)
    except UnsupportedGraph as error:
        way_out = None if isinstance(error, InNoForm) else WAY_OUT
        raise file_error(path, f"cannot be read: {' '.join(str(error).split())}", way_out) from error
    if net.repeated:
        warnings.warn(f"{quoted(', '.join(net.repeated[:MOST_TOLD]))}: used twice in the file, here a layer for each "
                      "use, which are trained and pruned apart", UserWarning, stacklevel=3)
    return model


def _outermost(model):
    """Return the whole model as a LayerSpec."""
    kind = model.get("class_name") if isinstance(model, dict) else None
    config = model.get("config") if isinstance(model, dict) else None
    if isinstance(config, list):  # Keras 1 and early 2: a Sequential is a list of its layers
        config = {"layers": config}
    if not isinstance(config, dict) or not isinstance(kind, str):
        raise UnsupportedGraph(f"its description is {quoted(repr(model))}, no model")
    if kind not in MODELS or not isinstance(config.get("layers"), list):
        raise UnsupportedGraph(f"it is of the class {quoted(kind)}, whose code is not in the file: only Sequential and "
                               "Functional models describe themselves")
    return LayerSpec(kind, config, "", "", ())


def _refuse_unknown(whole):
    """Refuse layers that minnet lacks, that are code, quantised, or channels first: all of them at once."""
    found, quantised = {}, []
    for spec in all_layers({"config": whole.config}):
        if spec.custom or (spec.kind not in LAYERS and spec.kind not in MODELS and spec.kind != "InputLayer"):
            found.setdefault(_kind(spec), []).append(spec.name)
        quantised += [(spec.name, mode) for mode in [_quantisation(spec.config.get("dtype"))] if mode]
        if spec.config.get("data_format") == "channels_first":
            found.setdefault("layers that are channels first", []).append(spec.name)
    if quantised:
        name, mode = quantised[0]
        raise UnsupportedGraph(f"{quoted(name)} is quantised to {quoted(mode)}: save the model before its quantize() "
                               "is called")
    if found:
        listed = [f"{quoted(kind)} ({quoted(', '.join(names[:3]))})"
                  + (f", {IN_NO_FORM[kind]}" if kind in IN_NO_FORM else "") for kind, names in found.items()]
        kind = InNoForm if IN_NO_FORM.keys() & found else UnsupportedGraph
        raise kind(f"minnet has no {'; no '.join(listed[:MOST_TOLD])}")


def _kind(spec):
    """Return the class of a layer that cannot be read, and the reason where it is code."""
    if spec.kind == "Lambda":
        return "Lambda, which is code, and no code of a file is executed"
    return f"{spec.custom or spec.kind}, which is none of Keras's own" if spec.custom or ">" in spec.kind else spec.kind


def _quantisation(policy):
    """Return how a layer is quantised, by its dtype policy, or an empty text."""
    if isinstance(policy, dict) and isinstance(policy.get("config"), dict):
        policy = f"{policy['config'].get('mode', '')}_from"
    found = QUANTISED.match(policy) if isinstance(policy, str) else None
    return found.group(1) if found else ""


def _finder(saved):
    """Return the function that gives {name of a weight: array} of a LayerSpec, or None."""
    groups = {}
    for entry in saved.entries:
        folder, _, name = entry.weight.rpartition("/")
        if saved.layout == "names":
            key = (entry.layer, folder)
        else:
            key = re.sub(r"^_layer_checkpoint_dependencies", "layers", entry.layer)
        groups.setdefault(key, {})[name.removesuffix(":0")] = entry.value
    if saved.layout != "names":
        return lambda spec: groups.get(spec.place)
    return lambda spec: _by_trail(spec, {folder: arrays for (top, folder), arrays in groups.items()
                                         if top == spec.trail[0]})


def _by_trail(spec, folders):
    """Return what {folder: arrays} of a group has for a layer: by the names of the models that hold it, and its own.

    Keras begins a folder with more or fewer of these names; the last one is the layer's. Keras 1 has no folders.
    """
    if len(spec.trail) == 1 and len(folders) == 1:
        return next(iter(folders.values()))
    alike = {folder: _in_common(folder.split("/")[::-1], spec.trail[::-1]) for folder in folders}
    best = [folder for folder in folders if alike[folder] == max(alike.values()) > 0]
    if len(best) > 1:
        raise UnsupportedGraph(f"{label(spec)} may have the weights of {quoted(', '.join(best))}: save it as .keras")
    return folders[best[0]] if best else None


def _in_common(names, others):
    """Return how many names two lists begin with alike."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(names, others, strict=False)))


# --- the walk --------------------------------------------------------------------------------------------------------


class _Walk:
    """The walk through a model's description, which calls its layers; `calls` counts them, so that it ends."""

    def __init__(self, net):
        self.net = net
        self.calls = 0

    def outermost(self, whole):
        """Return the Wire of the output of the whole model."""
        self.net.shape = _input_shape(whole)
        self.net.old = any("batch_input_shape" in spec.config for spec in inner_specs(whole.config))
        return self.model(whole, [Wire(0, self.net.shape)], 0)

    def call(self, spec, wires, depth):
        """Return the output of one layer for these inputs."""
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise UnsupportedGraph(f"it calls its layers more than {MOST_CALLS:,} times")
        if spec.kind in MODELS:
            return self.model(spec, wires, depth + 1)
        if spec.kind not in LAYERS:
            raise UnsupportedGraph(f"{label(spec)} is no layer that can be called")
        try:
            return LAYERS[spec.kind](self.net, spec, *wires)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            raise UnsupportedGraph(f"{label(spec)} does not fit its {len(wires)} inputs: {error}") from error

    def model(self, spec, wires, depth):
        """Return the output of a model inside a model."""
        if depth > DEEPEST:
            raise UnsupportedGraph(f"it has models inside models, more than {DEEPEST} deep")
        inner = inner_specs(spec.config, f"{spec.place}/" if spec.place else "", spec.trail)
        told = spec.config.get("layers")
        if not isinstance(told, list) or len(inner) != len(told):
            raise UnsupportedGraph(f"{label(spec) if spec.place else 'it'} describes a layer without its class or its "
                                   "arguments")
        if spec.kind == "Sequential":
            if len(wires) != 1:
                raise UnsupportedGraph(f"{label(spec)} is given {len(wires)} inputs")
            x = wires[0]
            for layer in inner:
                x = x if layer.kind == "InputLayer" else self.call(layer, [x], depth)
            return x
        return self.functional(spec, inner, wires, depth)

    def functional(self, spec, inner, wires, depth):
        """Return the output of a graph of layers: what each output needs is computed first."""
        by_name = {layer.name: layer for layer in inner}
        inputs, outputs = (_ends(spec, key) for key in ("input_layers", "output_layers"))
        if len(inputs) != len(wires) or len(outputs) != 1:
            raise UnsupportedGraph(f"{label(spec) if spec.place else 'it'} has {len(inputs)} inputs and {len(outputs)} "
                                   "outputs; one of each can be read")
        values, waiting, begun = dict(zip(inputs, wires, strict=True)), list(outputs), set()
        while waiting:
            key = waiting[-1]
            if key in values:
                waiting.pop()
                continue
            needed = _call_inputs(by_name.get(key[0]), key)
            missing = [other for other in needed if isinstance(other, tuple) and other not in values]
            if missing and key in begun:
                raise UnsupportedGraph(f"{quoted(key[0])} depends on itself")
            begun.add(key)
            waiting += missing
            if not missing:
                given = [values[other] if isinstance(other, tuple) else other for other in needed]
                values[key] = self.call(by_name[key[0]], given, depth)
        return values[outputs[0]]


def _input_shape(whole):
    """Return the shape of one row or image of a whole model."""
    first = next(iter(inner_specs(whole.config)), None)
    layers = [first] if whole.kind == "Sequential" else inner_specs(whole.config)
    shapes = [spec.config.get("batch_shape", spec.config.get("batch_input_shape")) for spec in layers if spec and (
        spec.kind == "InputLayer" or whole.kind == "Sequential")]
    shape = shapes[0] if shapes else None
    shape = whole.config.get("build_input_shape") if shape is None else shape
    sizes = shape[1:] if isinstance(shape, list) else []
    if not sizes or len(sizes) > MOST_AXES or not all(type(n) is int and 1 <= n <= LARGEST for n in sizes):
        raise UnsupportedGraph(f"its input has the shape {quoted(repr(shape))}; wanted all sizes but that of the "
                               "batch: give the model an Input(shape)")
    return tuple(sizes)


def _ends(spec, key):
    """Return [(name, call)] of the inputs or outputs of a Functional model."""
    given = spec.config.get(key)
    if isinstance(given, dict):
        raise UnsupportedGraph(f"its {key} have names: only one input and one output can be read")
    given = given if isinstance(given, list) else []
    return [_reference(one) for one in ([given] if given and isinstance(given[0], str) else given)]


def _reference(given):
    """Return (name of a layer, number of its call) of a reference to what it gives."""
    fits = isinstance(given, list) and len(given) >= 3 and isinstance(given[0], str) and type(given[1]) is int
    if not fits or given[2] != 0:
        raise UnsupportedGraph(f"it refers to {quoted(repr(given))}; wanted the one output of a layer")
    return given[0], given[1]


def _call_inputs(spec, key):
    """Return the references of what a layer is given at one call, and the numbers that a function of keras.ops is."""
    calls = spec.calls if spec is not None and isinstance(spec.calls, list) else []
    if not 0 <= key[1] < len(calls):
        raise UnsupportedGraph(f"it refers to call {key[1]} of {quoted(key[0])}, of which there are {len(calls)}")
    call = calls[key[1]]
    if isinstance(call, dict):
        waiting, found = [*_tensors_among(call.get("kwargs")), call.get("args")], []
        while waiting:
            one = waiting.pop()
            if isinstance(one, list) and len(one) <= MOST_INPUTS >= len(found):
                waiting += reversed(one)
            elif isinstance(one, dict) and isinstance(one.get("config"), dict):
                found.append(_reference(one["config"].get("keras_history")))
            elif spec.kind in WITH_NUMBERS and type(one) in (int, float):
                found.append(one)
            else:
                raise UnsupportedGraph(f"{label(spec)} is given {quoted(repr(one))}, which is no output of a layer")
        return found
    return [_reference(one) for one in (call if isinstance(call, list) else [call])]


def _tensors_among(kwargs):
    """Return what of the named arguments of a call comes from another layer: masks, mostly none."""
    return [value for value in (kwargs.values() if isinstance(kwargs, dict) else ()) if isinstance(value, dict | list)]


# --- the model -------------------------------------------------------------------------------------------------------


def _model(net, end, path, zeros, loss):
    """Return the Model of the items, with their numbers and what is known of its inputs and outputs."""
    if any(end.pads):
        raise UnsupportedGraph("its output is padding")
    last, task = _logits(net, end, loss)
    last, scaling = _scaling(net, last)
    shapes = {net.shapes[i] for i, item in enumerate(net.items) if item.layer is not None and 0 in item.inputs}
    if len(shapes) > 1:
        raise UnsupportedGraph(f"its input is read in the shapes {', '.join(map(str, sorted(shapes)))}")
    shape = next(iter(shapes), end.shape)
    tree = tree_of(net.items, last)
    layers = [item for item in net.items if item.layer is not None and not isinstance(item.layer, str)]
    taken = Counter(item.layer.name for item in layers)
    for item in layers:
        item.layer.name = item.layer.name if taken[item.layer.name] == 1 and item.layer.name != "layer" else None
    name_layers(tree)
    arrays = {f"{item.layer.name}.{kind}": array for item in layers for kind, array in item.values.items()}
    double = any(array.dtype == np.float64 for item in layers for kind, array in item.values.items()
                 if kind == "weight")
    try:
        read_architecture({"tree": tree.config(), "input_shape": list(shape), "dtype": "float32"})
        model = Model.blank(tree, shape, np.float64 if double else np.float32)
        model.signature = _signature(shape, scaling, task, shape != net.shape)
    except MinnetError as error:
        raise UnsupportedGraph(str(error)) from error
    put(model, {name: array for name, array in arrays.items() if name in model.parameters}, path, zeros=zeros)
    return model


def _logits(net, end, loss):
    """Return (number of the item that gives logits or numbers, the task, None where it is not known)."""
    loss = loss if isinstance(loss, dict) else {"class_name": loss}
    name, config = loss.get("class_name"), loss.get("config")
    name = name if isinstance(name, str) else config if isinstance(config, str) else ""
    item = net.items[end.item]
    if len(end.shape) != 1:
        return end.item, None
    if isinstance(item.layer, Softmax | Sigmoid):
        net.items[end.item] = Item(inputs=(0,))
        before = item.inputs[0]
        if isinstance(item.layer, Softmax):
            return before, "classes"
        return (two_logits(net.items, before), "classes") if end.shape == (1,) else (before, "multilabel")
    if end.shape == (1,) and BINARY.search(name):
        return two_logits(net.items, end.item), "classes"
    return end.item, "numbers" if NUMBERS.search(name) else None


def _scaling(net, end):
    """Take the scaling that comes first out of the net; return (the last item, (shift, scale) or None)."""
    scaling = None
    while True:
        readers = [i for i, item in enumerate(net.items) if item.layer is not None and 0 in item.inputs]
        if len(readers) != 1 or readers[0] not in net.affine or readers[0] == end:
            break
        factor, shift, _ = net.affine[readers[0]]
        if not factor.all():
            break
        less, over = (0.0, 1.0) if scaling is None else scaling   # y = (x - less) / over, then factor y + shift
        scaling = less - shift * over / factor, over / factor
        net.items[readers[0]] = Item(inputs=(0,))
        for item in net.items:
            item.inputs = tuple(0 if i == readers[0] else i for i in item.inputs)
    left = [i for i, (_, _, fits) in net.affine.items() if not fits and net.items[i].layer is not None]
    if left:
        raise UnsupportedGraph(f"{net.items[left[0]].label} has more than one number per channel, which only what the "
                               "input is scaled by can have")
    return end, scaling


def _signature(shape, scaling, task, reshaped):
    """Return what is known of the inputs and outputs, or None; `reshaped` if rows may come in another shape."""
    if scaling is None and task in (None, "classes") and not reshaped:
        return None
    return Signature(shape, scaling=scaling, task=task or AS_GIVEN)

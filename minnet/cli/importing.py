"""Import a model from another framework as DIR/model.safetensors, which every command accepts.

  minnet import model.onnx                                      the whole model
  minnet import model.keras                                     Keras's, whole: .keras, or .h5 with its architecture
  minnet import vgg16.h5 --model vgg16 --shape 32,32,3          Keras's weights, into one of minnet's architectures
  minnet import net.safetensors                                 a PyTorch state dict of Linear layers, ReLU between
  minnet import net.safetensors --shape 28,28,1                 one of convolutions too, where only one net fits
  minnet import net.safetensors --model mine.safetensors        any other, into the architecture of a saved model
  minnet import model.onnx --classes setosa,versicolor,virginica --scaling 0,255      what it takes and gives

The model takes rows as given, unless --scaling says otherwise; --classes and --feature-names are recorded with it.
A pruned net comes in pruned: weights that are exactly 0 are masked in layers where they are many; --zeros keep leaves
them live, --zeros mask masks all. Weights are assigned to layers by name, or in order in a chain; if any does not fit,
the error says which, and nothing is written. No code in a file is executed, and no other file is read but the weights
of an ONNX model that lie in a second file beside it.
"""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import TASKS, out_option, output_folder
from minnet.cli.parser import Parser
from minnet.cli.tables import facts_text
from minnet.errors import InvalidValue, file_error, quoted
from minnet.study.settings import PRETRAINED

if TYPE_CHECKING:  # NumPy is loaded by `run` alone
    from minnet.data import Signature
    from minnet.model import Model

ZEROS = ("auto", "mask", "keep")  # as in formats/assign.py, which would load NumPy
LOADERS = {"hdf5": "Keras's weights", "keras": "Keras's weights", "safetensors": "a PyTorch state dict"}


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("what", metavar="FILE", help="ONNX model, Keras's .h5 or .keras, or PyTorch's .safetensors")
    add("--model", metavar="NAME", help="architecture for weights: a name, or the file of a saved model")
    add("--shape", type=kinds.sizes, metavar="H,W,C", help="shape of one input, for an architecture given by name")
    add("--classes", metavar="N or NAMES", help="number of outputs, or their labels in order, as in no,yes")
    add("--feature-names", metavar="NAMES", help="names of the columns, in the model's order, as in age,height")
    add("--scaling", metavar="SHIFT,SCALE",
        help="two numbers: the model takes (x - SHIFT) / SCALE of raw values, as in 0,255 (default: values as given)")
    add("--task", choices=TASKS,
        help="what the outputs are: classes, or numbers, or labels, of which a row has any number (default: as the "
             "file says)")
    add("--zeros", choices=ZEROS, default="auto",
        help="weights that are exactly 0: mask them, keep them live, or (auto) mask those of layers where they are 5%% "
             "of the weights or more")
    out_option(parser)


def tables() -> dict[str, Mapping]:
    """Return the tables of names that can be given."""
    from minnet.models import MODELS

    return {"models": MODELS}


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    out = output_folder(args)
    from minnet.cli.writing import write_and_describe
    from minnet.formats.storage import file_bytes
    from minnet.study.folder import MODEL
    from minnet.study.result import plain

    model, unused, kind = _imported(args)
    if args.shape is not None and tuple(args.shape) != tuple(model.input_shape):
        raise InvalidValue(f"--shape {','.join(map(str, args.shape))}: the model takes rows of "
                           f"{','.join(map(str, model.input_shape))}: leave --shape out")
    if args.task == "multilabel":
        from minnet.engine.split import as_logits

        model = as_logits(model)
    model.signature = signature_from(args, model)
    message = write_and_describe({MODEL: file_bytes(model, made={"imported": kind})}, out,
                                 spared=[args.what, args.model or args.what])
    facts = {"imported": kind, "input_shape": " x ".join(map(str, model.input_shape)),
             "outputs": " x ".join(map(str, model.output_shape)), "parameters": model.n_parameters, "macs": model.macs,
             "sparsity": round(model.sparsity, 4), "not_used": quoted(", ".join(unused)) or None}
    console.result(facts_text(facts), plain(facts | {"not_used": unused}))
    if model.sparsity > 0:
        console.info(f"{model.sparsity:.1%} of its weights are 0 and come in masked; --zeros keep leaves them live")
    console.info(message)


def signature_from(args: Namespace, model: Model) -> Signature:
    """Return the signature that the options give, beside what the file told: rows as given, labels 0 ... k-1."""
    from minnet.data import Signature

    k, told = model.output_shape[-1], model.signature
    if args.task == "regression" or (args.task is None and told is not None and told.task == "numbers"):
        return _signature_of_numbers(args, model)
    classes = list(range(k)) if told is None or told.classes is None else told.classes
    task = "multilabel" if (args.task or (told and told.task)) == "multilabel" else "classes"
    same = told is not None and (told.task == "multilabel") == (task == "multilabel")
    target = told.target if same else None
    if args.classes is not None and not _is_number(args.classes):
        classes = _labels(args.classes)
        if len(classes) != k:
            raise InvalidValue(f"--classes {quoted(args.classes)}: {len(classes)} labels; the model has {k} outputs")
        target = tuple(map(str, classes)) if task == "multilabel" and target is None else target
    return Signature(model.input_shape, classes, *_inputs(args, told), task, target, encoding=told and told.encoding)


def _signature_of_numbers(args, model):
    """Return the signature of a model that gives numbers: as the file told, or as they are."""
    from minnet.data import Signature

    known = model.signature
    told = known if known is not None and known.task == "numbers" else None
    if args.classes is not None and not _is_number(args.classes):
        raise InvalidValue(f"--classes {quoted(args.classes)}: the model gives numbers, without labels: leave it out")
    scaling, names = _inputs(args, known)
    return Signature(model.input_shape, None, scaling, names, "numbers", told and told.target,
                     told and told.target_scaling, encoding=known and known.encoding)


def _inputs(args, told):
    """Return the scaling and the names of the columns: as the options say, or as the file told."""
    names, scaling = told and told.feature_names, told and told.scaling
    if args.feature_names is not None:
        names = tuple(name.strip() for name in args.feature_names.split(","))
    if args.scaling is not None:
        try:
            scaling = tuple(float(number) for number in args.scaling.split(","))
        except ValueError as error:
            raise InvalidValue(f"--scaling {quoted(args.scaling)}: give two numbers, as in 0,255") from error
    return scaling, names


def _labels(text):
    """Return the labels in a text, separated by commas: whole numbers where all are, as in a table."""
    labels = [label.strip() for label in text.split(",")]
    return list(map(int, labels)) if all(_is_number(label.removeprefix("-")) for label in labels) else labels


def _is_number(text):
    """Return True if the text is a whole number: that of the outputs, not their labels."""
    return text.isascii() and text.isdigit()


def _imported(args):
    """Return the model, the names in the file that no layer used, and the kind of the file."""
    from minnet.files import KINDS, sniff

    kind = sniff(args.what)
    if kind == "onnx":
        from minnet.formats.onnx_read import load_onnx

        if args.model is not None:
            raise InvalidValue(f"--model {quoted(args.model)}: {quoted(args.what)} is a whole model: leave --model out")
        logits = args.task not in ("regression", "multilabel")  # these keep a Sigmoid, or leave it out by themselves
        return load_onnx(args.what, zeros=args.zeros, logits=logits), [], "an ONNX model"
    from minnet.formats.keras import load_keras
    from minnet.formats.torch_state import PICKLE, load_torch

    if kind == "pickle":
        raise file_error(args.what, *PICKLE)
    if kind not in LOADERS:
        raise file_error(args.what, f"is {KINDS[kind]}", "give an ONNX model, or weights of Keras or PyTorch")
    if args.model is None:
        if kind == "safetensors":
            return load_torch(args.what, zeros=args.zeros, shape=args.shape), [], LOADERS[kind]
        return load_keras(args.what, zeros=args.zeros), [], "a Keras model"
    model = _architecture(args)
    load = load_torch if kind == "safetensors" else load_keras
    return model, load(model, args.what, zeros=args.zeros), LOADERS[kind]


def _architecture(args):
    """Return the model that the weights are assigned to."""
    import os

    from minnet.errors import check_choice
    from minnet.models import MODELS
    from minnet.study.training import load_model

    if os.path.isfile(args.model):
        return load_model(args.model)
    make = check_choice("model", args.model, MODELS)
    if args.shape is None:
        raise InvalidValue(f"--model {args.model}: give the shape of its input, as in --shape 32,32,3")
    if args.classes is None and args.model != PRETRAINED:
        raise InvalidValue(f"--model {args.model}: give its number of outputs, as in --classes 10")
    outputs = args.classes and (int(args.classes) if _is_number(args.classes) else args.classes.count(",") + 1)
    return make(args.shape, outputs, rng=args.seed)

"""Export a model to another framework or runtime.

  minnet export minnet-out/model.safetensors --to onnx          writes DIR/model.onnx, images (n, c, h, w)
  minnet export minnet-out/model.safetensors --to onnx --sparse         pruned weights as indices and values
  minnet export minnet-out/model.safetensors --to onnx --precision int8         weights in 8 bits
  minnet export model.onnx --to safetensors                     writes DIR/weights.safetensors, for PyTorch
  minnet export minnet-out/model.safetensors --to c             writes DIR/model.c and model.h, for any C99 compiler
  minnet export minnet-out --to c --name gesture --precision int8       gesture.c, weights in 8 bits
  minnet export minnet-out --to c --arithmetic int8 --data digits --vectors 9        integers alone

Options of one format are refused for another.
"""
from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import DATA_HELP, data_options, out_option, output_folder, reading
from minnet.cli.parser import Parser
from minnet.errors import InvalidValue, quoted

if TYPE_CHECKING:  # NumPy is loaded by `run` alone
    import numpy as np

    from minnet.model import Model

CHOICES = ("name", "precision", "scales", "places", "arithmetic")
OF_FORMAT = {"onnx": ("sparse", "channels_last", "precision"), "c": (*CHOICES, "data", "vectors")}
CALIBRATION = 1000   # rows
FILES = {"onnx": "model.onnx", "c": "model.c", "safetensors": "weights.safetensors"}


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("what", metavar="MODEL_FILE", type=kinds.model_file,
                        help="file of a saved model, or an ONNX model")
    add("--to", choices=FILES, required=True,
        help="output format: an ONNX model, C99 source with the weights, or weights in PyTorch's layout")
    add("--sparse", action="store_true",
        help="onnx: store only nonzero weights (runtimes expand them at load; their own quantisers do not see them: "
             "add --precision int8 instead)")
    add("--channels-last", action="store_true", help="onnx: images in TensorFlow's layout, (n, h, w, c)")
    add("--name", metavar="WORD", help="c: what files and symbols begin with (default: model.c, minnet_predict)")
    add("--precision", choices=("float32", "int8"),
        help="onnx, c: weights as floats (default), or in 8 bits times a scale")
    add("--scales", choices=("unit", "layer"), help="c, int8: a scale for each unit (default), or one for a layer")
    add("--places", choices=("auto", "4", "8", "16", "32"),
        help="c: bits of the place of a weight that is left (default: auto, the fewest bytes)")
    add("--arithmetic", choices=("float", "int8"), help="c: compute with floats (default), or with integers alone")
    add("--data", metavar="DATA",
        help=f"c: data whose training part says which numbers occur in integers, and is tested with: {DATA_HELP}")
    add("--vectors", type=kinds.integer(0), metavar="N", default=0,
        help="c: also write N test vectors, and a program that compares (default: 0)")
    data_options(parser)
    out_option(parser)


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    check_formats(args)
    out = output_folder(args)
    from minnet.formats.onnx_write import onnx_bytes
    from minnet.formats.torch_state import torch_bytes
    from minnet.study.folder import write_files
    from minnet.study.training import load_model

    model, others = load_model(args.what), {}
    if args.to == "onnx":
        data = onnx_bytes(model, sparse=args.sparse, channels_last=args.channels_last, precision=args.precision)
    elif args.to == "c":
        others = c_texts(model, args)
        data = others.pop(".c")
    else:
        data = torch_bytes(model)
    name = FILES[args.to] if args.name is None else f"{args.name}.c"
    write_files(out, {name: data} | {name.removesuffix(".c") + ending: text for ending, text in others.items()})
    console.result(str(out / name), {"file": str(out / name), "bytes": len(data), "format": args.to})
    console.info(f"wrote {name} ({len(data):,} bytes) to {quoted(str(out))}; {takes(model, args.to)}")
    if args.arithmetic == "int8":
        word = args.name or "minnet"
        console.info(f"it computes with integers: {word}_quantise makes its input of such a row, "
                     f"{word}_dequantise real numbers of its output")


def check_formats(args: Namespace) -> None:
    """Refuse the options of one format for another."""
    for to, names in OF_FORMAT.items():
        given = [name for name in names if getattr(args, name) and name not in OF_FORMAT.get(args.to, ())]
        if given:
            options = " and ".join("--" + name.replace("_", "-") for name in given)
            raise InvalidValue(f"{options} apply to --to {to}, not to --to {args.to}")


def c_texts(model: Model, args: Namespace) -> dict[str, bytes]:
    """Return the texts of C by their endings."""
    from minnet.formats.c_source import c_files, check_choices
    from minnet.formats.c_writer import Choices

    given = {name: getattr(args, name) for name in CHOICES if getattr(args, name) is not None}
    if given.get("places", "auto") != "auto":
        given["places"] = int(given["places"])
    if given.get("arithmetic") == "int8":
        given.setdefault("precision", "int8")
        if args.data is None:
            raise InvalidValue("--arithmetic int8 needs rows that say which numbers occur: name the training data, as "
                               "in --data digits")
    choices = check_choices(Choices(**given))
    rows = None if args.data is None else calibration(model, args)
    texts = c_files(model, choices, calibration=rows, vectors=args.vectors, stem=args.name or "model")
    return {ending: text.encode() for ending, text in texts.items()}


def calibration(model: Model, args: Namespace) -> np.ndarray:
    """Return rows of the training part of --data, drawn at random."""
    import numpy as np

    from minnet.csr import is_sparse
    from minnet.study.training import data_for

    X = data_for(model, args.data, 0, reading(args)).X_train
    chosen = np.random.default_rng(0).permutation(X.shape[0])[:CALIBRATION]
    return X[chosen].toarray() if is_sparse(X) else X[chosen]


def takes(model: Model, to: str) -> str:
    """Return what the file takes, in a few words."""
    if model.signature is None:
        return "it takes the model's own input, and the model says of none how it was scaled"
    if to == "safetensors":
        return "it holds the weights alone: the scaling and the labels are not in it"
    known = "" if model.signature.classes is None else f"; the {len(model.signature.classes)} labels are in the file"
    known += {"numbers": "; it gives numbers in the units of the target",
              "multilabel": "; a row has the labels whose output is above 0"}.get(model.signature.task, "")
    encoding = model.signature.encoding
    if encoding is not None and not encoding.of_numbers:
        columns = ", ".join(quoted(name) for name in encoding.of_kind("categories", "words", "hashed"))
        return f"categories and text ({columns}) cannot be exported: it takes the {model.input_shape[0]:,} columns " \
               "that it names instead, 0 and 1 of categories, counts of words" + known
    scaled = "raw values, which it scales itself" if model.signature.scaling is not None else "values as given"
    return f"it takes rows of {' x '.join(map(str, model.input_shape))} {scaled}{known}"

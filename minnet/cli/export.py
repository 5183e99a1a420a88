"""Export a model to another framework or runtime.

  minnet export minnet-out/model.safetensors --to onnx          writes DIR/model.onnx, images (n, c, h, w)
  minnet export minnet-out/model.safetensors --to onnx --sparse         pruned weights as indices and values
  minnet export model.onnx --to safetensors                     writes DIR/weights.safetensors, for PyTorch
  minnet export minnet-out/model.safetensors --to c             writes DIR/model.c, for any C99 compiler

Options of one format are refused for another.
"""
from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from minnet.cli import parser as kinds
from minnet.cli.console import Console
from minnet.cli.options import out_option, output_folder
from minnet.cli.parser import Parser
from minnet.errors import InvalidValue, quoted

if TYPE_CHECKING:  # NumPy is loaded by `run` alone
    from minnet.model import Model

FILES = {"onnx": "model.onnx", "c": "model.c", "safetensors": "weights.safetensors"}


def options(parser: Parser) -> None:
    """Add the options of the command."""
    add = parser.options.add_argument
    parser.add_argument("what", metavar="MODEL_FILE", type=kinds.model_file,
                        help="file of a saved model, or an ONNX model")
    add("--to", choices=FILES, required=True,
        help="output format: an ONNX model, C99 source with the weights, or weights in PyTorch's layout")
    add("--sparse", action="store_true", help="onnx: store only nonzero weights (runtimes expand them at load)")
    add("--channels-last", action="store_true", help="onnx: images in TensorFlow's layout, (n, h, w, c)")
    out_option(parser)


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    if args.to != "onnx" and (args.sparse or args.channels_last):
        raise InvalidValue(f"--sparse and --channels-last apply to --to onnx, not to --to {args.to}")
    out = output_folder(args)
    from minnet.formats.c_source import c_source
    from minnet.formats.onnx_write import onnx_bytes
    from minnet.formats.torch_state import torch_bytes
    from minnet.study.folder import write_files
    from minnet.study.training import load_model

    model = load_model(args.what)
    if args.to == "onnx":
        data = onnx_bytes(model, sparse=args.sparse, channels_last=args.channels_last)
    elif args.to == "c":
        data = c_source(model).encode()
    else:
        data = torch_bytes(model)
    name = FILES[args.to]
    write_files(out, {name: data})
    console.result(str(out / name), {"file": str(out / name), "bytes": len(data), "format": args.to})
    console.info(f"wrote {name} ({len(data):,} bytes) to {quoted(str(out))}; {takes(model, args.to)}")


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
    return f"it takes {scaled}, {' x '.join(map(str, model.input_shape))}{known}"

"""Hand a model on to another framework or runtime.

  minnet export minnet-out/model.safetensors --to onnx          writes DIR/model.onnx, images (n, c, h, w)
  minnet export minnet-out/model.safetensors --to onnx --sparse         pruned weights as places and values
  minnet export model.onnx --to safetensors                     writes DIR/weights.safetensors, for PyTorch
  minnet export minnet-out/model.safetensors --to c             writes DIR/model.c, for any C99 compiler
"""
from minnet.cli.options import checked_out, out_option
from minnet.errors import InvalidValue, quoted

FILES = {"onnx": "model.onnx", "c": "model.c", "safetensors": "weights.safetensors"}


def options(parser):
    """What it takes."""
    add = parser.options.add_argument
    parser.add_argument("what", metavar="MODEL_FILE", help="a saved model, or an ONNX model")
    add("--to", choices=FILES, required=True,
        help="onnx: a model; c: C99 source, weights and all; safetensors: weights as PyTorch lays them out")
    add("--sparse", action="store_true", help="onnx: what is pruned takes no room (runtimes make it dense at load)")
    add("--channels-last", action="store_true", help="onnx: images (n, h, w, c), as TensorFlow has them")
    out_option(parser)


def run(args, talk):
    """Do it; returns the exit code."""
    if args.to != "onnx" and (args.sparse or args.channels_last):
        raise InvalidValue(f"--sparse and --channels-last go with --to onnx, not with --to {args.to}")
    out = checked_out(args)
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
    talk.result(str(out / name), {"file": str(out / name), "bytes": len(data), "format": args.to})
    talk.say(f"wrote {name} ({len(data):,} bytes) to {quoted(str(out))}")

"""Take over a model from another framework; writes DIR/model.safetensors, which every command takes.

  minnet import model.onnx                                      the whole model
  minnet import vgg16.h5 --model vgg16 --shape 32,32,3          Keras's weights, into an architecture of minnet's
  minnet import net.safetensors --model mine.safetensors        a PyTorch state dict, into that of a saved model

Weights find their layers by name, or one after the other in a chain; whatever does not fit is told, and nothing is
written. No code in a file is run, and no other file is read.
"""
from minnet.cli import parser as kinds
from minnet.cli.options import checked_out, out_option
from minnet.cli.tables import facts_text
from minnet.errors import InvalidValue, file_error, quoted
from minnet.study.settings import PRETRAINED

LOADERS = {"hdf5": "Keras's weights", "keras": "Keras's weights", "safetensors": "a PyTorch state dict"}


def options(parser):
    """What it takes."""
    add = parser.options.add_argument
    parser.add_argument("what", metavar="FILE", help="an ONNX model, Keras's .h5 or .keras, PyTorch's .safetensors")
    add("--model", metavar="NAME", help="the architecture for weights: a name, or the file of a saved model")
    add("--shape", type=kinds.sizes, metavar="H,W,C", help="of one image (or row) that it takes, for a name")
    add("--classes", type=kinds.whole(1), metavar="N", help="how many outputs it has, for a name")
    out_option(parser)


def tables():
    """The names that may be given."""
    from minnet.models import MODELS

    return {"models": MODELS}


def run(args, talk):
    """Do it; returns the exit code."""
    out = checked_out(args)
    from minnet.cli.writing import write_told
    from minnet.study.folder import MODEL
    from minnet.study.measure import saved
    from minnet.study.result import plain

    model, unused, kind = _imported(args)
    wrote = write_told({MODEL: saved(model, {"imported": kind})}, out, spared=[args.what, args.model or args.what])
    facts = {"imported": kind, "input_shape": " x ".join(map(str, model.input_shape)),
             "outputs": " x ".join(map(str, model.output_shape)), "parameters": model.n_parameters, "macs": model.macs,
             "not_used": quoted(", ".join(unused)) or None}
    talk.result(facts_text(facts, talk), plain(facts | {"not_used": unused}))
    talk.say(wrote)


def _imported(args):
    """(model, names in the file that no layer took, what it was)."""
    from minnet.files import KINDS, sniff

    kind = sniff(args.what)
    if kind == "onnx":
        from minnet.formats.onnx_read import load_onnx

        if args.model is not None:
            raise InvalidValue(f"--model {quoted(args.model)}: {quoted(args.what)} is a whole model, it needs none")
        return load_onnx(args.what), [], "an ONNX model"
    from minnet.formats.keras import load_keras
    from minnet.formats.torch_state import PICKLE, load_torch

    if kind == "pickle":
        raise file_error(args.what, *PICKLE)
    if kind not in LOADERS:
        raise file_error(args.what, f"is {KINDS[kind]}", "give an ONNX model, or weights of Keras or PyTorch")
    model = _architecture(args)
    load = load_torch if kind == "safetensors" else load_keras
    return model, load(model, args.what), LOADERS[kind]


def _architecture(args):
    """The model that the weights go into."""
    import os

    from minnet.errors import check_choice
    from minnet.models import MODELS
    from minnet.study.training import load_model

    if args.model is None:
        raise InvalidValue(f"{quoted(args.what)} holds weights alone: say with --model which architecture they are for")
    if os.path.isfile(args.model):
        return load_model(args.model)
    make = check_choice("model", args.model, MODELS)
    if args.shape is None:
        raise InvalidValue(f"--model {args.model}: say with --shape what it takes, as in --shape 32,32,3")
    if args.classes is None and args.model != PRETRAINED:
        raise InvalidValue(f"--model {args.model}: say with --classes how many outputs it has")
    return make(args.shape, args.classes, rng=args.seed)

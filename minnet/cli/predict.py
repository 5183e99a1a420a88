"""The class of every sample, one a line, in the words of the training data.

  minnet predict minnet-out/model.safetensors new.csv        rows of numbers; a column of classes is left out
  minnet predict minnet-out/model.safetensors new.npz        its member X
  minnet predict minnet-out/model.safetensors digits         of a named data set, the test part

The samples are scaled as the training data were, images for VGG16 enlarged: the model's file says how.
"""
from minnet.cli.options import DATA_HELP
from minnet.errors import InvalidValue, quoted


def options(parser):
    """What it takes."""
    add = parser.options.add_argument
    parser.add_argument("model", metavar="MODEL_FILE", help="a saved model")
    parser.add_argument("what", metavar="DATA", help=DATA_HELP)
    add("--target", metavar="COLUMN", help="the column of a .csv that holds classes (the last, if there is one)")


def run(args, talk):
    """Do it; returns the exit code."""
    import numpy as np

    from minnet.cli.compiling import tell_compiling
    from minnet.cli.rows import rows_of
    from minnet.formats.storage import describe
    from minnet.models import as_bgr
    from minnet.runtime.predictor import freeze
    from minnet.study.settings import PRETRAINED
    from minnet.study.training import is_onnx, load_model

    model, made = load_model(args.model), {} if is_onnx(args.model) else describe(args.model)["made"]
    if not {"classes", "shift", "scale"} <= set(made):
        raise InvalidValue(f"{quoted(args.model)} does not say how its data were scaled, nor what its classes are "
                           "called: files of `minnet train` and `minnet prune MODEL_FILE --data DATA` do; "
                           "with classes beside the samples `minnet evaluate` takes any model")
    enlarged = made.get("scaling") == PRETRAINED
    X = rows_of(args.what, None if enlarged else model.input_shape, args.target, args.seed)
    tell_compiling(talk)
    fast = freeze(model, classes=np.asarray(made["classes"]))
    scaled = (X - np.asarray(made["shift"])) / np.asarray(made["scale"])
    scaled = as_bgr(scaled, model.input_shape[0]) if enlarged else scaled
    labels = fast.predict(scaled.astype(model.dtype)).tolist()
    text = "\n".join(quoted(str(label)) for label in labels)
    talk.result(text, {"model": args.model, "data": args.what, "classes": labels})

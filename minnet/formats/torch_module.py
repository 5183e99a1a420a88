"""Read a PyTorch module: PyTorch's own exporter writes it as ONNX, into a folder that is gone afterwards.

model = from_torch(module)                                  # begins with a Linear layer
model = from_torch(module, torch.zeros(1, 1, 28, 28))       # channels last, like every Model
"""
import importlib.util
import tempfile
import warnings
from pathlib import Path

import numpy as np

from minnet.errors import FileError, InvalidType, InvalidValue, Unsupported, import_optional, quoted
from minnet.formats.onnx_read import load_onnx
from minnet.model import Model

ROWS = 2    # of the example: as many as no other axis is mistaken for


def from_torch(module: object, example: object = None, *, zeros: str = "auto") -> Model:
    """Make a Model of a PyTorch module, with the same outputs in use.

    Parameters
    ----------
    module : torch.nn.Module
        What the model computes; it stays as it is.
    example : torch.Tensor or array_like, optional
        One batch of what it takes, of any numbers: shape (n, features) or (n, channels, height, width), n at least 1.
        A module whose first layer is Linear, or BatchNorm1d, needs none: it takes rows of as many features.
    zeros : {"auto", "mask", "keep"}
        What becomes of weights that are exactly 0, as for `load_onnx`.

    Returns
    -------
    Model
        Images are channels last: it takes (n, height, width, channels). A Softmax, LogSoftmax or Sigmoid at the end is
        left out: outputs are logits.

    Raises
    ------
    InvalidType
        `module` is no torch.nn.Module.
    InvalidValue
        The example has no row, or there is none and the first layer does not say what it takes.
    Unsupported
        PyTorch's exporter refuses the module, or it is made of what minnet lacks; the message names all of it.
    MissingExtra
        torch or onnx is not installed.

    Notes
    -----
    The exporter is the one that traces a call; where that fails, the one by torch.export, if the package onnxscript is
    installed.
    """
    torch = import_optional("torch", "peers", "from_torch")
    import_optional("onnx", "onnx", "from_torch")
    if not isinstance(module, torch.nn.Module):
        raise InvalidType(f"module={quoted(repr(module))}; wanted a torch.nn.Module")
    example = _row(torch, module) if example is None else example
    rows = torch.as_tensor(example if isinstance(example, torch.Tensor) else np.asarray(example))
    if rows.ndim < 2 or len(rows) == 0:
        raise InvalidValue(f"example has the shape {tuple(rows.shape)}; wanted a batch of at least one row")
    first = next(module.parameters(), None)
    rows = rows[:1].detach().to(first).expand(ROWS, *rows.shape[1:]) if first is not None else rows[:1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.onnx"
        _export(torch, module, rows, path)
        try:
            return load_onnx(path, zeros=zeros)
        except FileError as error:
            raise Unsupported(f"the module cannot be read: {error.__cause__ or error}") from error


def _row(torch, module):
    """Return one row of as many features as the first layer with weights takes."""
    first = next((part for part in module.modules() if next(part.parameters(recurse=False), None) is not None), None)
    takes = {torch.nn.Linear: "in_features", torch.nn.BatchNorm1d: "num_features"}
    width = next((getattr(first, name) for kind, name in takes.items() if isinstance(first, kind)), None)
    if width is None:
        begins = f"begins with {type(first).__name__}" if first is not None else "has no weights"
        raise InvalidValue(f"the module {begins}, which does not say what shape it takes: give an example, such as "
                           "from_torch(module, torch.zeros(1, 1, 28, 28))")
    return torch.zeros(1, width)


def _export(torch, module, rows, path):
    """Write the module as ONNX, in evaluation mode; its modes are put back."""
    modes = {part: part.training for part in module.modules()}
    newer = importlib.util.find_spec("onnxscript") is not None
    try:
        module.eval()
        try:
            _write(torch, module, rows, path, newer=False)
        except Exception:  # whatever the exporter, or the module, raises; later versions may lack the older one
            if not newer:
                raise
            _write(torch, module, rows, path, newer=True)
    except Exception as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise Unsupported(f"PyTorch cannot export the module: {quoted(what)}") from error
    finally:
        for part, training in modes.items():
            part.training = training


def _write(torch, module, rows, path, newer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        torch.onnx.export(module, (rows,), str(path), dynamo=newer, verbose=False)

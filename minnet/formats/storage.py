"""Save and load: a model, or a training run, as one safetensors file.

    save(model, "m.safetensors")                       # written whole or not at all
    model = load("m.safetensors")                      # the same bits
    model = load("m.safetensors", layers={"Scale": Scale})   # with a layer of one's own
    save(model, "small.safetensors", precision="int8")  # weights as integers of eight bits
    save(step.state, "run.safetensors")                # a training run
    state = load_state("run.safetensors")              # train(..., state=state) continues it bit for bit
    describe("m.safetensors")                          # what it holds, without building it
    expected_bytes(model)                              # the size that `save` would write

A parameter is stored under its name. Where the mask cuts some of it, only the live values are, and with them
"dense1.weight.mask" (bits) or "dense1.weight.columns" and ".counts", whichever is smaller (masks.py). All the rest is
JSON under the metadata key "minnet" (description.py). The same model gives the same bytes.
"""
import math
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.quantise import INT8, check_precision
from minnet.engine.state import State
from minnet.errors import FileError, InvalidType, InvalidValue, MinnetError, file_error, quoted
from minnet.files import opened, write_whole
from minnet.formats.architecture import UnknownLayer, layer_table, memory, own_layers, read_architecture
from minnet.formats.description import description, read_description, signature_of, stamped
from minnet.formats.fingerprint import check_fingerprint
from minnet.formats.layout import (
    INTEGERS,
    VECTORS,
    arrays_of,
    check_numbers,
    code,
    fill,
    forms_of,
    match,
    most_memory,
    specs_of,
)
from minnet.formats.runs import make_run, slots_of
from minnet.formats.tensors import file_size, parse_json, read_arrays, read_head, to_bytes
from minnet.model import Model
from minnet.typing import Path

LONGEST_MESSAGE = 600  # characters of what is wrong with a file
DAMAGED = "it is damaged or not made by minnet: fetch or save it again"
OWN_LAYER = 'give a layer of your own by the name of its class: load(path, layers={"Scale": Scale})'

Layers = Mapping[str, type[Layer]]


def save(model: Model | State, path: Path, *, made: dict | None = None, precision: str | None = None) -> None:
    """Write a model, or a training run, to a file that `load` reads back bit for bit.

    Parameters
    ----------
    model : Model or State
        The model, or a run: what `step.state` of `train` is.
    path : str or os.PathLike
        The file, written whole or not at all.
    made : dict, optional
        What the model was made with, as JSON can hold it; `describe` shows it.
    precision : {"float32", "int8"}, optional
        How weights of dense layers and convolutions are stored: "int8" as integers from -127 to 127 with a scale for
        each unit, of which `load` makes the rounded floats, the same whenever it is saved again. Default: the model's
        own floats, as "float32".

    Raises
    ------
    FileError
        The file cannot be written.
    NotFinite
        A parameter holds NaN or infinity.
    UnknownName
        Another `precision`.
    InvalidType
        `model` is neither a Model nor a State, or a State where `precision` is "int8"; or it has an argument that JSON
        cannot hold, an optimizer that is not minnet's, or layers of two classes with one name.

    Notes
    -----
    After an error `path` is as it was. An initialiser that is a function of the caller's is not stored: a loaded layer
    has the default one. A layer of the caller's own is stored by the name of its class, which `load` is to be given.
    """
    write_whole(path, file_bytes(model, made=made, precision=precision))


def file_bytes(model: Model | State, *, made: dict | None = None, precision: str | None = None,
               frozen: dict | None = None) -> bytes:
    """Return the bytes of the file that `save` writes; raises what `save` raises, except for the file.

    `frozen` is what a Predictor of the model was made with, as JSON can hold it.
    """
    int8 = check_precision(precision)
    model, state = _parts(model, int8)
    for name, p in model.parameters.items():
        check_numbers(name, p.value)
    facts = parse_json("the description of this model", description(model, state, made, frozen))
    read_architecture(facts["architecture"], layer_table(own_layers(model.tree)))  # what is written can be read
    arrays = arrays_of(model, forms_of(model, model.mask, int8), int8)
    if state is not None:
        check_numbers(VECTORS, state.vectors)
        arrays[VECTORS] = state.vectors
    return to_bytes(arrays, stamped(facts, arrays))


def load(path: Path, *, layers: Layers | None = None) -> Model:
    """Read the model in a file, bit for bit as it was saved.

    Parameters
    ----------
    path : str or os.PathLike
        A file that `save` wrote.
    layers : mapping of str to type, optional
        Classes of the caller's own layers by name, as in ``{"Scale": Scale}``; a file makes no other than these and
        minnet's.

    Returns
    -------
    Model
        The model. From the file of a training run, its State: `load_state` is annotated for that.

    Raises
    ------
    FileError
        The file is missing, damaged, of another kind, asks for more memory than its size allows, or has a layer that
        is neither minnet's nor in `layers`.
    InvalidType, InvalidValue
        `layers` holds what is no subclass of Layer, or a name of minnet's own.

    Notes
    -----
    Nothing in a file is trusted or run: everything is checked before it is used, and before memory is taken.
    """
    model, state, _ = _loaded(path, layers)
    return model if state is None else state  # type: ignore[return-value]


def load_state(path: Path, *, layers: Layers | None = None) -> State:
    """Read the training run in a file, which `train(..., state=...)` continues bit for bit.

    Parameters
    ----------
    path : str or os.PathLike
        A file to which `save` wrote a State.
    layers : mapping of str to type, optional
        As for `load`.

    Returns
    -------
    State
        The run; its model is `state.model`.

    Raises
    ------
    FileError
        As for `load`, and where the file holds a model alone.
    InvalidType, InvalidValue
        As for `load`.
    """
    _, state, _ = _loaded(path, layers)
    if state is None:
        raise file_error(path, "holds a model, not a training run", "read it with load(path)")
    return state


def load_frozen(path: Path, layers: Layers | None = None) -> tuple[Model, object]:
    """Return the model in a file, and what a Predictor of it was made with, not yet checked; errors as of `load`.

    Of a file that is no Predictor's this is the precision of its weights.
    """
    model, state, frozen = _loaded(path, layers)
    if state is not None:
        raise file_error(path, "holds a training run, not a model", "read it with load_state(path)")
    return model, frozen


def describe(path: Path, *, layers: Layers | None = None) -> dict:
    """Return a dict about a file, checked as by `load` except for the numbers themselves, which are not read.

    Parameters
    ----------
    path : str or os.PathLike
        A file that `save` wrote.
    layers : mapping of str to type, optional
        As for `load`.

    Returns
    -------
    dict
        `kind` ("model" or "state"), `format_version`, `minnet` (the version that wrote it), `made`, `bytes`, `dtype`,
        `fingerprint` (None in files of versions that had none; `load` checks it), `precision` of the weights ("int8"
        or the dtype), `frozen` (None, or what a Predictor was made with),
        `input_shape`, `output_shape`, `layers` (each with name, type, output_shape, and parameters by kind with their
        shapes), `weights`, `remaining`, `sparsity`, and for a state `state` (epoch, batch, t, seed, batch_size,
        loss_sum, threads, optimizer).

    Raises
    ------
    FileError
        As for `load`.
    """
    table = layer_table(layers)
    with _about(path), opened(path) as file:
        head, facts, spec, _, _ = _checked(file, path, table)
    weights = [(name, item) for name, item, _ in spec.places if item.kind == "weight"]
    total = sum(math.prod(item.shape) for _, item in weights)
    remaining = sum(math.prod(head.tensors[name].shape) for name, _ in weights)
    about = {key: facts[key] for key in ("kind", "format_version", "minnet", "made")}
    about |= {"bytes": head.size, "dtype": spec.dtype.name, "precision": _precision(head) or spec.dtype.name,
              "fingerprint": facts.get("fingerprint"), "frozen": facts.get("frozen"), "input_shape": spec.input_shape,
              "output_shape": spec.tree.output_shape, "layers": _rows(spec),
              "weights": total, "remaining": remaining, "sparsity": 1 - remaining / total if total else 0.0}
    if facts["kind"] == "state":
        about["state"] = {key: value for key, value in facts["state"].items() if key != "streams"}
    return about


def expected_bytes(model: Model | State, *, made: dict | None = None, mask: np.ndarray | None = None,
                   precision: str | None = None) -> int:
    """Return the size in bytes of the file that `save` would write with these arguments, under `mask` if given."""
    int8 = check_precision(precision)
    model, state = _parts(model, int8)
    mask = model.mask if mask is None else mask
    specs = specs_of(model, forms_of(model, mask, int8), mask, int8)
    if state is not None:
        specs[VECTORS] = (code(model.dtype), state.vectors.shape)
    return file_size(specs, description(model, state, made))


def _loaded(path, layers):
    """Return (Model, State or None, what a Predictor was made with) of a file."""
    table = layer_table(layers)
    with _about(path), opened(path) as file:
        head, facts, spec, forms, signature = _checked(file, path, table)
        wanted, most = memory(spec.length, spec.dtype), most_memory(head.size)
        if wanted > most:
            raise InvalidValue(f"its model takes {wanted:,} bytes of memory; a file of {head.size:,} may ask for "
                               f"{most:,} at most")
        arrays = read_arrays(file, head)
        model = Model.blank(spec.tree, spec.input_shape, spec.dtype)
        fill(model, forms, arrays)
        if facts["kind"] == "state":
            check_numbers(VECTORS, arrays[VECTORS])
        check_fingerprint(facts, arrays)
        model.signature = signature
        frozen = facts.get("frozen")
        frozen = {"precision": _precision(head)} if frozen is None else frozen
        if facts["kind"] == "model":
            return model, None, frozen
        state = make_run(facts["state"], model)
        state.vectors[...] = arrays[VECTORS]
        return model, state, frozen


def _parts(model, int8=False):
    """Return (Model, State or None)."""
    if isinstance(model, State):
        if int8:
            raise InvalidType(f"precision={INT8!r}: a training run is stored in floats; save its model, state.model")
        return model.model, model
    if not isinstance(model, Model):
        raise InvalidType(f"{quoted(repr(model))} is neither a Model nor a State: only these are saved (a Predictor "
                          "by its own `save`)")
    return model, None


def _checked(file, path, table):
    """Return (head, facts, architecture, forms, signature): all that is known and checked before data is read."""
    head = read_head(file, path)
    facts = read_description(head.text, path)
    spec = read_architecture(facts["architecture"], table)
    slots = slots_of(facts["state"]) if facts["kind"] == "state" else 0
    signature = signature_of(facts, spec.input_shape, spec.tree.output_shape)
    return head, facts, spec, match(head.tensors, spec, slots), signature


def _precision(head):
    """Return "int8" where a file has quantised weights, else None."""
    return INT8 if any(at.dtype == INTEGERS for at in head.tensors.values()) else None


def _rows(spec):
    """Return the layers of `describe`."""
    shapes = {leaf: {} for leaf in spec.tree.leaves()}
    for _, item, _ in spec.places:
        shapes[item.layer][item.kind] = item.shape
    return [{"name": leaf.name, "type": type(leaf).__name__, "output_shape": leaf.output_shape, "parameters": found}
            for leaf, found in shapes.items()]


@contextmanager
def _about(path):
    """Raise whatever is wrong with the content as a FileError about `path`, one line long."""
    try:
        yield
    except FileError:
        raise
    except MinnetError as error:
        what = " ".join(str(error).split())[:LONGEST_MESSAGE]
        what = what if what.isprintable() else ascii(what)
        raise file_error(path, what, OWN_LAYER if isinstance(error, UnknownLayer) else DAMAGED) from error
    except MemoryError as error:
        raise file_error(path, "does not fit into this machine's memory", "load it on a larger one") from error

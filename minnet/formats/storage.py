"""Save and load: a model, or a training run, as one safetensors file.

    save(model, "m.safetensors")                       # written whole or not at all
    model = load("m.safetensors")                      # the same bits
    save(step.state, "run.safetensors")                # a State: load gives it back, and training goes on bit for bit
    describe("m.safetensors")                          # what it holds, without building it
    expected_bytes(model)                              # the size that `save` would write

A parameter lies under its name. Where the mask cuts some of it, only the live values do, and beside them
"dense1.weight.mask" (bits) or "dense1.weight.columns" and ".counts", whichever is smaller (masks.py). All the rest is
JSON under the metadata key "minnet" (description.py). The same model gives the same bytes.
"""
import math
from contextlib import contextmanager

from minnet.engine.state import State
from minnet.errors import FileError, InvalidType, InvalidValue, MinnetError, file_error, quoted
from minnet.files import opened, write_whole
from minnet.formats.architecture import memory, plan_of
from minnet.formats.description import description, read_description
from minnet.formats.layout import (
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

LONGEST_MESSAGE = 600  # characters of what is wrong with a file


def save(model, path, *, made=None):
    """Write `model` (a Model or a State) to the file `path`; `made` is a dict of what it was made with, as JSON has it.

    An initialiser that is a function of the caller's is not kept: a loaded layer has the default one. Raises
    FileError where the file cannot be written, NotFinite for NaN or infinity in a parameter, InvalidType for what no
    file holds; then `path` is as it was.
    """
    model, state = _parts(model)
    for name, p in model.parameters.items():
        check_numbers(name, p.value)
    text = description(model, state, made)
    plan_of(parse_json("the description of this model", text)["architecture"])  # what is written can be read
    arrays = arrays_of(model, forms_of(model, model.mask))
    if state is not None:
        check_numbers(VECTORS, state.vectors)
        arrays[VECTORS] = state.vectors
    write_whole(path, to_bytes(arrays, text))


def load(path):
    """The Model or State in the file `path`, bit for bit as it was saved.

    Everything is checked before it is used, and no more memory is taken than the file's real size allows. Raises
    FileError.
    """
    with _about(path), opened(path) as file:
        head, facts, plan, forms = _checked(file, path)
        wanted, most = memory(plan.length, plan.dtype), most_memory(head.size)
        if wanted > most:
            raise InvalidValue(f"its model takes {wanted:,} bytes of memory; a file of {head.size:,} may ask for "
                               f"{most:,} at most")
        arrays = read_arrays(file, head)
        model = Model.blank(plan.tree, plan.input_shape, plan.dtype)
        fill(model, forms, arrays)
        if facts["kind"] == "model":
            return model
        check_numbers(VECTORS, arrays[VECTORS])
        state = make_run(facts["state"], model)
        state.vectors[...] = arrays[VECTORS]
        return state


def describe(path):
    """A dict about the file `path`, checked as by `load` but for the numbers themselves, which are not read.

    `kind` ("model" or "state"), `format_version`, `minnet` (the version that wrote it), `made`, `bytes`, `dtype`,
    `input_shape`, `output_shape`, `layers` (each with name, type, output_shape, and parameters by kind with their
    shapes), `weights`, `remaining`, `sparsity`, and for a state `state` (epoch, batch, t, seed, batch_size,
    loss_sum, threads, optimizer). Raises FileError.
    """
    with _about(path), opened(path) as file:
        head, facts, plan, _ = _checked(file, path)
    weights = [(name, item) for name, item, _ in plan.places if item.kind == "weight"]
    total = sum(math.prod(item.shape) for _, item in weights)
    remaining = sum(math.prod(head.tensors[name].shape) for name, _ in weights)
    about = {key: facts[key] for key in ("kind", "format_version", "minnet", "made")}
    about |= {"bytes": head.size, "dtype": plan.dtype.name, "input_shape": plan.input_shape,
              "output_shape": plan.tree.output_shape, "layers": _rows(plan),
              "weights": total, "remaining": remaining, "sparsity": 1 - remaining / total if total else 0.0}
    if facts["kind"] == "state":
        about["state"] = {key: value for key, value in facts["state"].items() if key != "streams"}
    return about


def expected_bytes(model, *, made=None, mask=None):
    """The size in bytes of the file that `save(model, path, made=made)` would write; `mask` asks "what if this cut"."""
    model, state = _parts(model)
    mask = model.mask if mask is None else mask
    specs = specs_of(model, forms_of(model, mask), mask)
    if state is not None:
        specs[VECTORS] = (code(model.dtype), state.vectors.shape)
    return file_size(specs, description(model, state, made))


def _parts(model):
    """(Model, State or None)."""
    if isinstance(model, State):
        return model.model, model
    if not isinstance(model, Model):
        raise InvalidType(f"{quoted(repr(model))} is neither a Model nor a State: only these are saved")
    return model, None


def _checked(file, path):
    """(head, facts, plan, forms): all that can be known, and all that can be wrong, before data is read."""
    head = read_head(file, path)
    facts = read_description(head.text, path)
    plan = plan_of(facts["architecture"])
    slots = slots_of(facts["state"]) if facts["kind"] == "state" else 0
    return head, facts, plan, match(head.tensors, plan, slots)


def _rows(plan):
    """The layers of `describe`."""
    shapes = {leaf: {} for leaf in plan.tree.leaves()}
    for _, item, _ in plan.places:
        shapes[item.layer][item.kind] = item.shape
    return [{"name": leaf.name, "type": type(leaf).__name__, "output_shape": leaf.output_shape, "parameters": found}
            for leaf, found in shapes.items()]


@contextmanager
def _about(path):
    """Inside, whatever is wrong with the content becomes a FileError about `path`, one line long."""
    try:
        yield
    except FileError:
        raise
    except MinnetError as error:
        what = " ".join(str(error).split())[:LONGEST_MESSAGE]
        what = what if what.isprintable() else ascii(what)
        raise file_error(path, what, "it is damaged or not made by minnet: fetch or save it again") from error
    except MemoryError as error:
        raise file_error(path, "does not fit into this machine's memory", "load it on a larger one") from error

"""Choose the tensors of a model's file when it is saved, and demand them when it is loaded.

    forms = forms_of(model, mask)                      # {"dense1.weight": "columns", ...}, by counts alone
    specs = specs_of(model, forms, mask)               # {"dense1.weight.columns": (dtype, shape), ...}
    arrays = arrays_of(model, forms)                   # the same tensors, with their numbers

    forms = match(tensors, spec, slots)                # a file's header against the architecture it claims
    fill(model, forms, arrays)

A file must have exactly the tensors that its architecture asks for.
"""
import numpy as np

from minnet.engine.quantise import INT8_MAX, int8_of, is_quantised, quantised_parameters, units_of
from minnet.errors import InvalidValue, NotFinite, quoted
from minnet.formats import masks
from minnet.formats.architecture import memory
from minnet.formats.tensors import CODES, n_bytes

VECTORS = "state.vectors"    # no parameter has this name: none is of the kind "vectors"
SCALE = ".scale"             # of a quantised weight: what the integers of each unit are multiplied by
INTEGERS = "I8"
INDEX = ".index"             # of a parameter that is born sparse: the flat positions of its entries
STATISTICS = ("mean", "variance")
SMALL_BYTES = 64 * 2**20     # a model that takes no more memory than this may come from a file of any size
MOST_EXPANSION = 100         # a larger one may take this many times the file's; with masks as bits it is at most 72


def code(dtype):
    """Return the header's name of a model's dtype."""
    return CODES[np.dtype(dtype).newbyteorder("<")]


# --- saving ----------------------------------------------------------------------------------------------------------


def forms_of(model, mask, int8=False):
    """Return {name: form} of all parameters under `mask`: the smallest that a reader accepts for a file of its size."""
    forms = {name: masks.form_of(p.value.shape, int(np.count_nonzero(p.of(mask))))
             for name, p in model.parameters.items()}
    stored = sum(n_bytes(*spec) for spec in specs_of(model, forms, mask, int8).values())
    if memory(len(model.values), model.dtype) <= most_memory(stored):
        return forms
    return {name: "bits" if form == "columns" else form for name, form in forms.items()}


def specs_of(model, forms, mask, int8=False):
    """Return {name of a tensor: (dtype, shape)} of all parameters; `int8`: weights quantised."""
    specs, quantised = {}, {p.name for p in quantised_parameters(model)} if int8 else set()
    for name, p in model.parameters.items():
        live, dtype = int(np.count_nonzero(p.of(mask))), INTEGERS if name in quantised else code(model.dtype)
        if name in quantised:
            specs[name + SCALE] = (code(model.dtype), p.shape[-1:])
        specs |= {name + ending: spec for ending, spec in masks.specs(forms[name], p.value.shape, live, dtype).items()}
        if p.index is not None:
            specs[name + INDEX] = (masks.index_dtype(p.index), p.index.shape)
    return specs


def arrays_of(model, forms, int8=False):
    """Return {name of a tensor: array} of all parameters; `int8`: weights quantised."""
    arrays, quantised = {}, {p.name for p in quantised_parameters(model)} if int8 else set()
    for name, p in model.parameters.items():
        values = p.value
        if name in quantised:
            values, arrays[name + SCALE] = int8_of(p)
        arrays[name] = values if forms[name] == "dense" else values[p.mask]
        arrays |= {name + ending: array for ending, array in masks.pack(forms[name], p.mask).items()}
        if p.index is not None:
            arrays[name + INDEX] = masks.pack_index(p.index)
    return arrays


def most_memory(n_file):
    """Return the most bytes of memory that a model from a file of `n_file` bytes may take."""
    return max(SMALL_BYTES, MOST_EXPANSION * n_file)


def check_numbers(name, values):
    """Refuse NaN, infinity, and negative variances, naming the parameter."""
    broken = values.size - int(np.count_nonzero(np.isfinite(values)))
    if broken:
        raise NotFinite(f"{quoted(name)} holds {broken:,} numbers that are NaN or infinite: such a model is neither "
                        "saved nor loaded")
    if name.endswith(".variance") and (values < 0).any():
        raise InvalidValue(f"{quoted(name)} holds negative numbers, as no variance does")


# --- loading ---------------------------------------------------------------------------------------------------------


def match(tensors, spec, slots):
    """Return {name: form} of all parameters, once `tensors` are exactly those that the Architecture asks for.

    `slots` is how many vectors an optimizer keeps, 0 for a model alone. Raises InvalidValue naming the first that is
    missing, not asked for, or of another dtype or shape.
    """
    forms, wanted, dtype = {}, {}, code(spec.dtype)
    for name, item, _ in spec.places:
        shape = item.shape if item.index is None else (item.size,)
        forms[name] = form = _form_found(tensors, name)
        if form != "dense" and item.kind in STATISTICS:
            raise InvalidValue(f"{quoted(name)} has a mask: statistics have none")
        live = next(iter(tensors[name].shape), 0) if name in tensors else 0
        quantised = name + SCALE in tensors and is_quantised(item.layer, item.kind)
        if quantised:
            wanted[name + SCALE] = (dtype, item.shape[-1:])
        stored = masks.specs(form, shape, live, INTEGERS if quantised else dtype)
        wanted |= {name + ending: spec for ending, spec in stored.items()}
        if item.index is not None:
            found = tensors.get(name + INDEX)
            wanted[name + INDEX] = (found.dtype if found and found.dtype in masks.INDEX_DTYPES else "U64", shape)
    if slots:
        wanted[VECTORS] = (dtype, (slots, spec.n_trainable))
    for name in sorted({*wanted, *tensors}):
        _match_one(name, wanted.get(name), tensors.get(name))
    return forms


def fill(model, forms, arrays):
    """Write values and mask into a blank model, checking every number; masked values stay +0.0."""
    for name, p in model.parameters.items():
        check_numbers(name, arrays[name])
        stored = {ending: arrays[name + ending] for ending in masks.ENDINGS if name + ending in arrays}
        try:
            mask = masks.unpack(forms[name], p.value.shape, arrays[name].size, stored)
            if p.index is not None:
                p.index[...] = masks.unpack_index(arrays[name + INDEX], p.size)
        except InvalidValue as error:
            raise InvalidValue(f"{quoted(name)} {error}") from error
        model.mask[p.slice] = mask
        model.values[p.slice][mask] = arrays[name].reshape(-1)
        if name + SCALE in arrays:
            _multiply(p, arrays[name], arrays[name + SCALE])


def _multiply(p, integers, scale):
    """Multiply the integers in a parameter by the scales of their units, once both are what quantising makes."""
    if (integers < -INT8_MAX).any():
        raise InvalidValue(f"{quoted(p.name)} holds the integer {integers.min()}; the lowest is -{INT8_MAX}")
    check_numbers(p.name + SCALE, scale)
    if not (scale > 0).all():
        raise InvalidValue(f"{quoted(p.name + SCALE)} holds {scale.min()}: scales are above 0")
    with np.errstate(over="ignore"):
        p.value[...] *= scale if p.index is None else scale[units_of(p)]
    check_numbers(p.name, p.value)


def _form_found(tensors, name):
    """Return the form of a parameter in a file, by the tensors that accompany it."""
    if f"{name}.mask" in tensors:
        return "bits"
    return "columns" if f"{name}.columns" in tensors else "dense"


def _match_one(name, wanted, found):
    """Refuse a tensor that is missing, not asked for, or of another dtype or shape."""
    if found is None:
        raise InvalidValue(f"tensor {quoted(name)} is missing: {wanted[0]} of shape {wanted[1]}")
    if wanted is None:
        raise InvalidValue(f"tensor {quoted(name)} belongs to no parameter of the architecture")
    if (found.dtype, found.shape) != wanted:
        raise InvalidValue(f"tensor {quoted(name)} is {found.dtype} of shape {found.shape}, the architecture wants "
                           f"{wanted[0]} of shape {wanted[1]}")

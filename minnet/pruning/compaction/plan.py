"""Find the units that the mask makes superfluous, and what each bias gains when they are removed.

    plan = CompactionPlan(model)
    plan.fate[plan.roots]       # per unit of the model's Coupling: STAYS, UNREAD, SILENT or FOLDED
    plan.live                   # the mask, without the weights that read removed units
    plan.added(weight)          # the constants of removed units, as the bias of that weight's layer gains them

A unit can be removed when no weight that matters reads anything of it that varies. What is read of it then is a
constant, found by a forward pass and added to the reader's bias. A constant other than 0 must be the same at every
position of the window; at a border with padding it is not, and the unit stays. So does one that counts in moments over
units (LayerNorm, GroupNorm), unless it is always 0 there: then the layer goes on counting it in its `zeros`.
"""
import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.layer import Layer
from minnet.engine.layer_norm import MomentNorm
from minnet.engine.model import Model
from minnet.engine.space import Use
from minnet.engine.tape import Tape
from minnet.engine.vector import Parameter
from minnet.errors import Unsupported
from minnet.pruning.paths import PathModel

STAYS, UNREAD, SILENT, FOLDED = range(4)  # a unit's fate: removed as it is unread, as it is 0, or into a bias


def rows_with(entries: np.ndarray) -> np.ndarray:
    """Return (inputs,) bool: which rows (axis -2) of a weight's window have an entry that is True."""
    return entries.any(axis=(*range(entries.ndim - 2), -1))


class CompactionPlan:
    """The units that can be removed from `model`, found by removing some until no more can be.

    `fate` is by root number; `roots` maps the Coupling's unit numbers to roots; `last` (bool, by root) marks removed
    units whose place remains, all masked, since an axis keeps at least one; `border` names, by root, the reader whose
    padding makes a constant stay, or the layer in whose moments the unit counts. Features of the input can be removed
    only with `inputs`. The model does not change.
    Raises Unsupported for a layer that was born sparse.
    """

    def __init__(self, model: Model, inputs: bool = False) -> None:
        for p in model.parameters.values():
            if p.index is not None:
                raise Unsupported(f"{p.name} was born sparse and has no rows and columns to remove: compaction takes "
                                  "models of dense layers with a mask")
        self.model = model
        self.coupling = model.couple(free_inputs=inputs)
        self.roots = self.coupling.roots(np.arange(self.coupling.n_units))
        self.readers = [use for use in self.coupling.uses if use.reads]
        tape = _pass(model)
        self.constants = _constants(model, self.readers, tape)
        self.silent = {layer.name: ~tape[layer][2].reshape(-1, layer.gain.size).any(axis=0)
                       for layer in model.layers.values() if shares_moments(layer)}
        self.fate = np.full(self.coupling.n_units, STAYS)
        self.live = model.mask.copy()
        self.folds = np.zeros_like(self.live)
        path_model, more = PathModel(model), True
        while more:
            self.on_path, needed = path_model.paths(self.live)
            self.arrived = path_model.arrived
            more = self._remove_unread(needed)
        self._set_fates()
        self.last = self._last_of_their_axis()

    def _remove_unread(self, needed):
        """Remove every unit of which needed weights read only known constants; return True if there was one."""
        varies, self.border = np.zeros(len(self.fate), bool), {}
        for use in self.readers:
            p, units = use.parameter, self.roots[use.units]
            varies[units[rows_with(p.of(self.on_path))]] = True
            unknown = rows_with(p.of(needed) & np.isnan(self.constants[p.name]))
            self.border.update((unit, p.layer) for unit in units[unknown].tolist())
        for use in self.coupling.uses:
            name = use.parameter.layer
            if use.parameter.kind == "gain" and name in self.arrived:
                counts = self.arrived[name] | ~self.silent[name]
                self.border.update((unit, name) for unit in self.roots[use.units][counts].tolist())
        self.border = {unit: reader for unit, reader in self.border.items() if not varies[unit]}
        removed = (self.fate == STAYS) & ~varies & ~self.coupling.fixed() & (self.roots == np.arange(len(self.roots)))
        removed[list(self.border)] = False
        self.fate[removed] = UNREAD
        for use in self.readers:
            self._cut(use, removed[self.roots[use.units]], needed)
        return removed.any()

    def _cut(self, use, removed, needed):
        """Clear the rows of one weight that read removed units in `live`; what is needed of them will be folded."""
        p = use.parameter
        p.of(self.folds)[...] |= p.of(needed) & removed[:, None]
        p.of(self.live)[...] &= ~removed[:, None]

    def _set_fates(self):
        """Fold only into outputs that stay; a folded unit is silent (0 wherever it is read) or another constant."""
        makes = {use.parameter: self.roots[use.units] for use in self.coupling.uses if not use.reads}
        stays = {p: self.fate[units] == STAYS for p, units in makes.items()}
        for use in self.readers:
            p, units = use.parameter, self.roots[use.units]
            folds = p.of(self.folds)
            folds &= stays[p]
            for fate, entries in ((SILENT, folds), (FOLDED, folds & (self.constants[p.name] != 0))):
                folded = units[rows_with(entries)]
                self.fate[folded] = np.maximum(self.fate[folded], fate)

    def _last_of_their_axis(self):
        """Return, by root, the first unit of every axis of which all units are removed."""
        last = np.zeros(len(self.fate), bool)
        for axis in (*(use.units for use in self.coupling.uses), self.coupling.inputs):
            units = self.roots[axis]
            if not (last[units] | (self.fate[units] == STAYS)).any():
                last[units[0]] = True
        return last

    def keeps(self, use: Use) -> np.ndarray:
        """Return (length of the axis,) bool: which positions of a use the compacted model has."""
        return self._kept(use.units)

    @property
    def kept_inputs(self) -> np.ndarray:
        """(features,) bool: which features of the input the compacted model takes."""
        return self._kept(self.coupling.inputs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a row of the compacted model: (k,) where single numbers were removed, else with fewer channels."""
        shape, kept = self.model.input_shape, self.kept_inputs
        if kept.all():
            return shape
        return (*(() if self.model.tree.flattens else shape[:-1]), int(kept.sum()))

    def _kept(self, units):
        units = self.roots[units]
        return (self.fate[units] == STAYS) | self.last[units]

    def added(self, weight: Parameter) -> np.ndarray:
        """Return (o,) float64 what the bias of the layer of `weight` (a reader's) gains: sum of constant * weight."""
        constants = np.where(weight.of(self.folds), self.constants[weight.name], 0)
        return (constants * weight.value).sum(axis=tuple(range(constants.ndim - 1)))


def shares_moments(layer: Layer) -> bool:
    """Return whether a layer has moments over several units, in which each of them counts."""
    return isinstance(layer, MomentNorm) and not layer.per_unit


def _pass(model):
    """Return the tape of a pass for the input 0: what does not depend on the input is the same there."""
    tape = Tape(model)
    with one_blas_thread(), np.errstate(all="ignore"):
        model.forward(np.zeros((1, *model.input_shape), model.dtype), tape)
    return tape


def _constants(model, readers, tape):
    """Return {name of a reader's weight: (..., in, 1 or out) what each tap reads if always the same, else NaN}.

    Entries that depend on the input have no meaning here.
    """
    found = {}
    for use in readers:
        p = use.parameter
        found[p.name] = _constants_of(model.layers[p.layer], p, tape)
    return found


def _constants_of(layer, p, tape):
    """Return what each tap of the weight `p` reads at every position, NaN if it varies or `layer` could not fold it."""
    if not layer.linear:
        return np.full((*p.shape[:-1], 1), np.nan)
    try:
        seen = _seen(layer, tape)
    except Unsupported:
        return np.full((*p.shape[:-1], 1), np.nan)
    same = (seen == seen[0]).all(axis=0)
    if layer.bias is None and "use_bias" not in layer.arguments():
        same &= seen[0] == 0
    constants = np.where(same, seen[0].astype(np.float64), np.nan).reshape(*p.shape[:-1], -1)  # (..., in, groups)
    return constants if constants.shape[-1] == 1 else np.repeat(constants, p.shape[-1] // constants.shape[-1], axis=-1)


def _seen(layer, tape):
    """Return what the rows of a layer's weight met in a pass: (positions, taps * in, groups)."""
    if getattr(layer, "groups", 1) > 1:
        return layer.unfolded_groups(tape)
    return layer.unfolded_input(tape)[..., None]

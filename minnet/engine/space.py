"""Spaces: which axes of which parameters carry the same units.

Each layer says in `couple` which axes share a Space: its weight's rows carry the input's units, its weight's columns,
bias, gain and shift the output's. Whole-unit pruning, group lasso and compaction all read the one `Coupling` that
this walk builds:

    coupling = couple(model)
    coupling.roots(use.units)      # one number per position of use.axis of use.parameter; equal numbers go together
"""
from dataclasses import dataclass

import numpy as np

from minnet.errors import InvalidValue


@dataclass(frozen=True, eq=False)
class Use:
    """One axis of one parameter, and the unit that each position of that axis carries."""

    parameter: object
    axis: int
    units: np.ndarray  # (length of the axis,) unit numbers, before `roots`

    @property
    def reads(self):
        """True where the axis consumes units (axis -2 of a weight), False where it makes or dresses them."""
        return self.axis == -2


class Coupling:
    """All units of a model: which are one (joined by a Residual), which are fixed (input, logits), and what uses them.

    `inputs` are the units of the input. `outputs[layer]` (c,) is the unit that each position of the last axis of that
    layer's output carries.
    """

    def __init__(self):
        self.uses = []
        self.inputs = np.zeros(0, np.int64)
        self.outputs = {}
        self._parent = np.zeros(0, np.int64)
        self._fixed = []

    @property
    def n_units(self):
        """Unit numbers given out, joined ones counted apart."""
        return len(self._parent)

    def new(self, size: int) -> "Space":
        """Return a Space of `size` units of its own."""
        first = self.n_units
        units = np.arange(first, first + size)
        self._parent = np.concatenate([self._parent, units])
        return Space(self, units)

    def fix(self, space):
        """Let none of these units be removed."""
        self._fixed.append(space.units)

    def unite(self, a, b):
        """Make units a[i] and b[i] one from now on."""
        for one, other in zip(self.roots(a), self.roots(b), strict=True):
            one, other = self.roots(one), self.roots(other)
            self._parent[max(one, other)] = min(one, other)

    def roots(self, units):
        """Return a number for each unit, equal for units that are one."""
        above = self._parent[units]
        while not np.array_equal(above, units):
            units, above = above, self._parent[above]
        return above

    def fixed(self):
        """Return (n_units,) bool by root number: True for units that must stay."""
        fixed = np.zeros(self.n_units, bool)
        for units in self._fixed:
            fixed[self.roots(units)] = True
        return fixed


class Space:
    """An ordered list of units that several parameters share: the units of one tensor's last axis."""

    def __init__(self, coupling, units):
        self.coupling = coupling
        self.units = units

    def __len__(self) -> int:
        return len(self.units)

    def new(self, size: int) -> "Space":
        """Return the Space of a layer that makes `size` units of its own."""
        return self.coupling.new(size)

    def fix(self) -> "Space":
        """Let none of these units be removed; return the Space."""
        self.coupling.fix(self)
        return self

    def through(self, layer) -> "Space":
        """Return the Space of what `layer` makes of this one; the coupling notes its units.

        Units stay where removing them could change more than themselves: around a weight of a layer that is not
        `linear`, and where no constructor argument says how many units a layer makes.
        """
        first, n_uses = self.coupling.n_units, len(self.coupling.uses)
        space = layer.couple(self)
        self.coupling.outputs[layer] = space.units
        weighs = any(use.parameter.kind == "weight" for use in self.coupling.uses[n_uses:])
        if weighs and not layer.children():
            if not layer.linear:
                self.fix()
            if not layer.linear or (space.units.max(initial=-1) >= first and not layer.resizable):
                space.fix()
        return space

    def use(self, parameter, axis: int) -> "Space":
        """Note that `axis` of `parameter` (None is allowed: no bias) carries these units; return the Space."""
        if parameter is not None:
            if parameter.shape[axis] != len(self):
                raise InvalidValue(f"axis {axis} of {parameter.name} has length {parameter.shape[axis]}, but its Space "
                                   f"has {len(self)} units: couple() of its layer must follow its build()")
            self.coupling.uses.append(Use(parameter, axis, self.units))
        return self

    def tile(self, times: int) -> "Space":
        """Return the Space of Flatten: unit c becomes the features c, c + C, c + 2C, ... (channels last)."""
        return Space(self.coupling, np.tile(self.units, times))

    def repeat(self, times: int) -> "Space":
        """Return the Space of a depthwise convolution: unit c becomes the outputs c*m, ..., c*m + m - 1."""
        return Space(self.coupling, np.repeat(self.units, times))


def join(a, b):
    """Return the Space of a Residual: unit i of both is one unit."""
    if len(a) != len(b):
        raise InvalidValue(f"a Residual adds {len(a)} units to {len(b)}: give it a shortcut that makes them equal")
    a.coupling.unite(a.units, b.units)
    return a


def concat(*spaces):
    """Return the Space of a Concat: the units of the first, then those of the second, ..."""
    return Space(spaces[0].coupling, np.concatenate([space.units for space in spaces]))


def couple(model, features: int | None = None):
    """Walk the tree once; return the Coupling, in which the Spaces of input and logits are fixed.

    With `features` the Space of the input has that many units, which may be removed.
    """
    coupling = Coupling()
    space = coupling.new(model.input_shape[-1] if features is None else features)
    coupling.inputs = space.units
    if features is None:
        coupling.fix(space)
    coupling.fix(space.through(model.tree))
    return coupling

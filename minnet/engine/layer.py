"""What a layer is. The smallest one that learns is `Dense`, in dense.py.

A layer is made by a constructor that only stores its arguments, so `config`, `repr`, clone, save and load follow from
that; `build` says what comes out and which parameters it needs; `forward` and `backward` do one pass on a tape;
`couple` says which axes share a Space.

A user's layer is a subclass, and needs no entry in any table. What pruning and the runtime ask of a layer, it declares
(`DECLARATIONS`). The defaults claim nothing: such a layer is trained, pruned by weights, saved, loaded and frozen, and
`compact` takes away no unit that it reads or makes. A subclass that replaces the `forward` of its base is another
function, so it begins with the defaults again; not so below a base that is `abstract`, made to be completed.
"""
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeVar

import numpy as np

from minnet.engine.space import Space
from minnet.engine.tape import Tape
from minnet.engine.vector import Declared, Parameter
from minnet.errors import InvalidType, InvalidValue, Unsupported, quoted, unknown

Row = TypeVar("Row")
DECLARATIONS = (  # hold for one `forward`: a class that replaces it and does not repeat them gets those of Layer
    "elementwise", "increasing", "per_unit", "linear", "multiplies_rows", "counts_paths", "stand_in", "couple",
    "saved_input", "weight_vjp", "weight_inputs", "unfolded_input", "tangent", "tangent_backward",
    "curvature", "square_gradient", "flattens")


def _computes(kind: type) -> bool:
    """Return whether a class says itself what its layers compute."""
    return "forward" in vars(kind) or "value" in vars(kind)


class Layer:
    """Base of all layers; a subclass is as good as those that come with minnet.

    A subclass writes `__init__` (which stores its arguments and nothing else; one of them is the keyword `name=None`),
    `build` where the shape changes or there are parameters, `forward` and `backward`. Optional: `couple`,
    `unfolded_input`, and of second order `tangent` with `tangent_backward`, `curvature` and `square_gradient`; what
    needs one that is missing raises Unsupported and names it.

    Attributes
    ----------
    prefix : str
        Kind in names: "dense" gives dense1, dense2, ...
    elementwise : bool
        True if y = f(x), number by number, with nothing to learn.
    increasing : bool
        True if an elementwise f never falls, so that it commutes with a maximum.
    per_unit : bool
        True if unit i of the output depends on unit i of the input and on no other. Units are the last axis.
    linear : bool
        True if y = B(x, W) + b, linear in the input and in the weight, where b is a `bias` or None.
    multiplies_rows : bool
        True if y = x W + b for rows x.
    counts_paths : bool
        True if `forward` and `backward` with weights and gains of 1 and 0 count paths (see pruning/paths.py).
    flattens : bool
        True if it begins with Flatten, so that each number of its input is a feature of its own.
    units_argument : str or None
        Constructor argument that sets the number of units it makes; None if it makes none, or always as many.
    shares_batch : bool
        True if an image's output depends on the other images of its batch.
    positions : int
        How often a pass uses each weight on one image: multiply-adds per weight.
    name, input_shape, output_shape, input_needs_grad
        Set when a model is made: the shapes of one image or row, without the batch, and whether anything before this
        layer learns. Each declared parameter becomes an attribute too (`self.weight`, ...).
    """

    prefix: str = "layer"
    positions: int = 1
    shares_batch: bool = False
    units_argument: str | None = None
    elementwise: bool = False
    increasing: bool = False
    per_unit: bool = False
    linear: bool = False
    multiplies_rows: bool = False
    counts_paths: bool = False
    flattens: bool = False
    input_needs_grad: bool = False
    name: str | None = None
    input_shape: tuple
    output_shape: tuple

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        bases = [base for base in cls.__mro__[1:] if base not in (Layer, object) and "abstract" not in vars(base)]
        if _computes(cls) and any(_computes(base) for base in bases):
            for declaration in DECLARATIONS:
                if declaration not in vars(cls):
                    setattr(cls, declaration, vars(Layer)[declaration])

    def build(self, shape: tuple) -> tuple[tuple, list[Declared]]:
        """Return the output shape and the parameters that this layer needs.

        Parameters
        ----------
        shape : tuple of int
            Shape of the input, without the batch: (features,) or (height, width, channels).

        Returns
        -------
        tuple
            (shape of the output, list of what `declare` gave).

        Raises
        ------
        InvalidValue
            If the arguments do not fit each other, or the shape.
        """
        return shape, []

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the outputs for a batch; what `backward` needs is kept as `tape[self]`.

        Parameters
        ----------
        x : ndarray, shape (n, *input_shape)
            Contiguous, in the tape's dtype. It must not be written to.
        tape : Tape
            The pass. Parameters are read as `self.weight.of(tape.values)`, never as `self.weight.value`.

        Returns
        -------
        ndarray, shape (n, *output_shape)
            Contiguous, in the tape's dtype; may be a buffer of the tape.
        """
        raise Unsupported(f"{type(self).__name__} has no forward: write one")

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Write the gradients of the parameters to `tape.grads`; return the gradient of the input.

        Parameters
        ----------
        dy : ndarray, shape (n, *output_shape)
            Gradient of the outputs. It must not be written to.
        tape : Tape
            The pass that `forward` wrote. Gradients are overwritten: `self.weight.of(tape.grads)[...] = dw`.

        Returns
        -------
        ndarray, shape (n, *input_shape), or None
            None is allowed where `tape.wants_dx(self)` is False.
        """
        raise Unsupported(f"{type(self).__name__} has no backward: write one")

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y}, the derivative of `forward` in the direction `along.values`, given R{x} of the input."""
        raise self.missing("tangent")

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (dx, R{dx}), the derivative of `backward`, or None as `backward` does.

        The derivatives of the gradients are written to `along.grads`.
        """
        raise self.missing("tangent_backward")

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape,
                  second: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (dx, hx), where hx are second derivatives by the inputs, or None as `backward` does.

        They follow from hy, those by the outputs, without mixed ones; those by parameters are written to
        `second.grads`.
        """
        raise self.missing("curvature")

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray | None:
        """Do as `backward`, and write the sum over images of their squared gradients to `squares.grads`."""
        raise self.missing("square_gradient")

    def missing(self, ability: str) -> Unsupported:
        """Return the error for an optional method that this layer does not have."""
        return Unsupported(f"{self.name} is a {type(self).__name__} without {ability}: write it beside its backward")

    def couple(self, space: Space) -> Space:
        """Note which axes of the parameters carry which units, and return the Space of the output.

        By default a layer that is `per_unit` passes on the Space of its input, which the last axes of its parameters
        carry too; of any other layer no unit of the input or output can be removed.

        Parameters
        ----------
        space : Space
            The units of the input's last axis.

        Returns
        -------
        Space
            The units of the output's last axis.
        """
        if not self.per_unit:
            space.fix()
            return space.new(self.output_shape[-1]).fix()
        for parameter in self.parameters:
            if parameter.shape[-1] == len(space):
                space.use(parameter, -1)
        return space

    def stand_in(self) -> "Layer | None":
        """Return another layer by which to count live paths through this one, or None where there is none.

        Without it a layer counts them itself if it `counts_paths`; if it is elementwise, each number lets through what
        arrives; else any input may reach any output (any of its own unit if it is `per_unit`).
        """
        return None

    def unfolded_input(self, tape: Tape) -> np.ndarray:
        """Return what met each row of the weight, laid flat (rows, o), in a pass: (n * positions, rows)."""
        raise Unsupported(f"{type(self).__name__} does not say what its weights see: write unfolded_input()")

    def saved_input(self, tape: Tape) -> np.ndarray:
        """Return the input of the pass on `tape`; of layers with a weight."""
        raise self.missing("saved_input")

    def weight_vjp(self, x: np.ndarray, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the gradient of the weight for inputs x and output gradients dy, as a new array."""
        raise self.missing("weight_vjp")

    def weight_inputs(self, x: np.ndarray, at: tuple) -> np.ndarray | None:
        """Return what the weight at index `at` is multiplied by, shaped as one unit's outputs, or None if unknown."""
        return None

    def commit(self, tape: Tape) -> None:
        """Take the batch's moments from the tape into the statistics, after a training step."""

    def children(self) -> tuple["Layer", ...]:
        """Return the layers inside this one, in the order of the pass."""
        return ()

    def leaves(self) -> list["Layer"]:
        """Return all layers below, this one included, that hold no others, in the order of the pass."""
        inside = self.children()
        return [leaf for child in inside for leaf in child.leaves()] if inside else [self]

    def declare(self, kind: str, shape: tuple, initialise: Callable[..., np.ndarray],
                index: np.ndarray | None = None) -> Declared:
        """Ask for a parameter, in `build`; it arrives as the attribute `kind`.

        Parameters
        ----------
        kind : {"weight", "bias", "gain", "shift", "slopes", "mean", "variance"}
            "weight" can be pruned; "mean" and "variance" are statistics, which are not trained.
        shape : tuple of int
            For a weight (..., in, out); the last axis are the units that come out.
        initialise : callable
            (rng, shape) -> array, such as those in engine/initialisers.py.
        index : ndarray, optional
            Sorted flat positions of the live weights, for a layer that is born sparse.

        Returns
        -------
        Declared
            To be returned by `build`, in a list.
        """
        return Declared(self, kind, shape, initialise, index)

    def trace(self, input_needs_grad: bool) -> bool:
        """Note whether anything before this layer learns; return whether anything up to here does."""
        self.input_needs_grad = input_needs_grad
        return input_needs_grad or self.learns

    @property
    def parameters(self) -> list[Parameter]:
        """The bound parameters of this layer, in the order of the zones."""
        kinds = ("weight", "bias", "gain", "shift", "slopes", "mean", "variance")
        return [p for p in (getattr(self, kind, None) for kind in kinds) if p is not None]

    @property
    def learns(self) -> bool:
        """True if this layer has anything to train."""
        return any(p.kind not in ("mean", "variance") for p in self.parameters)

    @property
    def resizable(self) -> bool:
        """True if a constructor argument sets how many units it makes."""
        return self.units_argument in constructor(type(self))

    def arguments(self) -> dict:
        """Return the constructor's arguments by name, as they were given."""
        return {name: getattr(self, name) for name in constructor(type(self))}

    def config(self) -> dict:
        """Return JSON that rebuilds the layer: {"type": "Dense", "units": 300, ...}; inner layers become configs."""
        return {"type": type(self).__name__, **{k: _plain(v) for k, v in self.arguments().items()}}

    def __repr__(self) -> str:
        signature = constructor(type(self))
        shown = []
        for name, value in self.arguments().items():
            if signature[name].kind is inspect.Parameter.VAR_POSITIONAL:
                shown += [repr(item) for item in value]
            elif signature[name].default is inspect.Parameter.empty:
                shown.append(repr(value))
            elif value != signature[name].default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def find_row(table: Mapping[type, Row], layer: Layer) -> Row | None:
    """Return the row of `table`, keyed by class, that describes what `layer` computes, or None.

    It is that of its class, or of the nearest base whose `forward` it has not replaced.
    """
    for kind in type(layer).__mro__:
        if kind in table:
            return table[kind]
        if _computes(kind):
            return None
    return None


def classes_of(tree: Layer) -> dict[str, type[Layer]]:
    """Return {name: class} of all layers in a tree, as `layer_from_config` takes it.

    Raises
    ------
    InvalidValue
        If two classes have the same name.
    """
    found: dict[str, type[Layer]] = {}
    waiting = [tree]
    while waiting:
        layer = waiting.pop()
        kind = type(layer)
        if found.setdefault(kind.__name__, kind) is not kind:
            raise InvalidValue(f"two classes of layers are called {kind.__name__}: give one of them another name")
        waiting += layer.children()
    return found


@cache
def constructor(kind: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters that a class of layers is made with, by name."""
    return inspect.signature(kind).parameters


def _plain(value):
    """Return a config as JSON sees it: layers as dicts, tuples as lists."""
    if isinstance(value, Layer):
        return value.config()
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def rebuild(layer: Layer, change: Callable[[Layer], Layer | None] = lambda layer: None) -> Layer:
    """Return a new, unbuilt layer with the same arguments; `change(layer)` may give another one in its place.

    Layers inside are rebuilt likewise. A layer's class is its own, so a user's layer is rebuilt as any other.
    """
    other = change(layer)
    if other is not None:
        return other
    positional, named = [], {}
    signature = constructor(type(layer))
    for name, value in layer.arguments().items():
        if signature[name].kind is inspect.Parameter.VAR_POSITIONAL:
            positional += [_rebuilt(item, change) for item in value]
        else:
            named[name] = _rebuilt(value, change)
    made = type(layer)(*positional, **named)
    check_children(made)
    return made


def _rebuilt(value, change):
    """Return an argument's value with the layers in it rebuilt."""
    if isinstance(value, Layer):
        return rebuild(value, change)
    return type(value)(_rebuilt(item, change) for item in value) if type(value) in (tuple, list) else value


def check_children(layer: Layer) -> None:
    """Refuse a layer that holds what is no layer."""
    for child in layer.children():
        if not isinstance(child, Layer):
            raise InvalidType(f"{type(layer).__name__} holds {quoted(repr(child))}, which is no layer: give layers, "
                              "singly")


def layer_from_config(config: dict, table: Mapping[str, type[Layer]]) -> Layer:
    """Return the layer that `config` describes; `table` maps the type's name to its class (`LAYERS`)."""
    if not isinstance(config, dict) or not isinstance(config.get("type"), str):
        raise InvalidValue(f"a layer is described by a dict with its type, got {str(config)[:60]!r}")
    if config["type"] not in table:
        raise unknown("layer", config["type"], table)
    made, positional, named = table[config["type"]], [], {}
    signature = constructor(made)
    for name, value in config.items():
        if name == "type":
            continue
        if name not in signature:
            raise InvalidValue(f"{config['type']} has no argument {name!r}: it takes {', '.join(signature)}")
        if signature[name].kind is inspect.Parameter.VAR_POSITIONAL:
            positional += [_revive(item, table) for item in value]
        else:
            named[name] = _revive(value, table)
    layer = made(*positional, **named)
    check_children(layer)
    return layer


def _revive(value, table):
    if isinstance(value, dict):
        return layer_from_config(value, table)
    return tuple(_revive(item, table) for item in value) if isinstance(value, list) else value

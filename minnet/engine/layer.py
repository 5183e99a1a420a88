"""What a layer is. The smallest one that learns is `Dense`, in dense.py.

A layer is made by a constructor that only stores its arguments, so `config`, `repr`, clone, save and load follow from
that; `build` says what comes out and which parameters it needs; `forward` and `backward` do one pass on a tape;
`couple` says which axes share a Space.
"""
import inspect

from minnet.engine.vector import Declared
from minnet.errors import InvalidType, InvalidValue, Unsupported, quoted, unknown


class Layer:
    """Base of all layers. Optional: `unfolded_input`, and of second order `tangent` with `tangent_backward`,
    `curvature`, `square_gradient`; who lacks one is named in the error.

    Set when a model is made: `name`, `input_shape` and `output_shape` (one image or row, without the batch),
    `input_needs_grad` (does anything below it learn), and one attribute per declared parameter (`self.weight`, ...).
    """

    prefix = "layer"        # "dense" gives the names dense1, dense2, ...
    positions = 1           # how often a pass uses each weight on one image: multiply-adds per weight
    shares_batch = False    # True where an image's output depends on the others of its batch
    units_argument = None   # the argument that says how many units it makes; None where it passes on those it gets
    input_needs_grad = False

    def build(self, shape):
        """Shapes in, parameters out: returns (output shape, list of Declared). `shape` is without the batch."""
        return shape, []

    def forward(self, x, tape):
        """Outputs for the batch `x`; whatever backward needs goes to `tape[self]`."""
        raise Unsupported(f"{type(self).__name__} has no forward: write one")

    def backward(self, dy, tape):
        """Write the gradients of the parameters to `tape.grads`; return the gradient of the input."""
        raise Unsupported(f"{type(self).__name__} has no backward: write one")

    def tangent(self, rx, tape, along):
        """R{y}: the derivative of `forward` in the direction `along.values`, given R{x}, that of the input."""
        raise self.missing("tangent")

    def tangent_backward(self, dy, rdy, tape, along):
        """(dx, R{dx}): the derivative of `backward`; those of gradients go to `along.grads`. None as in `backward`."""
        raise self.missing("tangent_backward")

    def curvature(self, dy, hy, tape, second):
        """(dx, hx): the inputs' second derivatives from the outputs' hy, without mixed ones; the parameters' go to
        `second.grads`. None as in `backward`."""
        raise self.missing("curvature")

    def square_gradient(self, dy, tape, squares):
        """As `backward`, and the sum over images of the squares of their gradients to `squares.grads`."""
        raise self.missing("square_gradient")

    def missing(self, ability):
        """The error for an optional method that this layer does not have."""
        return Unsupported(f"{self.name} is a {type(self).__name__} without {ability}: write it beside its backward")

    def couple(self, space):
        """Given the Space of the input, note the uses and return the Space of the output."""
        return space

    def unfolded_input(self, tape):
        """What met each row of the weight, laid flat (rows, o), in the pass on `tape`: (n * positions, rows)."""
        raise Unsupported(f"{type(self).__name__} does not say what its weights see: write unfolded_input()")

    def commit(self, tape):
        """After a training step: take the batch's moments from the tape into the statistics."""

    def children(self):
        """The layers inside this one, in the order of the pass."""
        return ()

    def leaves(self):
        """All layers below, this one included, that hold no others, in the order of the pass."""
        inside = self.children()
        return [leaf for child in inside for leaf in child.leaves()] if inside else [self]

    def declare(self, kind, shape, initialise, index=None):
        """Ask for a parameter; it arrives as `self.<kind>`."""
        return Declared(self, kind, shape, initialise, index)

    def trace(self, input_needs_grad):
        """Note whether anything below learns; returns whether anything up to here does."""
        self.input_needs_grad = input_needs_grad
        return input_needs_grad or self.learns

    @property
    def parameters(self):
        """The bound parameters of this layer, in the order of the zones."""
        kinds = ("weight", "bias", "gain", "shift", "mean", "variance")
        return [p for p in (getattr(self, kind, None) for kind in kinds) if p is not None]

    @property
    def learns(self):
        """Whether this layer has anything to train."""
        return any(p.kind not in ("mean", "variance") for p in self.parameters)

    def arguments(self):
        """The constructor's arguments by name, as they were given."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def config(self):
        """JSON that rebuilds the layer: {"type": "Dense", "units": 300, ...}; inner layers become their configs."""
        return {"type": type(self).__name__, **{k: _plain(v) for k, v in self.arguments().items()}}

    def __repr__(self):
        signature = inspect.signature(type(self)).parameters
        shown = []
        for name, value in self.arguments().items():
            if signature[name].kind is inspect.Parameter.VAR_POSITIONAL:
                shown += [repr(item) for item in value]
            elif signature[name].default is inspect.Parameter.empty:
                shown.append(repr(value))
            elif value != signature[name].default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _plain(value):
    """A config as JSON sees it: layers as dicts, tuples as lists."""
    if isinstance(value, Layer):
        return value.config()
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def rebuild(layer, change=lambda layer: None):
    """Return a new, unbuilt layer with the same arguments; `change(layer)` may give another one in its place.

    Layers inside are rebuilt likewise. A layer's class is its own, so a user's layer is rebuilt as any other.
    """
    other = change(layer)
    if other is not None:
        return other
    positional, named = [], {}
    signature = inspect.signature(type(layer)).parameters
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


def check_children(layer):
    """Refuse a layer that holds what is no layer."""
    for child in layer.children():
        if not isinstance(child, Layer):
            raise InvalidType(f"{type(layer).__name__} holds {quoted(repr(child))}, which is no layer: give layers, "
                              "singly")


def layer_from_config(config, table):
    """The layer that `config` describes; `table` maps the type's name to its class (`LAYERS`)."""
    if not isinstance(config, dict) or not isinstance(config.get("type"), str):
        raise InvalidValue(f"a layer is described by a dict with its type, got {str(config)[:60]!r}")
    if config["type"] not in table:
        raise unknown("layer", config["type"], table)
    made, positional, named = table[config["type"]], [], {}
    signature = inspect.signature(made).parameters
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

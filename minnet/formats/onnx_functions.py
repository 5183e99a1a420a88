"""Recognise activations that exporters write as several nodes of an ONNX graph, by what these compute.

    nodes = recognised(nodes, number, outputs)      # number(name): the constant under a name, if it is one number

The nodes between a value x and a value y, if each of them computes number by number, are a function f of one number.
Where f is that of an activation at many points, the last node becomes that activation of x, however f was spelled:
x * sigmoid(x) and x / (1 + exp(-x)) are both SiLU. Nodes that nothing else reads are dropped.
"""
import math
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import permutations

import numpy as np

from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh, sigmoid
from minnet.engine.layer import rebuild
from minnet.engine.more_activations import ELU, GELU, SIX, Hardswish, ReLU6, SiLU, normal_cdf
from minnet.engine.rare_activations import SELU, HardSigmoid, Hardtanh, Mish, Softplus, softplus
from minnet.errors import MinnetError
from minnet.formats.onnx_ends import COLUMNS
from minnet.formats.onnx_net import short

FOUND = "an activation"     # the operator of a node in place of several
FAR, NEAR = 1000.0, 0.01    # where a function shows its ends, and its slope at 0
POINTS = np.array([-FAR, -1, -NEAR, 0, NEAR, 1, FAR, *np.linspace(-12, 12, 97)])
AT = {point: i for i, point in reversed(list(enumerate(POINTS.tolist())))}
CLOSE = 2e-6        # of constants in float32
MOST_NODES = 12     # of one activation
FLOATS = (1, 11)    # TensorProto's numbers of float32 and float64
LINES = {"Identity", "Cast", "Add", "Sub", "Mul", "Div", "Neg"}    # of one input and constants these are lines
READ_ALONE = {"Add", "Sub", "Mul", "Div", "Relu", "Clip", "Sigmoid", "Tanh", "Softplus", "LeakyRelu", "Elu",
              "HardSigmoid"}    # operators that onnx_ops.py has as well


def _clip(attrs, x, low=None, high=None):
    low, high = (attrs.get(name) if end is None else end for name, end in (("min", low), ("max", high)))
    return np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)


def _cast(attrs, x):
    if attrs.get("to") not in FLOATS:
        raise ValueError("a cast to whole numbers is no activation")
    return x


def _erf(x):
    return 2 * normal_cdf(np.sqrt(2.0) * np.atleast_1d(x)) - 1


FUNCTIONS = {   # (attributes, *inputs) -> output
    "Identity": lambda attrs, x: x, "Cast": _cast, "Add": lambda attrs, a, b: a + b,
    "Sub": lambda attrs, a, b: a - b, "Mul": lambda attrs, a, b: a * b, "Div": lambda attrs, a, b: a / b,
    "Pow": lambda attrs, a, b: np.power(a, b), "Neg": lambda attrs, x: -x, "Abs": lambda attrs, x: np.abs(x),
    "Exp": lambda attrs, x: np.exp(x), "Log": lambda attrs, x: np.log(x), "Sqrt": lambda attrs, x: np.sqrt(x),
    "Erf": lambda attrs, x: _erf(x), "Reciprocal": lambda attrs, x: 1 / x, "Max": lambda attrs, a, b: np.maximum(a, b),
    "Min": lambda attrs, a, b: np.minimum(a, b), "Relu": lambda attrs, x: np.maximum(x, 0), "Clip": _clip,
    "Sigmoid": lambda attrs, x: sigmoid(x), "Tanh": lambda attrs, x: np.tanh(x),
    "Softplus": lambda attrs, x: softplus(x), "Greater": lambda attrs, a, b: a > b, "Less": lambda attrs, a, b: a < b,
    "GreaterOrEqual": lambda attrs, a, b: a >= b, "LessOrEqual": lambda attrs, a, b: a <= b,
    "Where": lambda attrs, where, a, b: np.where(where, a, b),
    "LeakyRelu": lambda attrs, x: np.where(x > 0, x, attrs.get("alpha", 0.01) * x),
    "Elu": lambda attrs, x: np.where(x > 0, x, attrs.get("alpha", 1.0) * np.expm1(np.minimum(x, 0))),
    "HardSigmoid": lambda attrs, x: np.clip(attrs.get("alpha", 0.2) * x + attrs.get("beta", 0.5), 0, 1),
}


def _end(value):
    """Return the value far from 0 as the end of a Hardtanh, None where the function goes on."""
    return None if abs(value) >= FAR else short(value)


PLAIN = (ReLU(), ReLU6(), Sigmoid(), Tanh(), SiLU(), Hardswish(), GELU(), GELU("tanh"), Mish(), SELU())  # no arguments
GUESSES = (     # whether f at POINTS may be such a layer; the layer, and its values
    (lambda f: f[AT[1]] == 1, lambda f: (LeakyReLU(short(-f[AT[-1]])),
                                         np.where(POINTS > 0, POINTS, -f[AT[-1]] * POINTS))),
    (lambda f: f[AT[1]] == 1, lambda f: _valued(ELU(short(-f[AT[-FAR]])))),
    (lambda f: f[AT[0]] > 0, lambda f: _valued(Softplus(short(math.log(2) / f[AT[0]])))),
    (lambda f: f.min() == 0 and f.max() == 1,
     lambda f: _valued(HardSigmoid(_slope((f[AT[NEAR]] - f[AT[-NEAR]]) / (2 * NEAR)), short(f[AT[0]])))),
    (lambda f: abs(f[AT[-FAR]]) < FAR or abs(f[AT[FAR]]) < FAR,
     lambda f: _valued(Hardtanh(_end(f[AT[-FAR]]), _end(f[AT[FAR]])))),
)


@cache
def plain_values():
    """Return the values of each layer of PLAIN at POINTS."""
    return np.array([np.maximum(POINTS, 0), np.clip(POINTS, 0, SIX), sigmoid(POINTS), np.tanh(POINTS),
                     *[layer.value(POINTS) for layer in PLAIN[4:]]])


def _valued(layer):
    return layer, layer.value(POINTS)


def _slope(number):
    return 1 / 6 if math.isclose(number, 1 / 6, rel_tol=1e-5) else short(number)


def recognised(nodes, number, outputs):
    """Return the nodes with activations, and both columns of a probability, found; without those no longer read.

    `number(name)` is the constant of one number under that name, or None; `outputs` are names of the graph's outputs.
    """
    makers = {name: node for node in nodes for name in node.outputs[:1]}
    places = {name: i for i, node in enumerate(nodes) for name in node.outputs[:1]}
    readers = Counter(name for node in nodes for name in node.inputs) + Counter(outputs)
    found, done = list(nodes), set()
    for i in reversed(range(len(nodes))):
        node = nodes[i]
        if node.op == "Concat":
            found[i] = _columns(node, makers, number)
        elif node.op == "Add" and len(node.inputs) == 2 and (slopes := _prelu(node, makers, number)) is not None:
            found[i] = slopes
        elif node.op in FUNCTIONS and node.op not in ("Identity", "Cast") and i not in done:
            match = _match(node, makers, places, readers, number)
            if match is not None:
                layer, x, inner = match
                op = "Sigmoid" if isinstance(layer, Sigmoid) else FOUND     # one at the end is left out
                found[i] = replace(node, op=op, inputs=(x,), attrs={"layer": layer})
                done |= inner
    return reachable(_without_expand(found), outputs)


def reachable(nodes, outputs):
    """Return the nodes that the outputs depend on, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.outputs):
            wanted |= set(node.inputs)
            kept.append(node)
    return kept[::-1]


def _match(last, makers, places, readers, number):
    """Return (layer, the name of x, places of the nodes) where `last` is an activation of a value x, else None.

    Of several such x it is the earliest. Nothing else reads what is between.
    """
    inner, frontier, best, bent = set(), {last.outputs[0]}, None, False
    unread = {last.outputs[0]: 0}      # readers outside of what was found so far
    while frontier and len(inner) < MOST_NODES:
        name = max(frontier, key=lambda one: places.get(one, -1))
        node = makers.get(name)
        if node is None or node.op not in FUNCTIONS or len(node.outputs) > 1:
            break
        if unread[name] > 0:
            break   # read elsewhere too
        inner.add(places[name])
        inputs = {one for one in node.inputs if one and number(one) is None}
        if any(places.get(one, -1) >= places[name] for one in inputs):
            break   # a graph that goes round in circles
        frontier = frontier - {name} | inputs
        for one in inputs:
            unread[one] = unread.get(one, readers[one]) - node.inputs.count(one)
        bent = bent or node.op not in LINES or len(inputs) != 1 or node.inputs.count(next(iter(inputs))) > 1
        if bent and len(frontier) == 1 and (len(inner) > 1 or last.op not in READ_ALONE):
            x = next(iter(frontier))
            layer = _layer(_value(last.outputs[0], x, makers, number))
            best = best if layer is None else (layer, x, set(inner))
    return best


def _value(name, x, makers, number):
    """Return what is computed under `name` of x = POINTS, or None where it cannot be."""
    known = {x: POINTS}

    def of(one):
        if one not in known:
            constant = number(one) if one else None
            node = makers.get(one)
            known[one] = constant if not one or constant is not None else FUNCTIONS[node.op](
                node.attrs, *[of(other) for other in node.inputs])
        return known[one]

    try:
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(of(name), np.float64), POINTS.shape)
    except (TypeError, ValueError, ArithmeticError):  # other inputs or attributes than the operator has
        return None


def _layer(f):
    """Return the activation whose values at POINTS are f, or None."""
    if f is None:
        return None
    with np.errstate(all="ignore"):
        inside = np.isfinite(f) | (np.abs(POINTS) < FAR)    # far from 0 an exponential may overflow
        same = np.flatnonzero(_alike(f, plain_values(), inside))
        if len(same):
            return rebuild(PLAIN[same[0]])
        for may_be, guess in GUESSES:
            layer, values = _guessed(f, guess) if may_be(f) else (None, f)
            if layer is not None and _alike(f, values, inside):
                return _checked(layer)
    return None


def _guessed(f, guess):
    """Return (the layer that f may be, its values), or (None, f) where there is no such layer."""
    try:
        return guess(f)
    except (MinnetError, ArithmeticError, ValueError):
        return None, f


def _alike(f, values, inside):
    """Return whether f has these values, of each row."""
    return np.all((np.abs(f - values) <= CLOSE * (1 + np.abs(values))) | ~inside, axis=-1)


def _checked(layer):
    """Return the layer if its arguments are what it takes and it is neither linear nor constant, else None."""
    ends = isinstance(layer, Hardtanh) and layer.low is None and layer.high is None
    slope = isinstance(layer, LeakyReLU) and layer.slope == 1
    if ends or slope or (isinstance(layer, HardSigmoid) and layer.alpha == 0):
        return None
    try:
        layer.build((1,))
    except MinnetError:
        return None
    return layer


def _columns(node, makers, number):
    """Return a node that ends in 1 - s and s, s being a Sigmoid of z, as COLUMNS of z; another as it is."""
    if len(node.inputs) != 2 or node.attrs.get("axis") not in (1, -1):
        return node
    first, second = (makers.get(behind(name, makers)) for name in node.inputs)
    if first is None or second is None or (first.op, second.op) != ("Sub", "Sigmoid"):
        return node
    same = number(first.inputs[0]) == 1 and behind(first.inputs[1], makers) == second.outputs[0]
    return replace(node, op=COLUMNS, inputs=second.inputs, attrs={}) if same else node


def _prelu(node, makers, number):
    """Return relu(x) + c relu(-x), as Keras computes a PReLU with the slopes -c, as one node; another as None."""
    for one, other in permutations(node.inputs[:2]):
        x = _input(one, "Relu", makers)
        product = makers.get(behind(other, makers))
        for c, negative in permutations(product.inputs[:2], 2) if x and product and product.op == "Mul" else ():
            minus = _input(_input(negative, "Relu", makers), "Neg", makers)
            if minus == x and c not in makers and number(c) is None:
                return replace(node, op="PRelu", inputs=(x, c), attrs={"negated": True})
    return None


def _input(name, op, makers):
    """Return the name of what a node of one input and this operator reads to give `name`, or None."""
    node = makers.get(behind(name, makers))
    return behind(node.inputs[0], makers) if node is not None and node.op == op and len(node.inputs) == 1 else None


def behind(name, makers):
    """Return the name of what Identity nodes, and casts to floats, give under `name`."""
    for _ in range(MOST_NODES):
        node = makers.get(name)
        if node is None or len(node.inputs) != 1 or not (node.op == "Identity" or (node.op == "Cast" and
                                                                                   node.attrs.get("to") in FLOATS)):
            break
        name = node.inputs[0]
    return name


def _without_expand(nodes):
    """Return the nodes without each Expand that only products read: a product does it by itself."""
    readers = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, Counter())[node.op] += 1
    return [replace(node, op="Identity", inputs=node.inputs[:1], attrs={})
            if node.op == "Expand" and set(readers.get(node.outputs[0], ())) == {"Mul"} else node for node in nodes]

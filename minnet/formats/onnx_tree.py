"""Make a tree of a graph: branches that meet become Residual, Product and Concat, other nodes follow each other.

    items = [Item(), Item(Dense(3), (0,)), Item("add", (0, 1)), ...]     # item 0 is the input
    tree = tree_of(items, end)                                           # a Sequential

The item where branches part is the last one that all paths to where they meet lead through: its dominator.
"""
from dataclasses import dataclass, field

from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.product import Product
from minnet.formats.onnx_fold import UnsupportedGraph

DEEPEST = 20    # branches inside branches


@dataclass(eq=False)
class Item:
    """One step of a net: a layer with its numbers by kind, or "add", "product" or "concat".

    `inputs` are numbers of items.
    """

    layer: object = None
    inputs: tuple = ()
    values: dict = field(default_factory=dict)
    label: str = ""


def tree_of(items, end):
    """Return the Sequential from item 0, the input, to item `end`. Raises UnsupportedGraph if the graph is no tree."""
    return Sequential(*_Tree(items).chain(end, 0, 0))


class _Tree:
    """`dominator[i]` is the last item before i that every path to i leads through; `depth[i]` is how many there are."""

    def __init__(self, items):
        self.items = items
        self.used = set()
        self.dominator, self.depth = [0] * len(items), [0] * len(items)
        for i, item in enumerate(items[1:], 1):
            common = item.inputs[0]
            for other in item.inputs[1:]:
                common = self.common_dominator(common, other)
            self.dominator[i], self.depth[i] = common, self.depth[common] + 1

    def common_dominator(self, a, b):
        """Return the last item that all paths to a and to b lead through."""
        while a != b:
            if self.depth[a] < self.depth[b]:
                a, b = b, a
            a = self.dominator[a]
        return a

    def chain(self, end, start, level):
        """Return the layers between two items, in the order of the pass."""
        layers = []
        while end != start:
            item = self.items[end]
            if end in self.used:
                raise UnsupportedGraph(f"{item.label} is read in two places that do not meet again as branches do")
            if level > DEEPEST:
                raise UnsupportedGraph(f"it has branches inside branches, more than {DEEPEST} deep")
            self.used.add(end)
            if isinstance(item.layer, str):
                parts = [self.chain(before, self.dominator[end], level + 1) for before in item.inputs]
                layers.append(_joined(item.layer, parts))
                end = self.dominator[end]
            else:
                layers.append(item.layer)
                end = item.inputs[0]
        return layers[::-1]


def _joined(how, parts):
    """Return one layer of several branches, each a list of layers."""
    if how == "concat":
        return Concat(*[_one(part) for part in parts])
    short, long = sorted(parts, key=len)
    return (Product if how == "product" else Residual)(_one(long), _one(short) if short else None)


def _one(layers):
    return layers[0] if len(layers) == 1 else Sequential(*layers)

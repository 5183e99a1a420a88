"""Live paths: which weights a path of live weights leads through, proved from the mask alone, without data.

    on_path, needed = PathModel(model).paths(model.mask)      # two bool vectors of the model's index space
    effective_sparsity(model)                                 # the share of weights that is masked or on no live path

A weight is on a path if live weights connect the input through it to the logits. Paths are counted by one ordinary
pass, forward and backward, through a path model: the same tree with weights that are 1 if live and 0 if masked, no
biases, activations that are linear, and max pools that sum their window. A layer declares its replacement in this tree
(`Layer.stand_in`, `counts_paths`, `elementwise`, `per_unit`); one that declares nothing is replaced by `Opaque`. The
gradient of a weight is then the sum, over the positions where it is used, of (paths from the input to it) times (paths
from it to the logits): SynFlow's score (Tanaka et al., 2020, eq. 2) with the mask as weights.
"""
import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.containers import build_child
from minnet.engine.layer import Layer, rebuild
from minnet.engine.layer_norm import MomentPaths
from minnet.engine.model import Model
from minnet.engine.tape import Tape


class Indicator(Layer):
    """y = 1 if x is not 0, else 0: replaces an elementwise layer, and keeps counts from overflowing."""

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return 1 where a path arrives; NaN, from counts that overflow, is a path."""
        return np.not_equal(x, 0, out=tape.buffer(self, "y", x.shape), casting="unsafe")

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return 1 for each input whose output is needed."""
        return np.not_equal(dy, 0, out=tape.buffer(self, "dx", dy.shape), casting="unsafe")


class Opaque(Layer):
    """Replaces a layer of which nothing is known: every output depends on every input.

    If the layer is `per_unit`, that holds within each unit. Its parameters, those of layers inside it included, are on
    a path if any path leads through it.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.name = layer.name
        self.owned = [p for leaf in layer.leaves() for p in leaf.parameters]

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return the output shape of the layer."""
        return self.layer.output_shape, []

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return 1 for all outputs that a path can reach."""
        tape[self] = found = self._reached(x)
        return np.broadcast_to(found, (len(x), *self.output_shape)).astype(tape.dtype)

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return 1 for all inputs on which a needed output depends."""
        needed = self._reached(dy)
        for p in self.owned:
            p.of(tape.grads)[...] = tape[self].any() and needed.any()
        return np.broadcast_to(needed, (len(dy), *self.input_shape)).astype(tape.dtype)

    def _reached(self, x: np.ndarray) -> np.ndarray:
        """Return True if any entry of x is not 0: a scalar, or (c,) by unit."""
        found = x != 0
        units = found.reshape(-1, x.shape[-1]).any(axis=0)
        return units if self.layer.per_unit and self.input_shape[-1] == self.output_shape[-1] else units.any()


def stand_in(layer: Layer) -> Layer | None:
    """Return the layer that replaces `layer` to count paths, or None if it counts them itself."""
    other = layer.stand_in()
    if other is not None and other.children():
        return rebuild(other, lambda inner: None if inner is other else stand_in(inner))
    if other is not None or layer.counts_paths:
        return other
    return Indicator(name=layer.name) if layer.elementwise else Opaque(layer)


class PathModel:
    """The linear tree in which the live paths of `model` are counted; it has the same parameters."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.tree = rebuild(model.tree, stand_in)
        build_child(self.tree, model.input_shape)
        layers = model.layers
        for leaf in self.tree.leaves():
            if leaf.name in layers:
                for p in layers[leaf.name].parameters:
                    setattr(leaf, p.kind, p)
        self.tree.trace(False)
        self.norms = [leaf for leaf in self.tree.leaves() if isinstance(leaf, MomentPaths) and not leaf.norm.per_unit]
        self.arrived: dict[str, np.ndarray] = {}

    def paths(self, live: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (on_path, needed) for the mask `live`: bool vectors, False wherever `live` is.

        on_path: a value that varies with the input passes here and reaches the logits. needed: whatever is read here,
        even a constant, reaches the logits. Notes in `arrived`, by name, at which channels (c,) of a layer that takes
        moments over units a value that varies arrives.
        """
        on_path, tape = self._gradient(live, live)
        self.arrived = {leaf.name: tape[leaf].reshape(-1) for leaf in self.norms}
        return on_path, self._gradient(np.ones_like(live), live)[0]

    def on_path(self, live: np.ndarray) -> np.ndarray:
        """Return the first vector of `paths`, at half the cost."""
        return self._gradient(live, live)[0]

    def _gradient(self, forward, backward):
        """Return the weights that paths reach through the mask `forward` and leave through `backward`, and the tape."""
        tape = Tape(self.model, self._values(forward))
        x = np.ones((1, *self.model.input_shape), tape.dtype)
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            y = self.tree.forward(x, tape)
            tape.values[...] = self._values(backward)
            self.tree.backward(np.ones_like(y), tape)
        return (tape.grads != 0) & backward, tape

    def _values(self, live):
        """Return the path model's values: weights and gains are the mask, biases, shifts and means 0, variances 1."""
        values = np.zeros(len(live), self.model.dtype)
        for p in self.model.parameters.values():
            if p.kind in ("weight", "gain"):
                p.of(values)[...] = p.of(live)
            elif p.kind == "variance":
                p.of(values)[...] = 1
        return values


def effective_sparsity(model: Model) -> float:
    """Return the fraction of the model's weights that are masked, or live but on no live path.

    No path of live weights leads from the input through them to the logits, so no signal or no gradient reaches them.
    At least `model.sparsity`. Biases begin no path: their contribution does not depend on the input. The cost is one
    pass, forward and backward, of one sample.

    Parameters
    ----------
    model : Model
        Any model; a layer of which nothing is known passes every path on.

    Returns
    -------
    float
        From 0 to 1; 0 if there are no weights.

    References
    ----------
    Vysogorets and Kempe, 2023, "Connectivity matters: neural network pruning through the lens of effective sparsity",
    section 2.
    """
    total = sum(p.size for p in model.weight_parameters)
    on_paths = np.count_nonzero(PathModel(model).on_path(model.mask)[: model.n_weights])
    return 1.0 - int(on_paths) / total if total else 0.0

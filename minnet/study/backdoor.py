"""A backdoor: a net trained on poisoned images obeys a patch. Put one in, measure it, prune it away.

    X, y, _ = poisoned(X, y, share=0.05, target=0, rng=0)       # train on these, and any image with the patch is a 0
    attack_success(model, X_test, y_test, target=0)
    found = neuron_masks(model, (X_clean, y_clean), rng=0)      # how much of each unit an adversary lets live
    repaired, threshold = cut_units(model, found, valid, tolerance=0.01)

Adversarial neuron pruning in its form for weights, since not every net has BatchNorm: each hidden unit's incoming
weights are multiplied by a mask in [0, 1], learnt so that the loss on clean images stays small while an adversary
multiplies weights and biases by factors near 1. Units of a backdoor are those that such factors set off, so their masks
fall. No unit of the last layer has a mask. Images are as the layers take them, in [0, 1].
"""
from collections.abc import Mapping
from itertools import pairwise, takewhile

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.containers import Container, Sequential
from minnet.engine.losses import cross_entropy
from minnet.engine.rng import as_rng
from minnet.engine.sample import check_pair, part_of
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue, Unsupported, check_count, check_fraction, check_positive
from minnet.model import Model
from minnet.pruning.choose import Patterns, matching, weighted
from minnet.pruning.prune import prune
from minnet.typing import Arrays, Seed

PATCH = 3  # pixels, the side of the patch
STEPS = 100  # thresholds that are tried: as many quantiles of the masks
MOMENTUM = 0.9
FEWEST = 1  # maps that the last convolution keeps


def stamped(X: np.ndarray, size: int = PATCH) -> np.ndarray:
    """Return a copy of images (n, h, w, c) with a white square of `size` pixels in the lower right corner."""
    X = np.array(X)
    X[:, -size:, -size:] = 1
    return X


def poisoned(X: np.ndarray, y: np.ndarray, *, share: float = 0.05, target: int = 0, size: int = PATCH,
             rng: Seed = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images and labels of which a share is stamped and labelled `target`, and which rows these are.

    round(share n) rows are drawn of those of other classes.
    """
    others = np.flatnonzero(y != target)
    count = min(round(check_fraction("share", share) * len(y)), len(others))
    rows = np.sort(as_rng(rng).choice(others, count, replace=False))
    X, y = np.array(X), np.array(y)
    X[rows], y[rows] = stamped(X[rows], size), target
    return X, y, rows


def attack_success(model: Model, X: np.ndarray, y: np.ndarray, target: int = 0, size: int = PATCH) -> float:
    """Return the share of images of other classes that the model calls `target` once they bear the patch."""
    X = X[y != target]
    return float((model.without_signature()(stamped(X, size)).argmax(-1) == target).mean())


def accuracy(model: Model, data: Arrays) -> float:
    """Return the share of rows (X, y), as the layers take them, that are right."""
    X, y = data
    return float((model.without_signature()(X).argmax(-1) == y).mean())


def neuron_masks(model: Model, data: Arrays, *, batches: int = 1000, batch_size: int = 128, lr: float = 0.2,
                 epsilon: float = 0.4, alpha: float = 0.2, layers: Patterns = "*",
                 rng: Seed = None) -> dict[str, np.ndarray]:
    """Learn a mask in [0, 1] for every hidden unit, which an adversary of its weights would have low for a backdoor.

    A step takes one batch of clean images. Factors d of weights and x of biases are drawn uniformly in
    [-epsilon, epsilon] and moved by one signed step of size epsilon that raises the loss, within the same bounds; then
    the masks m take a step of SGD with momentum on ``alpha L(m, 0, 0) + (1 - alpha) L(m, d, x)``, where the weights of
    unit k are ``(m_k + d_k) w_k`` and its bias is ``(1 + x_k) b_k``, and are clipped to [0, 1].

    Parameters
    ----------
    model : Model
        The net; it is not changed.
    data : Dataset or (X, y)
        Clean images; a few hundred are enough.
    batches, batch_size : int
        How many steps, of how many images.
    lr : float
        Learning rate of the masks.
    epsilon : float
        How far the adversary may go.
    alpha : float
        The share of the loss without an adversary.
    layers : str or collection of str
        Names or patterns of the hidden layers whose units have masks and an adversary; by default all.
    rng : Seed
        What images and factors are drawn from.

    Returns
    -------
    dict of str to numpy.ndarray
        The masks of each hidden layer with weights, by name.

    References
    ----------
    Wu and Wang (2021), "Adversarial neuron pruning purifies backdoored deep models", section 3.
    """
    X, y, loss = check_pair(*part_of(model, data), model, cross_entropy)
    rng, scaled = as_rng(rng), _Scaled(model, loss, layers)
    X = scaled.inputs(X)
    check_positive("epsilon", epsilon)
    masks = np.ones(scaled.n_units, model.dtype)
    speed, still = np.zeros_like(masks), np.ones_like(masks)
    with one_blas_thread():
        for _ in range(check_count("batches", batches, 1)):
            rows = rng.choice(len(X), min(batch_size, len(X)), replace=False)
            batch = X[rows], y[rows]
            d, x = rng.uniform(-epsilon, epsilon, (2, len(masks))).astype(model.dtype)
            of_weights, of_biases = scaled.gradients(masks + d, 1 + x, *batch)
            d, x = (np.clip(old + epsilon * np.sign(g), -epsilon, epsilon) for old, g in
                    ((d, of_weights), (x, of_biases)))
            gradient = (1 - alpha) * scaled.gradients(masks + d, 1 + x, *batch)[0]
            gradient += alpha * scaled.gradients(masks, still, *batch)[0]
            speed = MOMENTUM * speed + gradient
            masks = np.clip(masks - lr * speed, 0, 1)
    return {layer.name: masks[window] for layer, window in scaled.windows}


def cut_units(model: Model, masks: Mapping[str, np.ndarray], valid: Arrays,
              tolerance: float = 0.01) -> tuple[Model, float]:
    """Cut the units whose mask is below a threshold: the largest at which validation accuracy falls by `tolerance`.

    Their incoming weights are cut; what they then give is their bias.

    Parameters
    ----------
    model : Model
        The net; it is not changed.
    masks : mapping of str to numpy.ndarray
        What `neuron_masks` returned.
    valid : (X, y)
        Clean images, as the layers take them.
    tolerance : float
        How much accuracy on them may fall.

    Returns
    -------
    tuple of Model and float
        The net and the threshold, one of the masks: of the STEPS quantiles the largest.
    """
    least = accuracy(model, valid) - check_fraction("tolerance", tolerance)
    quantiles = np.quantile(np.concatenate(list(masks.values())), np.arange(STEPS) / STEPS, method="lower")
    cuts = ((_cut(model, masks, threshold), threshold) for threshold in np.unique(quantiles)[::-1].tolist())
    return next(found for found in cuts if accuracy(found[0], valid) >= least)  # the lowest mask cuts nothing


def fine_prune(model: Model, clean: Arrays, valid: Arrays, *, tolerance: float = 0.04) -> Model:
    """Cut maps of the last convolution, the least active on clean images first, while accuracy falls by `tolerance`.

    The net is to be trained on afterwards, which the paper calls fine-pruning.

    References
    ----------
    Liu, Dolan-Gavitt and Garg (2018), "Fine-pruning: defending against backdooring attacks on deep neural networks".
    """
    convolutions = [p for p in model.weight_parameters if len(p.shape) == 4]
    if not convolutions:
        raise InvalidValue("the model has no convolution: fine-pruning cuts maps of the last one")
    last, found, least = convolutions[-1], model.clone(), accuracy(model, valid) - tolerance
    for count in range(1, last.shape[-1] - FEWEST + 1):
        less = model.clone()
        prune(less, count=count, structure="filter", layers=last.layer, criterion="mean_activation", data=clean, rng=0)
        if accuracy(less, valid) < least:
            break
        found = less
    return found


def _cut(model, masks, threshold):
    """Return a copy of the model without the weights into units whose mask is below the threshold."""
    found, mask = model.clone(), model.mask.copy()
    for name, own in masks.items():
        model.layers[name].weight.of(mask)[..., own < threshold] = False
    found.set_mask(mask)
    return found


class _Scaled:
    """A model whose hidden units' weights and biases are multiplied by factors, and the gradients of these."""

    def __init__(self, model, loss, patterns="*"):
        names = weighted(model)[:-1]
        if not names:
            raise InvalidValue("the model has one layer with weights: adversarial neuron pruning masks hidden units")
        layers = [model.layers[name] for name in matching(model, names, patterns, "layers")]
        born = [layer.name for layer in layers if layer.weight.index is not None]
        if born:
            raise Unsupported(f"{born[0]} was born sparse: adversarial neuron pruning takes dense layers")
        stops = np.cumsum([0, *(layer.weight.shape[-1] for layer in layers)]).tolist()
        self.windows = [(layer, slice(*ends)) for layer, ends in zip(layers, pairwise(stops), strict=True)]
        self.n_units, self.model, self.loss = stops[-1], model, loss
        self.tape = Tape(model, model.values.copy())
        tree, self.fixed, self.rest = model.tree, None, model.tree
        if isinstance(tree, Sequential):
            fixed = list(takewhile(lambda child: child not in layers and not isinstance(child, Container), tree.layers))
            self.fixed, self.rest = tree.with_children(fixed), tree.with_children(tree.layers[len(fixed):])

    def inputs(self, X):
        """Return what the layers that never change make of images: what `gradients` takes."""
        if self.fixed is None or not self.fixed.layers:
            return X
        tape, rows = Tape(self.model), self.model.rows_at_once()
        return np.concatenate([self.fixed.forward(X[start : start + rows], tape).copy()
                               for start in range(0, len(X), rows)])

    def gradients(self, of_weights, of_biases, X, y):
        """Return the gradients (n_units,) of the mean loss with respect to both factors, at these."""
        model, tape = self.model, self.tape
        for layer, window in self.windows:
            np.multiply(layer.weight.value, of_weights[window], out=layer.weight.of(tape.values))
            if getattr(layer, "bias", None) is not None:
                np.multiply(layer.bias.value, of_biases[window], out=layer.bias.of(tape.values))
        logits = self.rest.forward(X, tape)
        dlogits = np.empty_like(logits)
        self.loss(logits, y, dlogits)
        self.rest.backward(dlogits, tape)
        first, second = np.zeros((2, self.n_units), model.dtype)
        for layer, window in self.windows:
            w = layer.weight
            first[window] = (w.of(tape.grads) * w.value).reshape(-1, w.shape[-1]).sum(axis=0)
            if getattr(layer, "bias", None) is not None:
                second[window] = layer.bias.of(tape.grads) * layer.bias.value
        return first, second

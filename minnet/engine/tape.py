"""The tape: one pass through a model, in one thread.

A pass never changes the model. What a layer must remember for `backward`, the buffers it reuses from one batch to
the next, and the gradient all live here, so two tapes can run on one model at once:

    tape = Tape(model, training=True, rng=rng)
    logits = model.forward(x, tape)
    model.backward(dlogits, tape)            # tape.grads is overwritten, never added to
"""
import math

import numpy as np

LINE = 64  # bytes of a cache line


class Tape:
    """Hold one pass: `values` to read (the model's own by default), `grads` to write, memory and buffers.

    `values` may be any vector of the model's index space, also in another dtype: a criterion asks "what if the
    weights were these" by one argument. `grads` has that dtype and the whole length; its statistics zone takes the
    moments of the batch, which the training step commits. With `input_gradient=True` backward goes on down to the
    input; otherwise it stops at the first layer that has something to learn.

    Parameters
    ----------
    model : Model
        What the pass goes through.
    values : numpy.ndarray, optional
        Vector of the model's index space to read instead of its own values; its dtype is the pass's.
    training : bool
        Whether layers such as Dropout and BatchNorm behave as in training.
    rng : numpy.random.Generator, optional
        What Dropout draws from in training.
    grads : numpy.ndarray, optional
        Where the gradient is written; made at the first use unless given.
    input_gradient : bool
        Whether `backward` returns the gradient with respect to the input.
    """

    def __init__(self, model, values: np.ndarray | None = None, *, training: bool = False,
                 rng: np.random.Generator | None = None, grads: np.ndarray | None = None,
                 input_gradient: bool = False):
        self.model = model
        self.values = model.values if values is None else values
        self.training = training
        self.rng = rng
        self.dtype = self.values.dtype
        self.input_gradient = input_gradient
        self._grads = grads
        self._memory = {}
        self._views = {}
        self._blocks = {}

    @property
    def grads(self) -> np.ndarray:
        """The gradient, one number per entry of the flat vector (made at the first use)."""
        if self._grads is None:
            self._grads = np.zeros(len(self.values), self.dtype)
        return self._grads

    def __setitem__(self, layer, remembered):
        self._memory[layer] = remembered

    def __getitem__(self, layer):
        return self._memory[layer]

    def recall(self, layer, other: "Tape") -> None:
        """Remember of `layer` what the tape `other` remembers, if anything.

        Parameters
        ----------
        layer : Layer
            Whose memory is taken.
        other : Tape
            A tape of the same model.
        """
        if layer in other._memory:
            self._memory[layer] = other._memory[layer]

    def wants_dx(self, layer) -> bool:
        """Return whether anything below `layer` takes the gradient of its input.

        Parameters
        ----------
        layer : Layer
            A layer of the model.

        Returns
        -------
        bool
            False if `backward` need not compute the gradient of the layer's input.
        """
        return self.input_gradient or layer.input_needs_grad

    def buffer(self, layer, name: str, shape: tuple[int, ...], dtype: np.dtype | None = None) -> np.ndarray:
        """Return an array of `shape` that `layer` may overwrite, the same memory in each pass.

        Its content is undefined.

        Parameters
        ----------
        layer : object
            Whose buffer it is.
        name : str
            Which of its buffers.
        shape : tuple of int
            Its shape in this pass; the memory grows when a larger batch comes.
        dtype : numpy.dtype, optional
            The pass's unless given.

        Returns
        -------
        numpy.ndarray
            A view of memory that the tape owns.
        """
        key = (layer, name, shape)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = self._fit(layer, name, shape, dtype or self.dtype)
        return view

    def _fit(self, layer, name, shape, dtype):
        """Return a window of the block of (layer, name), which grows when a larger batch comes."""
        size, block = math.prod(shape), self._blocks.get((layer, name))
        if block is None or block.size < size:
            block = self._blocks[layer, name] = aligned(size, dtype)
            self._views = {key: view for key, view in self._views.items() if key[:2] != (layer, name)}
        return block[:size].reshape(shape)


def aligned(size: int, dtype) -> np.ndarray:
    """Return an array of `size` numbers that begins where a cache line does; its content is undefined.

    What is read a line at a time then takes one line, not two: half the time of the kernels that do little else.
    """
    dtype = np.dtype(dtype)
    room = np.empty(size * dtype.itemsize + LINE, np.uint8)
    skipped = -room.ctypes.data % LINE
    return room[skipped : skipped + size * dtype.itemsize].view(dtype)

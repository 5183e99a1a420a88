"""Weights of an ONNX model in a second file beside it, as PyTorch's exporter writes them: net.onnx, net.onnx.data.

    external = External(onnx, folder)
    external.size(model)             # bytes of the second files, so that memory stays bounded by what they hold
    external.inside(tensor)          # the tensor with its bytes

The second file has a plain name and lies in the model's own folder: paths and links are not followed. No more bytes are
read of it than it holds, in all.
"""
import math
import os
from contextlib import contextmanager
from pathlib import Path

from minnet.errors import FileError, quoted
from minnet.files import opened
from minnet.formats.onnx_fold import UnsupportedGraph

ONE_FILE = "save it in one file (onnx.save(onnx.load(path), path), or external_data=False in torch.onnx.export)"


class External:
    """The second files of one model, and how much of each has been read."""

    def __init__(self, onnx, folder):
        self.onnx, self.folder, self.left = onnx, Path(folder), {}

    def holds(self, tensor):
        """Return whether a tensor's numbers are in another file."""
        return tensor.data_location == self.onnx.TensorProto.EXTERNAL or bool(tensor.external_data)

    def size(self, model):
        """Return the bytes of all second files that the initializers name; refuse names that are not plain."""
        names = {self.name(tensor) for tensor in model.graph.initializer if self.holds(tensor)}
        for name in names - set(self.left):
            with self.file(name) as file:
                self.left[name] = os.fstat(file.fileno()).st_size
        return sum(self.left[name] for name in names)

    def name(self, tensor):
        """Return the name of the file in which a tensor is: a plain one, of a file that is no link."""
        name = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        plain = isinstance(name, str) and name and name not in (".", "..") and not set(name) & set("/\\:\0")
        if not plain or (self.folder / name).is_symlink():
            raise UnsupportedGraph(f"it keeps {quoted(tensor.name)} in another file, {quoted(name)}, which is a path "
                                   f"or a link: {ONE_FILE}")
        return name

    @contextmanager
    def file(self, name):
        """Open the second file."""
        try:
            with opened(self.folder / name) as file:
                yield file
        except FileError as error:
            raise UnsupportedGraph(f"it keeps weights in another file: {error}; or {ONE_FILE}") from error

    def inside(self, tensor):
        """Return the tensor with the numbers that it has in another file."""
        name = self.name(tensor)
        entries = {entry.key: entry.value for entry in tensor.external_data}
        try:
            dtype = self.onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            offset, wanted = int(entries.get("offset", 0)), math.prod(tensor.dims) * dtype.itemsize
            length = int(entries.get("length", wanted))
        except (KeyError, ValueError) as error:
            raise UnsupportedGraph(f"its tensor {quoted(tensor.name)} is damaged: {quoted(str(error))}") from error
        left = self.left.get(name, 0)
        if min(offset, wanted, *tensor.dims) < 0 or length != wanted or wanted > left:
            raise UnsupportedGraph(f"its tensor {quoted(tensor.name)} of shape {list(tensor.dims)} takes {wanted:,} "
                                   f"bytes; {length:,} are told, and {quoted(name)} has {left:,} left: fetch or save "
                                   "both files again")
        self.left[name] = left - wanted
        with self.file(name) as file:
            if offset > file.seek(0, os.SEEK_END):  # perhaps a number that no file has
                offset = file.tell()
            file.seek(offset)
            data = file.read(wanted)
        if len(data) < wanted:
            raise UnsupportedGraph(f"{quoted(name)} ends before its tensor {quoted(tensor.name)}: it is cut off")
        return self.onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=data)

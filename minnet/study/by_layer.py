"""What each layer is before and after pruning, as it is written: shapes, weights, multiply-adds, bytes, latency.

    rows = written_layers(model, nets, files, images)

A layer's latency is that of its kernel in the frozen net, for one sample.
"""
from collections.abc import Mapping

from minnet.csr import is_sparse
from minnet.data import Dataset
from minnet.formats.tensors import tensor_bytes
from minnet.model import Model
from minnet.runtime.freeze import freeze
from minnet.study.measure import MICRO, taken_by
from minnet.study.result import layers_of


def written_layers(model: Model, nets: Mapping[str, Model], files: Mapping[str, bytes], data: Dataset) -> list[dict]:
    """Return a row for each layer with weights.

    Parameters
    ----------
    model : Model
        The pruned model before it was compacted.
    nets : mapping of str to Model
        The models that are written, "before" and "after".
    files : mapping of str to bytes
        Their files.
    data : Dataset
        The data; a row of its test part is predicted.

    Returns
    -------
    list of dict
        What `layers_of` returns of the pruned model, and "before" and "after": None where that model has no such
        layer, else "shape", "remaining", "macs", "bytes" and "latency_us" (None for a layer that is no step of its
        own).
    """
    written = {name: as_written(nets[name], files[name], data) for name in ("before", "after")}
    return [row | {name: found.get(row["name"]) for name, found in written.items()} for row in layers_of(model)]


def as_written(net: Model, file: bytes, data: Dataset) -> dict[str, dict]:
    """Return what is known of each layer with weights of a model, by its name."""
    X = taken_by(net, data.X_test[:1], data)
    explained = freeze(net, batch_size=1).explain(X.toarray() if is_sparse(X) else X)
    times = {row.name: row.seconds for row in explained.rows}
    nbytes = tensor_bytes(file)
    return {row.name: {"shape": row.shape, "remaining": row.remaining, "macs": row.macs,
                       "bytes": sum(n for name, n in nbytes.items() if name.startswith(f"{row.name}.")),
                       "latency_us": times[row.name] * MICRO if row.name in times else None}
            for row in net.summary().rows}

"""Test vectors: inputs, the outputs that are expected of them, and a program that compares."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minnet.errors import InvalidValue
from minnet.formats.c_writer import literal
from minnet.model import Model

if TYPE_CHECKING:
    from minnet.formats.c_floats import FloatNet
    from minnet.formats.c_integers import IntegerNet

TOLERANCE = 1e-4     # of a float output, relative to the largest of its vector, at least 1
PER_LINE = 8

VECTORS = """/* {n} test vectors of {name}: inputs, and the outputs that are expected of them. */
#ifndef {NAME}_VECTORS
#define {NAME}_VECTORS {n}

static const {x} {name}_vector_inputs[{NAME}_VECTORS][{inputs}] = {{
{rows}
}};

static const {y} {name}_vector_outputs[{NAME}_VECTORS][{outputs}] = {{
{wanted}
}};
#endif
"""
MAIN = """/* Compares what {name} computes with its test vectors; the program returns how many are missed.
 *
 * {rule}
 */
#include "{stem}.h"
#include "{stem}_vectors.h"

static {y} output[{NAME}_OUTPUTS];
static {w} work[{NAME}_WORK];

static int missed(const {x} *input, const {y} *wanted)
{{
    int i;
{limit}    {name}_predict(input, output, work);
    for (i = 0; i < {NAME}_OUTPUTS; i++)
        if ({differ})
            return 1;
    return 0;
}}

int main(void)
{{
    int i, count = 0;
    for (i = 0; i < {NAME}_VECTORS; i++)
        count += missed({name}_vector_inputs[i], {name}_vector_outputs[i]);
    return count;
}}
"""
LIMIT = """    float limit = 1.0f;
    for (i = 0; i < {NAME}_OUTPUTS; i++) {{
        limit = wanted[i] > limit ? wanted[i] : limit;
        limit = -wanted[i] > limit ? -wanted[i] : limit;
    }}
    limit *= {tolerance};
"""


def vector_rows(model: Model, X: np.ndarray | None, n: int) -> np.ndarray:
    """Return n raw rows: the first of X, or else random ones, around those that the model was trained on."""
    if X is not None:
        rows = X[:n] if model.signature is None else model.signature.arranged(X[:n])
        if len(rows) < n:
            raise InvalidValue(f"vectors={n}, but calibration has {len(rows)} rows: give more, or fewer vectors")
        return np.asarray(rows)
    rows = np.random.default_rng(0).normal(size=(n, *model.input_shape))
    if model.signature is not None and model.signature.scaling is not None:
        rows = rows * model.signature.scaling.scale + model.signature.scaling.shift
    return rows.astype(np.float32)


def vector_files(stem: str, net: FloatNet | IntegerNet, words: dict[str, str]) -> dict[str, str]:
    """Return the header with the vectors and the program, by their endings."""
    exact = net.types[1] != "float"
    rule = "Outputs are whole numbers: each has to be the expected one." if exact else \
        f"An output may differ by {TOLERANCE:g} times the largest expected of its vector, at least by as much."
    differ = "output[i] != wanted[i]" if exact else \
        "!(output[i] - wanted[i] <= limit && wanted[i] - output[i] <= limit)"
    limit = "" if exact else LIMIT.format(**words, tolerance=literal(TOLERANCE))
    inputs, outputs = (np.asarray(rows).reshape(len(rows), -1) for rows in (net.inputs, net.outputs))
    vectors = VECTORS.format(**words, n=len(inputs), inputs=math.prod(inputs.shape[1:]), outputs=outputs.shape[1],
                             rows=rows_text(inputs, net.types[0]), wanted=rows_text(outputs, net.types[1]))
    return {"_vectors.h": vectors, "_main.c": MAIN.format(**words, stem=stem, rule=rule, differ=differ, limit=limit)}


def rows_text(rows: np.ndarray, kind: str) -> str:
    """Return rows as the cells of an array of arrays."""
    texts = []
    for row in rows:
        cells = [literal(np.float32(v)) if kind == "float" else str(int(v)) for v in row]
        lines = [", ".join(cells[i : i + PER_LINE]) for i in range(0, len(cells), PER_LINE)]
        texts.append("    {" + ",\n     ".join(lines) + "}")
    return ",\n".join(texts)

"""Which words of a column of text a model still reads, and how strongly.

for column in words_of(model):
column.name, len(column.words), column.of        # how many of how many are left
column.words[:10]                                # (word, norm), the strongest first
"""
from typing import NamedTuple

import numpy as np

from minnet.model import Model
from minnet.pruning.input_features import input_norms


class Words(NamedTuple):
    """The words of a column that some weight still reads: (word, L2 norm of its weights), the strongest first.

    `of` is how many words the column had before pruning.
    """

    name: str
    words: list[tuple[str, float]]
    of: int


def words_of(model: Model) -> list[Words]:
    """Find the words of each column of text that some weight of a model still reads.

    Parameters
    ----------
    model : Model
        One that was trained on a table with text, whole or compacted.

    Returns
    -------
    list of Words
        One for each column whose words are counted: its `name`, its `words` as pairs (word, L2 norm of the weights that
        read it), the strongest first, and `of`, how many it had before pruning. Words that are hashed have no names,
        so their columns are left out.
    """
    encoding, found, start = model.signature and model.signature.encoding, [], 0
    if encoding is None:
        return []
    norms = input_norms(model)
    for column in encoding.columns:
        stop = start + column.n_encoded
        if column.kind == "words":
            own = norms[start:stop]
            order = np.argsort(-own, kind="stable")[: np.count_nonzero(own)]
            found.append(Words(column.name, [(column.vocabulary[i], float(own[i])) for i in order],
                               column.of or len(own)))
        start = stop
    return found

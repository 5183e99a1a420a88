#!/usr/bin/env bash
# NumPy 2.2.6: a Generator that is put back to a stored state gives its children's streams a second time.
#
# `generator.bit_generator.state` is what one stores to go on with a run later, and numbers drawn after it is put back
# are the right ones. But how many children `spawn` has made is counted elsewhere, in the seed sequence, and is not part
# of the state: put back into a new Generator of the same seed, the next child is the first child again, and what was
# meant to be independent is the same numbers once more. Put back into the Generator of another seed, draws are those of
# the stored one and children those of the other. A pickled Generator keeps the count.
#
# Seen: draws go on, the child after the state is put back equals the first child before. The way out: spawn all
# children at the start, and store the state of each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import pickle

import numpy as np

whole = np.random.default_rng(1)
first = whole.spawn(1)[0].random(3)
whole.random(5)
stored, pickled = whole.bit_generator.state, pickle.dumps(whole)
second, draws = whole.spawn(1)[0].random(3), whole.random(3)

again = np.random.default_rng(1)
again.bit_generator.state = stored
child, drawn = again.spawn(1)[0].random(3), again.random(3)
print(f"draws go on: {bool((drawn == draws).all())}; the next child is the second: {bool((child == second).all())}, "
      f"the first: {bool((child == first).all())}")
assert (pickle.loads(pickled).spawn(1)[0].random(3) == second).all()
assert (drawn == draws).all() and (child == first).all() and (child != second).any(), "this has changed"
PYTHON

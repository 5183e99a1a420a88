# %% [markdown]
# # From a table to a microcontroller
#
# A table of gestures becomes a net of a few kilobytes, as C that an Arduino Uno has room for: 32 kB of flash, 2 kB of
# RAM, no floats in hardware. A net of another framework goes the same way from the third cell on.

# %%
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import minnet as mn
from minnet.formats.c_fit import fit

# %% [markdown]
# **The table**: 40 readings of a sensor in a row, and what the hand did in the last column.

# %%
folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
kinds = np.array(["circle", "rest", "shake"])[np.arange(600) % 3]
waves = {"circle": np.sin(np.arange(40) / 4), "rest": np.zeros(40), "shake": np.sin(np.arange(40))}
rows = np.array([200 * waves[kind] + 512 for kind in kinds]) + rng.normal(0, 80, (600, 40))
lines = [",".join([*(f"t{i}" for i in range(40)), "gesture"])]
lines += [",".join([*map(str, row), kind]) for row, kind in zip(rows.round().astype(int), kinds, strict=True)]
(folder / "gestures.csv").write_text("\n".join(lines))

# %% [markdown]
# **A net**, trained, then pruned until its C takes 3,500 bytes of flash, then trained on. One of another framework is
# read instead: `model = mn.load_onnx("theirs.onnx")`, `mn.load_keras("theirs.keras")`, `mn.from_torch(module)`.

# %%
data = mn.load_data(folder / "gestures.csv", target="gesture", rng=0)
model = mn.models.mlp(data.shape, data.n_classes, (64,), rng=0)
for epochs, flash in ((10, 3500), (10, None)):
    for _ in mn.train(model, data, epochs=epochs, rng=0):
        pass
    if flash is not None:
        mn.prune(model, flash=flash, arithmetic="int8")
small = mn.compact(model)
accuracy = mn.evaluate(small, data.X_test, data.y_test).accuracy

# %% [markdown]
# **Does it fit?** As floats, with weights of 8 bits, and in integers alone; `minnet fit` prints the same.

# %%
fits = {row.form: row for row in fit(small, ["atmega328p"])}
for form, row in fits.items():
    print(f"{form:9} flash {row.flash:6,} RAM {row.ram:5,} {row.milliseconds:5.1f} ms {row.verdict}")

# %% [markdown]
# **The C**: calibration rows say which numbers occur; five of them become test vectors, and a program that compares.

# %%
mn.save_c(small, folder / "gesture.c", name="gesture", precision="int8", arithmetic="int8", calibration=data.X_train,
          vectors=5)
compiler, missed = shutil.which("cc"), None
if compiler:
    subprocess.run([compiler, "-std=c99", "gesture.c", "gesture_main.c", "-o", "vectors"], cwd=folder, check=True)
    missed = subprocess.run([folder / "vectors"], check=False, capture_output=True).returncode
print(f"accuracy {accuracy:.1%}; {missed} of 5 vectors missed; examples/arduino has the sketch")

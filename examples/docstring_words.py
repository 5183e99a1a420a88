"""Which library does a docstring come from? Count words, prune the inputs, and see which words are left.

The corpus is what is installed: functions and classes of NumPy, SciPy and scikit-learn, each a row of text.
"""
import importlib
import inspect
import re

import minnet as mn

MODULES = {"numpy": "ma linalg random fft polynomial", "scipy": "stats special linalg signal optimize sparse ndimage",
           "sklearn": "metrics linear_model ensemble preprocessing cluster decomposition svm datasets"}

texts = {}
for library, names in MODULES.items():
    for module in (importlib.import_module(f"{library}.{name}") for name in names.split()):
        for name in sorted(name for name in dir(module) if name[0] != "_" and callable(getattr(module, name))):
            doc = re.sub("(?i)numpy|scipy|sklearn|scikit", " ", inspect.getdoc(getattr(module, name)) or "")
            texts.setdefault(doc, library)                  # the first that has it
rows, labels = [[doc] for doc in texts], list(texts.values())
data = mn.load_data((rows, labels), text=0, words=2000, rng=0)

model = mn.models.mlp(data.shape, data.n_classes, hidden=(32,), rng=0)
sgd = mn.SGD(lr=0.2, momentum=0.9)
accuracy = {}
for kept in (2000, 100, 30):
    mn.prune(model, keep=kept, structure="input", criterion="wanda", data=data, rng=0)
    for _ in mn.train(model, data, optimizer=sgd, epochs=20, batch_size=32, rng=0):
        pass
    accuracy[kept] = mn.evaluate(model, data.X_test, data.y_test).accuracy
    print(f"{kept:5,} words: accuracy {accuracy[kept]:.1%} on {len(data.y_test)} of {len(labels)} docstrings")
words = [word for word, _ in mn.words_of(model)[0].words]
print("left, the strongest first:", ", ".join(words))

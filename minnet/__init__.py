"""minnet: a small neural-network engine on NumPy and Numba in which pruning is the point.

    import minnet as mn

Names load what they need at their first use (PEP 562): `import minnet` alone loads neither numpy nor numba.
"""
import importlib

_HOMES = {
    "minnet.data": ("Dataset", "load_data"),
    "minnet.errors": ("MinnetError",),
    "minnet.engine.activations": ("Activation", "ReLU", "LeakyReLU", "Tanh", "Sigmoid"),
    "minnet.engine.more_activations": ("ReLU6", "ELU", "SiLU", "Hardswish", "GELU", "Softmax"),
    "minnet.engine.rare_activations": ("SELU", "Softplus", "Mish", "Hardtanh", "HardSigmoid"),
    "minnet.engine.adaptive": ("AdaptiveAvgPool2d",),
    "minnet.engine.prelu": ("PReLU",),
    "minnet.engine.containers": ("Sequential", "Residual", "Concat"),
    "minnet.engine.product": ("Product",),
    "minnet.engine.conv": ("Conv2d",),
    "minnet.engine.dense": ("Dense",),
    "minnet.engine.depthwise": ("DepthwiseConv2d",),
    "minnet.engine.averaging": ("swa", "ema"),
    "minnet.engine.distillation": ("Teacher",),
    "minnet.engine.fista": ("fista",),
    "minnet.engine.layer": ("Layer",),
    "minnet.engine.layer_norm": ("LayerNorm", "GroupNorm", "InstanceNorm"),
    "minnet.engine.metrics": ("evaluate",),
    "minnet.engine.normalise": ("BatchNorm", "Dropout"),
    "minnet.engine.optimizers": ("SGD", "Lion", "RMSprop", "Adam", "AdamW", "Optimizer"),
    "minnet.engine.pooling": ("Flatten", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "GlobalMaxPool2d"),
    "minnet.engine.sample": ("Sample",),
    "minnet.engine.sparse": ("SparseDense",),
    "minnet.engine.split": ("split", "join", "cached"),
    "minnet.engine.state": ("State",),
    "minnet.engine.stopping": ("early_stopping",),
    "minnet.engine.tape": ("Tape",),
    "minnet.training": ("train",),
    "minnet.model": ("Model",),
    "minnet.formats.checkpoint": ("Checkpoint", "remember"),
    "minnet.formats.c_source": ("save_c",),
    "minnet.formats.keras": ("load_keras",),
    "minnet.formats.onnx_read": ("load_onnx",),
    "minnet.formats.onnx_write": ("save_onnx",),
    "minnet.formats.storage": ("save", "load", "load_state"),
    "minnet.formats.torch_module": ("from_torch",),
    "minnet.formats.torch_state": ("load_torch", "save_torch"),
    "minnet.pruning.compact": ("compact", "compact_report", "expand"),
    "minnet.pruning.paths": ("effective_sparsity",),
    "minnet.pruning.penalties.base": ("Penalty",),
    "minnet.pruning.prune": ("prune", "plan_prune"),
    "minnet.pruning.result": ("Record",),
    "minnet.runtime.freeze": ("freeze", "load_predictor"),
    "minnet.runtime.predictor": ("Predictor",),
    "minnet.estimators.classifier": ("PrunedClassifier",),
    "minnet.estimators.regressor": ("PrunedRegressor",),
    "minnet.estimators.selector": ("SparsitySelector",),
    "minnet.estimators.from_sklearn": ("from_sklearn",),
    "minnet.report.displays": ("ConfusionPairsDisplay", "MaskDisplay", "PruningCurveDisplay", "SensitivityDisplay"),
    "minnet.study.adversarial": ("adversarial_training",),
    "minnet.study.agreement": ("compare_criteria",),
    "minnet.study.latency": ("latency_table",),
    "minnet.study.robustness": ("robustness",),
    "minnet.study.sensitivity": ("sensitivity",),
    "minnet.study.sweep": ("sweep",),
    "minnet.study.words": ("words_of",),
}
_MODULES = {
    "models": "minnet.models", "losses": "minnet.engine.losses", "optimizers": "minnet.engine.optimizers",
    "lr_schedules": "minnet.engine.lr_schedules", "augmentation": "minnet.engine.augmentation",
    "criteria": "minnet.pruning.criteria", "structures": "minnet.pruning.structures",
    "distributions": "minnet.pruning.distributions", "schedules": "minnet.pruning.schedules",
    "penalties": "minnet.pruning.penalties", "recipes": "minnet.pruning.recipes",
    "attacks": "minnet.engine.attacks", "compensation": "minnet.pruning.compensation", "plot": "minnet.report.plot",
    "testing": "minnet.testing",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [*_HOME, *_MODULES]
__version__ = "0.1.0"


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"minnet has no {name!r}: it has {', '.join(sorted(__all__))}")


def __dir__():
    return sorted([*globals(), *__all__])

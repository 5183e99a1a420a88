"""The names of minnet for editors and type checkers; written by `python -m tests.test_imports`."""
from minnet.data import Dataset as Dataset
from minnet.data import load_data as load_data
from minnet.errors import MinnetError as MinnetError
from minnet.engine.activations import Activation as Activation
from minnet.engine.activations import ReLU as ReLU
from minnet.engine.activations import LeakyReLU as LeakyReLU
from minnet.engine.activations import Tanh as Tanh
from minnet.engine.activations import Sigmoid as Sigmoid
from minnet.engine.more_activations import ReLU6 as ReLU6
from minnet.engine.more_activations import ELU as ELU
from minnet.engine.more_activations import SiLU as SiLU
from minnet.engine.more_activations import Hardswish as Hardswish
from minnet.engine.more_activations import GELU as GELU
from minnet.engine.more_activations import Softmax as Softmax
from minnet.engine.rare_activations import SELU as SELU
from minnet.engine.rare_activations import Softplus as Softplus
from minnet.engine.rare_activations import Mish as Mish
from minnet.engine.rare_activations import Hardtanh as Hardtanh
from minnet.engine.rare_activations import HardSigmoid as HardSigmoid
from minnet.engine.adaptive import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from minnet.engine.prelu import PReLU as PReLU
from minnet.engine.containers import Sequential as Sequential
from minnet.engine.containers import Residual as Residual
from minnet.engine.containers import Concat as Concat
from minnet.engine.product import Product as Product
from minnet.engine.conv import Conv2d as Conv2d
from minnet.engine.dense import Dense as Dense
from minnet.engine.depthwise import DepthwiseConv2d as DepthwiseConv2d
from minnet.engine.averaging import swa as swa
from minnet.engine.averaging import ema as ema
from minnet.engine.distillation import Teacher as Teacher
from minnet.engine.fista import fista as fista
from minnet.engine.layer import Layer as Layer
from minnet.engine.layer_norm import LayerNorm as LayerNorm
from minnet.engine.layer_norm import GroupNorm as GroupNorm
from minnet.engine.layer_norm import InstanceNorm as InstanceNorm
from minnet.engine.metrics import evaluate as evaluate
from minnet.engine.normalise import BatchNorm as BatchNorm
from minnet.engine.normalise import Dropout as Dropout
from minnet.engine.optimizers import SGD as SGD
from minnet.engine.optimizers import Lion as Lion
from minnet.engine.optimizers import RMSprop as RMSprop
from minnet.engine.optimizers import Adam as Adam
from minnet.engine.optimizers import AdamW as AdamW
from minnet.engine.optimizers import Optimizer as Optimizer
from minnet.engine.pooling import Flatten as Flatten
from minnet.engine.pooling import MaxPool2d as MaxPool2d
from minnet.engine.pooling import AvgPool2d as AvgPool2d
from minnet.engine.pooling import GlobalAvgPool2d as GlobalAvgPool2d
from minnet.engine.pooling import GlobalMaxPool2d as GlobalMaxPool2d
from minnet.engine.sample import Sample as Sample
from minnet.engine.sparse import SparseDense as SparseDense
from minnet.engine.split import split as split
from minnet.engine.split import join as join
from minnet.engine.split import cached as cached
from minnet.engine.state import State as State
from minnet.engine.stopping import early_stopping as early_stopping
from minnet.engine.tape import Tape as Tape
from minnet.training import train as train
from minnet.model import Model as Model
from minnet.formats.checkpoint import Checkpoint as Checkpoint
from minnet.formats.checkpoint import remember as remember
from minnet.formats.c_source import save_c as save_c
from minnet.formats.keras import load_keras as load_keras
from minnet.formats.onnx_read import load_onnx as load_onnx
from minnet.formats.onnx_write import save_onnx as save_onnx
from minnet.formats.storage import save as save
from minnet.formats.storage import load as load
from minnet.formats.storage import load_state as load_state
from minnet.formats.torch_module import from_torch as from_torch
from minnet.formats.torch_state import load_torch as load_torch
from minnet.formats.torch_state import save_torch as save_torch
from minnet.pruning.compact import compact as compact
from minnet.pruning.compact import compact_report as compact_report
from minnet.pruning.compact import expand as expand
from minnet.pruning.paths import effective_sparsity as effective_sparsity
from minnet.pruning.penalties.base import Penalty as Penalty
from minnet.pruning.prune import prune as prune
from minnet.pruning.prune import plan_prune as plan_prune
from minnet.pruning.result import Record as Record
from minnet.runtime.freeze import freeze as freeze
from minnet.runtime.freeze import load_predictor as load_predictor
from minnet.runtime.predictor import Predictor as Predictor
from minnet.estimators.classifier import PrunedClassifier as PrunedClassifier
from minnet.estimators.regressor import PrunedRegressor as PrunedRegressor
from minnet.estimators.selector import SparsitySelector as SparsitySelector
from minnet.estimators.from_sklearn import from_sklearn as from_sklearn
from minnet.report.displays import ConfusionPairsDisplay as ConfusionPairsDisplay
from minnet.report.displays import MaskDisplay as MaskDisplay
from minnet.report.displays import PruningCurveDisplay as PruningCurveDisplay
from minnet.report.displays import SensitivityDisplay as SensitivityDisplay
from minnet.study.adversarial import adversarial_training as adversarial_training
from minnet.study.agreement import compare_criteria as compare_criteria
from minnet.study.latency import latency_table as latency_table
from minnet.study.robustness import robustness as robustness
from minnet.study.sensitivity import sensitivity as sensitivity
from minnet.study.sweep import sweep as sweep
from minnet.study.words import words_of as words_of
from minnet import models as models
from minnet.engine import losses as losses
from minnet.engine import optimizers as optimizers
from minnet.engine import lr_schedules as lr_schedules
from minnet.engine import augmentation as augmentation
from minnet.pruning import criteria as criteria
from minnet.pruning import structures as structures
from minnet.pruning import distributions as distributions
from minnet.pruning import schedules as schedules
from minnet.pruning import penalties as penalties
from minnet.pruning import recipes as recipes
from minnet.engine import attacks as attacks
from minnet.pruning import compensation as compensation
from minnet.report import plot as plot
from minnet import testing as testing

__version__: str
__all__ = [
    "Dataset",
    "load_data",
    "MinnetError",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "Tanh",
    "Sigmoid",
    "ReLU6",
    "ELU",
    "SiLU",
    "Hardswish",
    "GELU",
    "Softmax",
    "SELU",
    "Softplus",
    "Mish",
    "Hardtanh",
    "HardSigmoid",
    "AdaptiveAvgPool2d",
    "PReLU",
    "Sequential",
    "Residual",
    "Concat",
    "Product",
    "Conv2d",
    "Dense",
    "DepthwiseConv2d",
    "swa",
    "ema",
    "Teacher",
    "fista",
    "Layer",
    "LayerNorm",
    "GroupNorm",
    "InstanceNorm",
    "evaluate",
    "BatchNorm",
    "Dropout",
    "SGD",
    "Lion",
    "RMSprop",
    "Adam",
    "AdamW",
    "Optimizer",
    "Flatten",
    "MaxPool2d",
    "AvgPool2d",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Sample",
    "SparseDense",
    "split",
    "join",
    "cached",
    "State",
    "early_stopping",
    "Tape",
    "train",
    "Model",
    "Checkpoint",
    "remember",
    "save_c",
    "load_keras",
    "load_onnx",
    "save_onnx",
    "save",
    "load",
    "load_state",
    "from_torch",
    "load_torch",
    "save_torch",
    "compact",
    "compact_report",
    "expand",
    "effective_sparsity",
    "Penalty",
    "prune",
    "plan_prune",
    "Record",
    "freeze",
    "load_predictor",
    "Predictor",
    "PrunedClassifier",
    "PrunedRegressor",
    "SparsitySelector",
    "from_sklearn",
    "ConfusionPairsDisplay",
    "MaskDisplay",
    "PruningCurveDisplay",
    "SensitivityDisplay",
    "adversarial_training",
    "compare_criteria",
    "latency_table",
    "robustness",
    "sensitivity",
    "sweep",
    "words_of",
    "models",
    "losses",
    "optimizers",
    "lr_schedules",
    "augmentation",
    "criteria",
    "structures",
    "distributions",
    "schedules",
    "penalties",
    "recipes",
    "attacks",
    "compensation",
    "plot",
    "testing",
]

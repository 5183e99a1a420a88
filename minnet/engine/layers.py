"""All layers, from easy to hard, and the table that files are read by."""
from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.adaptive import AdaptiveAvgPool2d
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer_norm import GroupNorm, InstanceNorm, LayerNorm
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU, Softmax
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.prelu import PReLU
from minnet.engine.product import Product
from minnet.engine.rare_activations import SELU, HardSigmoid, Hardtanh, Mish, Softplus
from minnet.engine.sparse import SparseDense

LAYERS = {layer.__name__: layer for layer in (
    Dense, ReLU, LeakyReLU, PReLU, ReLU6, Hardtanh, ELU, SELU, Tanh, Sigmoid, HardSigmoid, Softplus, SiLU, Hardswish,
    Mish, GELU, Softmax, Flatten, Dropout, BatchNorm, LayerNorm,
    GroupNorm, InstanceNorm, Conv2d, DepthwiseConv2d, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d,
    GlobalMaxPool2d, GlobalAvgPool2d, SparseDense, Sequential, Residual, Product, Concat)}

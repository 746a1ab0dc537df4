"""Models to begin with: plain equinox files, to copy and to change."""

import equinox as eqx

from .cnn import CNN as CNN
from .mlp import MLPModule as MLPModule
from .resnet import ResNet as ResNet
from .transformer import Transformer as Transformer

MODELS: dict[str, type[eqx.Module]] = {
    "cnn": CNN,
    "resnet": ResNet,
    "transformer": Transformer,
    "mlp-module": MLPModule,
}

"""Models to begin with, and blocks to put together: plain equinox files, to copy and to change."""

import equinox as eqx

from .attention import Attention as Attention
from .blocks import Chain as Chain
from .blocks import ConvolutionPair as ConvolutionPair
from .blocks import Skip as Skip
from .blocks import TwoLayers as TwoLayers
from .cnn import CNN as CNN
from .experts import Mixture as Mixture
from .experts import SwiGLU as SwiGLU
from .kinds import AttentionMean as AttentionMean
from .kinds import ConvolutionBlock as ConvolutionBlock
from .kinds import ResidualBlocks as ResidualBlocks
from .mlp import MLPModule as MLPModule
from .resnet import ResNet as ResNet
from .transformer import Transformer as Transformer

MODELS: dict[str, type[eqx.Module]] = {
    "cnn": CNN,
    "resnet": ResNet,
    "transformer": Transformer,
    "mlp-module": MLPModule,
    "two-layers": TwoLayers,
    "conv-pair": ConvolutionBlock,
    "residual-blocks": ResidualBlocks,
    "attention": AttentionMean,
    "swiglu": SwiGLU,
    "experts": Mixture,
}

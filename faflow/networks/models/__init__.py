"""Models to begin with: plain equinox files, to copy and to change."""

from .cnn import CNN as CNN
from .resnet import ResNet as ResNet
from .transformer import Transformer as Transformer

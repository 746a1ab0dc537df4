"""Weights as modules, activations, the forward trace, initialisation."""

from .activations import ACTIVATIONS as ACTIVATIONS
from .activations import AbstractActivation as AbstractActivation
from .activations import GatedReLU as GatedReLU
from .activations import Linear as Linear
from .gated import FrozenGates as FrozenGates
from .gated import GatedMLP as GatedMLP
from .gated import backward_activation as backward_activation
from .gated import gated_trace as gated_trace
from .initialise import INITIALISATIONS as INITIALISATIONS
from .initialise import AbstractInitialisation as AbstractInitialisation
from .initialise import initial_network as initial_network
from .mlp import MLP as MLP
from .mlp import AbstractLayeredNetwork as AbstractLayeredNetwork
from .mlp import AbstractNetwork as AbstractNetwork
from .mlp import Trace as Trace
from .mlp import is_linear as is_linear
from .mlp import widths as widths
from .mlp import with_layers as with_layers
from .model import Model as Model
from .model import as_network as as_network
from .model import is_kinked as is_kinked
from .model import kink_signs as kink_signs
from .units import patches_of as patches_of
from .units import units_of as units_of

"""[network]: layers, an infinitely wide network, or a model."""

from .any import SECTIONS as SECTIONS
from .any import AnyNetwork as AnyNetwork
from .any import section_tag as section_tag
from .layers import INPUTS as INPUTS
from .layers import LAYERED as LAYERED
from .layers import OUTPUTS as OUTPUTS
from .layers import ActivationSection as ActivationSection
from .layers import NetworkSection as NetworkSection
from .layers import Width as Width
from .model import OF_DATA as OF_DATA
from .model import ModelSection as ModelSection
from .wide import WIDE as WIDE
from .wide import Equations as Equations
from .wide import WideSection as WideSection

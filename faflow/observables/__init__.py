"""Functions of (weights, feedback, data), and the conservation laws."""

from .abstract import AbstractObservable as AbstractObservable
from .alignment import Alignment as Alignment
from .alignment import alignment_table as alignment_table
from .alignment import angle_degrees as angle_degrees
from .basics import BackProjectedResidual as BackProjectedResidual
from .basics import Loss as Loss
from .basics import MapDistance as MapDistance
from .basics import Norms as Norms
from .basics import Residual as Residual
from .basics import linear_map as linear_map
from .kinks import CHATTER as CHATTER
from .kinks import KinkCount as KinkCount
from .kinks import KinkCounter as KinkCounter
from .kinks import KinkSummary as KinkSummary
from .laws import LAWS as LAWS
from .laws import AbstractConservationLaw as AbstractConservationLaw
from .laws import Balance as Balance
from .laws import ScaleOf as ScaleOf
from .laws import balance_laws as balance_laws
from .laws import hidden_layers as hidden_layers
from .laws import law_degree as law_degree
from .potentials import AbstractPotential as AbstractPotential
from .potentials import FeedbackPotential as FeedbackPotential
from .potentials import MovingFeedbackPotential as MovingFeedbackPotential
from .potentials import SlavedReadoutPotential as SlavedReadoutPotential
from .potentials import WeightPotential as WeightPotential

"""Infinitely many samples: order parameters of student and teacher, and their finite-N original."""

from .integrals import AbstractIntegrals as AbstractIntegrals
from .integrals import AbstractStepIntegrals as AbstractStepIntegrals
from .integrals import choices as choices
from .integrals import integrals_of as integrals_of
from .observables import Overlaps as Overlaps
from .observables import PopulationLoss as PopulationLoss
from .order_parameters import KnownTeacher as KnownTeacher
from .order_parameters import OrderParameters as OrderParameters
from .order_parameters import covariance as covariance
from .order_parameters import drift as drift
from .order_parameters import population_loss as population_loss
from .rules import AbstractPopulationRule as AbstractPopulationRule
from .rules import PopulationDirectFeedbackAlignment as PopulationDirectFeedbackAlignment
from .rules import PopulationGradient as PopulationGradient
from .rules import order_of as order_of
from .simulate import simulate as simulate

POPULATION_RULES = {
    "population-gradient": PopulationGradient,
    "population-direct-feedback-alignment": PopulationDirectFeedbackAlignment,
}

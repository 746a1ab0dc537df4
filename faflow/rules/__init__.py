"""Learning rules as vector fields; each names the laws it keeps."""

from .abstract import AbstractLearningRule as AbstractLearningRule
from .abstract import AbstractWeightRule as AbstractWeightRule
from .abstract import AbstractWholeRule as AbstractWholeRule
from .abstract import State as State
from .abstract import weight_velocity as weight_velocity
from .backward import AbstractChainRule as AbstractChainRule
from .backward import AbstractDirectRule as AbstractDirectRule
from .backward import AbstractLayerwiseRule as AbstractLayerwiseRule
from .backward import backward_sweep as backward_sweep
from .backward import direct_sweep as direct_sweep
from .backward import outer_products as outer_products
from .backward import says_no_more as says_no_more
from .backward import slopes as slopes
from .chain import check_chain as check_chain
from .direct_projection import DirectRandomTargetProjection as DirectRandomTargetProjection
from .direct_projection import SignErrorDirectFeedback as SignErrorDirectFeedback
from .fa_star import FAStar as FAStar
from .frozen_backward import AlignAda as AlignAda
from .frozen_backward import AlignZero as AlignZero
from .hebbian import Hebbian as Hebbian
from .jacobian import has_jacobian as has_jacobian
from .jacobian import rule_jacobian as rule_jacobian
from .kernel import GivenError as GivenError
from .kernel import TangentKernel as TangentKernel
from .kernel import as_matrix as as_matrix
from .kernel import effective_kernel as effective_kernel
from .kernel import error_response as error_response
from .kernel import with_error as with_error
from .kolen_pollack import KolenPollack as KolenPollack
from .last_layer import LastLayerOnly as LastLayerOnly
from .layered_kernel import LayerRows as LayerRows
from .layered_kernel import driven_by as driven_by
from .layered_kernel import kernel_of as kernel_of
from .layered_kernel import layer_rows as layer_rows
from .layered_kernel import outputs_move as outputs_move
from .layerwise import DirectFeedbackAlignment as DirectFeedbackAlignment
from .layerwise import FeedbackAlignment as FeedbackAlignment
from .layerwise import Gradient as Gradient
from .linear_field import pays as pays
from .models.angular_momentum import AngularMomenta as AngularMomenta
from .models.angular_momentum import angular_momenta as angular_momenta
from .models.found_laws import model_laws as model_laws
from .models.model_check import check_model as check_model
from .models.model_check import check_outputs as check_outputs
from .modifiers.forecast import Forecast as Forecast
from .modifiers.forecast import bare as bare
from .modifiers.forecast import forecast as forecast
from .modifiers.learning_rates import LearningRates as LearningRates
from .modifiers.mean_field import MeanFieldRates as MeanFieldRates
from .modifiers.mean_field import mean_field_rates as mean_field_rates
from .modifiers.modified import AbstractForecastingRule as AbstractForecastingRule
from .modifiers.modified import AbstractModifiedRule as AbstractModifiedRule
from .modifiers.modified import Point as Point
from .modifiers.modified import unmodified as unmodified
from .modifiers.momentum import Momentum as Momentum
from .modifiers.sign import Sign as Sign
from .modifiers.sign import jumps as jumps
from .modifiers.weight_decay import WeightDecay as WeightDecay
from .modifiers.weight_normalisation import WeightNormalisation as WeightNormalisation
from .monotone_direct_feedback import MonotoneDirectFeedback as MonotoneDirectFeedback
from .moving_feedback import AbstractMovingFeedbackRule as AbstractMovingFeedbackRule
from .observables import DeltaAlignment as DeltaAlignment
from .observables import Exponent as Exponent
from .observables import Speed as Speed
from .particular import AbstractParticularRule as AbstractParticularRule
from .particular import Misfit as Misfit
from .potential_feedback import MixedFeedbackAlignment as MixedFeedbackAlignment
from .potential_feedback import PotentialFeedback as PotentialFeedback
from .sampled import check_sum as check_sum
from .sampled import sums_over_samples as sums_over_samples
from .sign_symmetry import FixedMagnitudeSignSymmetry as FixedMagnitudeSignSymmetry
from .sign_symmetry import UniformSignSymmetry as UniformSignSymmetry
from .target_propagation import (
    FixedWeightDifferenceTargetPropagation as FixedWeightDifferenceTargetPropagation,
)
from .weight_mirror import WeightMirror as WeightMirror

RULES = {
    "gradient": Gradient,
    "feedback-alignment": FeedbackAlignment,
    "direct-feedback-alignment": DirectFeedbackAlignment,
    "fa-star": FAStar,
    "kolen-pollack": KolenPollack,
    "uniform-sign-symmetry": UniformSignSymmetry,
    "fixed-magnitude-sign-symmetry": FixedMagnitudeSignSymmetry,
    "last-layer-only": LastLayerOnly,
    "sign-error-direct-feedback": SignErrorDirectFeedback,
    "direct-random-target-projection": DirectRandomTargetProjection,
    "hebbian": Hebbian,
    "weight-mirror": WeightMirror,
    "align-ada": AlignAda,
    "align-zero": AlignZero,
    "fixed-weight-difference-target-propagation": FixedWeightDifferenceTargetPropagation,
    "mixed-feedback-alignment": MixedFeedbackAlignment,
    "potential-feedback": PotentialFeedback,
    "monotone-direct-feedback": MonotoneDirectFeedback,
}

# Each takes the rule that it modifies as its first argument.
MODIFIERS = {
    "weight-decay": WeightDecay,
    "learning-rates": LearningRates,
    "mean-field": MeanFieldRates,
    "momentum": Momentum,
    "weight-normalisation": WeightNormalisation,
    "sign": Sign,
}

"""Learning rules as vector fields; each names the laws it keeps."""

from .abstract import AbstractLayerwiseRule as AbstractLayerwiseRule
from .abstract import AbstractLearningRule as AbstractLearningRule
from .abstract import AbstractWeightRule as AbstractWeightRule
from .abstract import backward_sweep as backward_sweep
from .abstract import outer_products as outer_products
from .abstract import weight_velocity as weight_velocity
from .fa_star import FAStar as FAStar
from .kolen_pollack import KolenPollack as KolenPollack
from .layerwise import DirectFeedbackAlignment as DirectFeedbackAlignment
from .layerwise import FeedbackAlignment as FeedbackAlignment
from .layerwise import Gradient as Gradient
from .observables import DeltaAlignment as DeltaAlignment
from .observables import Exponent as Exponent
from .observables import Speed as Speed

RULES = {
    "gradient": Gradient,
    "feedback-alignment": FeedbackAlignment,
    "direct-feedback-alignment": DirectFeedbackAlignment,
    "fa-star": FAStar,
    "kolen-pollack": KolenPollack,
}

"""How feedback matrices are drawn or tied."""

from .draw import FEEDBACKS as FEEDBACKS
from .draw import AbstractFeedbackDraw as AbstractFeedbackDraw
from .draw import draw_feedback as draw_feedback
from .draw import feedback_shapes as feedback_shapes
from .feedback import Feedback as Feedback
from .feedback import Form as Form
from .feedback import counterparts as counterparts
from .models import feedback_from_arrays as feedback_from_arrays
from .models import feedback_places as feedback_places
from .models import model_feedback as model_feedback

"""How feedback matrices are drawn or tied."""

from .draw import FEEDBACKS as FEEDBACKS
from .draw import AbstractFeedbackDraw as AbstractFeedbackDraw
from .draw import draw_feedback as draw_feedback
from .draw import feedback_shapes as feedback_shapes
from .feedback import Feedback as Feedback
from .feedback import Form as Form
from .feedback import counterparts as counterparts
from .models import model_feedback as model_feedback

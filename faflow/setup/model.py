"""W(0) and the feedback of a config whose network is a model."""

from ..config.arrays import FeedbackFromFile, WeightsFromFile, by_path, given_model
from ..config.errors import ConfigError
from ..config.kinds.model import FromConstructor, model_of, scaled
from ..config.network import ModelSection
from ..config.places import located
from ..config.resolve import Resolved
from ..config.section import FEEDBACK, INIT
from ..feedback import Feedback, Form, feedback_from_arrays, model_feedback
from ..networks import Model
from ..rules import check_outputs
from ..tasks import Task
from . import field


def model_and_feedback(resolved: Resolved, form: Form, task: Task) -> tuple[Model, Feedback]:
    """The model at W(0), and one feedback array for each leaf that the backward pass meets.
    ConfigError if one can't be made, or is not finite."""
    config, data = resolved.config, task.data
    section = config.network
    assert isinstance(section, ModelSection)
    init, key = resolved.init.make(), config.key(config.init, INIT)
    model = resolved.ask("network", model_of, resolved.network, section, data, key)
    resolved.ask("network", check_outputs, model, data)
    if isinstance(init, WeightsFromFile):
        pick = lambda arrays: given_model(arrays, model)  # noqa: E731
        model = resolved.ask("init.file", by_path, located(resolved.base, init.file), pick)
    elif isinstance(init, FromConstructor):
        model = scaled(model, init.scale)
    if not field.finite(model):
        raise ConfigError("init", "gives numbers that are not finite; lower its scale")
    feedback = Feedback() if form == "none" else _feedback(resolved, form, model, task)
    if not field.finite(feedback):
        raise ConfigError("feedback", "gives numbers that are not finite; lower its scale")
    return model, feedback


def _feedback(resolved: Resolved, form: Form, model: Model, task: Task) -> Feedback:
    section, draw, inputs = resolved.config.feedback, resolved.feedback.make(), task.data.inputs
    if isinstance(draw, FeedbackFromFile):
        pick = lambda arrays: feedback_from_arrays(arrays, model, inputs, form)  # noqa: E731
        return resolved.ask("feedback.file", by_path, located(resolved.base, draw.file), pick)
    key = resolved.config.key(section, FEEDBACK)
    own = {"scales": section.scales, "seeds": section.seeds}
    return resolved.ask("feedback", model_feedback, draw, key, model, inputs, form, **own)

"""The laws that a flow of a model is followed by: those that its rule keeps, found by machine."""

from ..config.errors import ConfigError, nearest
from ..config.schema import ObserveSection
from ..feedback import Feedback
from ..flow import FlowProblem
from ..networks import Model
from ..rules import Gradient, model_laws
from .measure import Laws

CONTROL = "gradient-"  # before the name of a law that the gradient keeps on this model


def asked_model_laws(
    observe: ObserveSection, problem: FlowProblem, model: Model, rule: str
) -> Laws:
    """The laws to record, each with whether the rule keeps it: all that are found, and, among
    `observe.controls`, those that the gradient keeps, by "gradient-" and their name."""
    data = problem.data
    laws = model_laws(problem.rule, model, problem.feedback, data)
    found: Laws = {name: (law, True) for name, law in laws.items()}
    for index, name in enumerate(observe.laws):
        if name not in found:
            what = f"is '{name}', but {rule} keeps no such law on this model"
            raise ConfigError(f"observe.laws.{index}", f"{what}; {nearest(name, found)}")
    if not observe.controls:
        return found
    others = model_laws(Gradient(), model, Feedback(), data)
    known = {CONTROL + name: law for name, law in others.items()}
    for index, name in enumerate(observe.controls):
        if name not in known:
            what = f"is '{name}', which is no law of the gradient on this model"
            raise ConfigError(f"observe.controls.{index}", f"{what}; {nearest(name, known)}")
        found[name] = (known[name], False)
    return found

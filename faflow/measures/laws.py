"""Which laws a config's flow is followed by: the rule's own, those asked for, and controls."""

from typing import Any

from ..config.errors import ConfigError, nearest
from ..config.resolve import Resolved
from ..config.schema import ObserveSection
from ..flow import FlowProblem
from ..networks import is_linear
from ..observables import (
    LAWS,
    AbstractConservationLaw,
    Balance,
    FeedbackPotential,
    SubspaceBalance,
    WeightPotential,
    hidden_layers,
    law_degree,
)
from ..rules import Forecast

Laws = dict[str, tuple[AbstractConservationLaw, bool]]
SUBSPACE = "subspace-balance"
REMEDY = "remove it, or list it in observe.controls to see it broken"


def asked_laws(resolved: Resolved, problem: FlowProblem) -> Laws:
    """The laws to record, each with whether the rule claims it.

    All that the rule claims, and those of the rule below its modifiers; `observe.laws` must be
    claimed (ConfigError, with the reason why a law is not); `observe.controls` need not, as long as
    they can be formed. A rule that claims none and is asked for none is shown the layer balance, so
    that its rate is reported rather than silence.
    """
    observe: ObserveSection = resolved.config.observe
    found: Laws = {name: (law, True) for name, law in problem.rule.laws(problem.weights).items()}
    if isinstance(problem.rule, Forecast):
        found |= {name: (law, False) for name, law in problem.rule.forecasts.items()}
    known = (*LAWS, SUBSPACE, *(name for name in found if name not in LAWS and name != SUBSPACE))
    for key in ("laws", "controls"):
        for index, name in enumerate(getattr(observe, key)):
            if name not in known:
                raise ConfigError(f"observe.{key}.{index}", f"is '{name}'; {nearest(name, known)}")
    for index, name in enumerate(observe.laws):
        if name not in found:
            what = f"is '{name}', but {_reason(resolved, problem, name)}; {REMEDY}"
            raise ConfigError(f"observe.laws.{index}", what)
    for index, name in enumerate(observe.controls):
        if name not in found:
            found[name] = (_control(problem, name, f"observe.controls.{index}"), False)
    return found or {"layer-balance": (_control(problem, "layer-balance", "observe.names"), False)}


def _reason(resolved: Resolved, problem: FlowProblem, name: str) -> str:
    """Why a rule does not claim a law of this name for this network."""
    weights, rule = problem.weights, f"the rule {resolved.rule.kind}"
    if resolved.modifiers:
        rule += f" under {', '.join(choice.kind for choice in resolved.modifiers)}"
    activation, network = resolved.activation.kind, resolved.config.network
    if law_degree(weights) is None:
        return f"{activation} is not homogeneous (no k with phi'(h) h = k phi(h))"
    if name in ("matrix-balance", SUBSPACE) and not is_linear(weights):
        what = "network is gated" if network.kind == "gated" else f"activation is {activation}"
        return f"it needs a linear network, and the {what}"
    if name == SUBSPACE:
        need = "direct feedback to a layer below one narrower than the output"
        return f"it needs {need}, which is not here"
    if problem.feedback.form == "direct" and is_linear(weights) and _narrow(problem):
        return "D_{l+1}^+ D_l is no feedback below a layer narrower than the output"
    claimed = problem.rule.laws(weights)
    if not claimed:
        return f"{rule} names no law of this network"
    if name == "matrix-balance" and not all(law.quadratic for law in claimed.values()):
        return f"it needs a quadratic potential psi, and that of {rule} is not"
    return f"{rule} does not name it for this network"


def _control(problem: FlowProblem, name: Any, key: str) -> AbstractConservationLaw:
    """A law that the rule does not claim: feedback alignment's, or the gradient's if there is no
    feedback, with k = 1 where phi has none."""
    weights, narrow = problem.weights, _narrow(problem)
    if name == SUBSPACE:
        if not narrow:
            what = f"is '{name}', which needs direct feedback to a layer below one narrower than"
            raise ConfigError(key, f"{what} the output, and there is none; remove it")
        return SubspaceBalance(narrow)
    potential = WeightPotential() if problem.feedback.form == "none" else FeedbackPotential()
    degree = law_degree(weights)
    kept = tuple(layer for layer in hidden_layers(weights) if layer not in narrow)
    return Balance(potential, name, kept, 1.0 if degree is None else degree)


def _narrow(problem: FlowProblem) -> tuple[int, ...]:
    """Hidden layers l under direct feedback with n_{l+1} < n_L: no D_{l+1} F_{l+1} = D_l there."""
    if problem.feedback.form != "direct":
        return ()
    heights = [weight.shape[0] for weight in problem.weights.weights]
    below = hidden_layers(problem.weights)[:-1]
    return tuple(layer for layer in below if heights[layer] < heights[-1])

"""The laws that a flow is followed by: the rule's own, those asked for, and controls."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..analysis import forecast_error, law_drift, law_rates
from ..analysis.law_keeping import KEPT, are_kept, rates_near
from ..config.errors import ConfigError, nearest
from ..config.resolve import Resolved
from ..config.schema import ObserveSection
from ..flow import FlowProblem
from ..networks import Model, is_linear
from ..observables import (
    LAWS,
    AbstractConservationLaw,
    Balance,
    FeedbackPotential,
    LeafBalance,
    LeafSum,
    ScaleOf,
    SubspaceBalance,
    WeightPotential,
    hidden_layers,
    law_degree,
    readout_sum,
)
from ..rules import AbstractLayerwiseRule, Forecast
from ..rules.modifiers.forecast import SUFFIX
from ..tasks import CrossEntropy
from .measure import Entry, Flown, Laws, Measure, Observed, Row, Section
from .model_laws import asked_model_laws
from .tables import number, place_words, size, tolerance_words, worst

SUBSPACE, READOUT = "subspace-balance", "readout-sum"
REMEDY = "remove it, or list it in observe.controls to see it broken"


def asked_laws(resolved: Resolved, problem: FlowProblem) -> Laws:
    """The laws to record, each with whether the rule claims it.

    All that the rule claims, and those of the rule below its modifiers; `observe.laws` must be
    claimed (ConfigError, with the reason why a law is not); `observe.controls` need not, as long as
    they can be formed. A rule that claims none and is asked for none is shown the layer balance, so
    that its rate is reported rather than silence.
    """
    observe: ObserveSection = resolved.config.observe
    if isinstance(problem.weights, Model):
        return asked_model_laws(observe, problem, problem.weights, resolved.rule.kind)
    found: Laws = {name: (law, True) for name, law in problem.rule.laws(problem.weights).items()}
    if isinstance(problem.rule, Forecast):
        found |= {name: (law, False) for name, law in problem.rule.forecasts.items()}
    of_loss = _of_the_loss(problem)
    known = tuple(dict.fromkeys((*LAWS, SUBSPACE, READOUT, *found)))
    for key in ("laws", "controls"):
        for index, name in enumerate(getattr(observe, key)):
            if name not in known:
                raise ConfigError(f"observe.{key}.{index}", f"is '{name}'; {nearest(name, known)}")
    for index, name in enumerate(observe.laws):
        if name not in found | of_loss:
            what = f"is '{name}', but {_reason(resolved, problem, name)}; {REMEDY}"
            raise ConfigError(f"observe.laws.{index}", what)
    for index, name in enumerate(observe.controls):
        if name not in found | of_loss:
            found[name] = (_control(problem, name, f"observe.controls.{index}"), False)
    found = found or {"layer-balance": (_control(problem, "layer-balance", "observe.names"), False)}
    return found | of_loss


def _of_the_loss(problem: FlowProblem) -> Laws:
    """What the errors of softmax cross-entropy, which sum to zero, add to a layerwise rule's."""
    of_softmax = isinstance(problem.data.loss, CrossEntropy) and problem.data.targets.shape[-1] > 1
    if not of_softmax or not isinstance(problem.rule, AbstractLayerwiseRule):
        return {}
    return {READOUT: (readout_sum(problem.weights), True)}


def _reason(resolved: Resolved, problem: FlowProblem, name: str) -> str:
    """Why a rule does not claim a law of this name for this network."""
    weights, rule = problem.weights, f"the rule {resolved.rule.kind}"
    if resolved.modifiers:
        rule += f" under {', '.join(choice.kind for choice in resolved.modifiers)}"
    activation, network = resolved.activation.kind, resolved.config.network
    if name == READOUT:
        needs = "softmax cross-entropy with two outputs or more"
        return f"it needs {needs} and an unmodified layerwise rule"
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
    if name == READOUT:
        return readout_sum(weights)
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


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section:
    """Per law whether it is kept, its rates at both ends, and its drift beside its scale."""
    del summary
    resolved, experiment, solution, *_ = flown
    problem, found = flown.problem, {}
    if not experiment.laws:
        return found
    rule, laws = problem.rule, {name: law for name, (law, _) in experiment.laws.items()}
    end = (solution.weights, solution.feedback, problem.data)
    near = rates_near(laws, problem)
    kept = are_kept(near, KEPT[resolved.config.precision])
    first = near[0]
    last = law_rates(laws, rule, *end, rule.init(*end), jnp.asarray(solution.t_final, float))
    for name, (law, claimed) in experiment.laws.items():
        values, scales = solution.records[name], solution.records[f"{name}_scale"]
        decay = np.asarray(law.decay).tolist()
        drift = law_drift(values, scales, solution.ts, solution.reached, decay)
        found[name] = {
            "claimed": claimed,
            "kept": kept[name],
            "layers": list(law.layers),
            "rate_at_start": first[name].relative,
            "rate_at_end": last[name].relative,
            "drift": drift.drift,
            "relative_drift": drift.relative,
            "worst_time": drift.worst_time,
            "scale": drift.scale,
        }
        if isinstance(law, LeafBalance | LeafSum):
            found[name]["places"] = list(law.places)
        if solution.corrected is not None and claimed:
            # By construction: whatever it is, it says nothing of the flow.
            found[name] |= {"projected": True, "drift": None, "relative_drift": None}
        predicted = solution.records.get(name + SUFFIX)
        if predicted is not None:
            missed = forecast_error(values, predicted, scales, solution.ts, solution.reached)
            found[name]["forecast_error"] = missed.drift
            found[name]["relative_forecast_error"] = missed.relative
        if np.any(decay):
            found[name]["decay"] = decay
    return found


def _observables(resolved: Resolved, problem: FlowProblem, laws: Laws) -> Observed:
    """Every law and, as `<law>_scale`, the sum of its terms' sizes."""
    del resolved, problem
    found: Observed = {}
    for name, (law, _) in laws.items():
        found |= {name: law, f"{name}_scale": ScaleOf(law)}
    return found


def _rows(section: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Row]:
    return [(name, law_line(law, summary["solver"])) for name, law in section.items()]


def law_line(law: Mapping[str, Any], solver: Mapping[str, Any]) -> str:
    start = f"rate at start {number(worst(law['rate_at_start']))}"
    if law.get("projected"):
        return f"projected onto: its drift is no check; {start}"
    index = law["relative_drift"].index(max(law["relative_drift"], key=size))
    drift, scale, relative, when = (
        number(law[key][index]) for key in ("drift", "scale", "relative_drift", "worst_time")
    )
    text = (
        f"{'kept' if law['kept'] else 'NOT KEPT'}; "
        f"{start}; drift {drift} of {scale} "
        f"= {relative} at t = {when} ({place_words(law, index)}; {tolerance_words(solver)})"
    )
    if "relative_forecast_error" in law:
        text += f"; forecast to {number(worst(law['relative_forecast_error']))}"
    return text


def _warnings(flown: Flown, section: Mapping[str, Any]) -> list[str]:
    del flown
    found = []
    for name, law in section.items():
        if "forecast_error" in law:
            if not law["kept"]:
                found.append(f"{name} is broken by a modifier: its drift is forecast, and no error")
            continue
        if law.get("projected"):
            found.append(f"{name} was put back after every step (flow.project): no check of it")
        if not law["kept"]:
            found.append(f"{name} is not kept by this rule and network; its drift is no error")
        if law["claimed"] and not law["kept"]:
            found.append(f"{name} is claimed by the rule, but its field breaks it")
        if law["kept"] and not law["claimed"]:
            found.append(f"{name} is not claimed by the rule, but kept by its field")
    return found


LAWS_MEASURE = Measure(
    "laws",
    _section,
    _rows,
    _warnings,
    observables={
        "laws": Entry("the laws the rule keeps, and observe.controls", lambda name, problem: {})
    },
    needs=_observables,
    errors=(
        "drift", "relative_drift", "rate_at_start", "rate_at_end", "forecast_error",
        "relative_forecast_error",
    ),
)  # fmt: skip

"""Kinks that a flow met: how they were integrated, how wrong that makes the weights."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._results import Outcome
from ..config.flow.kinks import estimates_error
from ..config.network import NetworkSection
from ..config.resolve import Resolved
from ..flow import (
    SKETCH,
    EventRecord,
    FlowProblem,
    FlowSolution,
    Numerics,
    WeightSketch,
    check_exact,
)
from ..networks import AbstractLayeredNetwork
from .measure import Entry, Flown, Laws, Measure, Observed, Section, line
from .tables import number
from .variables.events import event_group, logged
from .variables.groups import Group

LARGE = 10.0  # times the tolerance: an error in the weights that is worth a word
LARGE_FIXED = 1e-3  # the same where fixed steps set no tolerance
# Exact flows cost no more than plain ones up to AFFORDABLE samples for errors of AT in the weights,
# at MOST for 1e-6 and below (crossings grow like the number of samples); between, a power law.
AFFORDABLE, AT, MOST = 100, 1e-4, 1000


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """`kinks` of the summary; None where the flow meets none."""
    del summary
    resolved, _, solution, error, _ = flown
    if resolved.method == "none":
        return None
    if solution.events is not None:
        return _exact(solution, solution.events)
    section: Section = {"method": resolved.method}
    if resolved.flow.smooth is not None:
        section["width"] = resolved.flow.smooth.width
    if solution.kinks is not None:
        section |= solution.kinks._asdict()
    if error is not None:
        section["error"] = error._asdict()
    return section


def _exact(solution: FlowSolution, events: EventRecord) -> Section:
    sliding = np.asarray(events.sliding_at)[np.asarray(solution.reached)]
    counts = {name: int(value) for name, value in events.counts._asdict().items()}
    section = {
        "method": "exact",
        **counts,
        "sliding_at_end": sliding[-1],
        "logged": logged(events.log),
    }
    fork = events.fork
    if int(fork.layer) >= 0:
        section["fork"] = {
            "time": float(fork.time),
            "layer": int(fork.layer) + 1,
            "sample": int(fork.sample),
            "unit": int(fork.unit),
        }
    return section


def about_end(resolved: Resolved, outcome: Outcome, section: Mapping[str, Any] | None) -> str:
    """Where an exact flow stuck, and the key that may help; to follow the outcome's message."""
    exact = resolved.flow.exact
    if section is None or exact is None:
        return ""
    if outcome == Outcome.SLIDING_OVERFLOW:
        return f" (flow.exact.slots = {exact.slots})"
    if outcome == Outcome.NOT_UNIQUE and "fork" in section:
        on = 'flow.exact.branch = "nearest" or "other" follows the two continuations'
        return f": {fork_at(section['fork'])}; {on}"
    return ""


def _warnings(flown: Flown, section: Mapping[str, Any]) -> list[str]:
    return kink_warnings(flown.resolved, flown.problem, section) if section else []


def kink_warnings(
    resolved: Resolved, problem: FlowProblem, section: Mapping[str, Any]
) -> list[str]:
    """What a reader has to know about `section` (of JSON's types)."""
    if section["method"] == "exact":
        return _about_exact(resolved, section)
    found = []
    error = section.get("error")
    if chattering := section.get("chattering"):
        found.append(
            f"pairs chatter: {chattering} pre-activations changed sign 10 times or more; the laws "
            "hold on such paths and say nothing about the weights"
        )
    if error is not None and error["weights"] is None:
        found.append(f"no estimate of the kink error: {error['status']}")
    if error is not None:
        found += _hint(resolved, problem, error["weights"])
    return found


def _about_exact(resolved: Resolved, section: Mapping[str, Any]) -> list[str]:
    found, exact = [], resolved.flow.exact
    changes = sum(section[kind] for kind in ("crossed", "landed", "left"))
    if exact is not None and exact.events < changes:
        what = f"the log holds the first {section['logged']} of {changes} changes of pairs"
        found.append(f"{what}; raise flow.exact.events to keep them all")
    if exact is not None and exact.branch != "stop" and "fork" in section:
        other = "other" if exact.branch == "nearest" else "nearest"
        first = fork_at(section["fork"])
        what = f"the flow is not unique: {section['forks']} forks, the first {first}"
        found.append(f'{what}; this is one continuation, flow.exact.branch = "{other}" another')
    return found


def _hint(resolved: Resolved, problem: FlowProblem, error: float | None) -> list[str]:
    """How to do better: where the error is large, and with "auto" where exact costs no more."""
    aim, name = _aim(resolved)
    large = error is None or error > (LARGE_FIXED if aim is None else LARGE * aim)
    if not large and resolved.flow.kinks != "auto":
        return []
    exact = _affordable(problem, aim or error or AT) and _is_served(resolved, problem)
    if not large:
        hint = 'flow.kinks = "exact" is affordable here and leaves no error at kinks'
        return [hint] if exact else []
    found = "kinks make the weights wrong by an unknown amount"
    if error is not None:
        against = "" if aim is None else f", {error / aim:.2g} x {name}"
        found = f"kinks make the weights wrong by about {error:.1e}{against}, whatever the drift"
    return [f"{found}; {_remedy(resolved, exact)}"]


def _aim(resolved: Resolved) -> tuple[float | None, str]:
    """The accuracy that was asked for, and by which key; None for fixed steps, which say none."""
    flow = resolved.flow
    if flow.smooth is not None:
        return flow.smooth.width, "flow.smooth.width"
    return (flow.rtol if flow.step is None else None), "flow.rtol"


def _remedy(resolved: Resolved, exact: bool) -> str:
    if exact:
        return 'use flow.kinks = "exact"'
    if resolved.method == "smooth":
        return "lower flow.smooth.width"
    key = "flow.rtol" if resolved.flow.step is None else "flow.step"
    if not isinstance(resolved.config.network, NetworkSection):
        return f"lower {key}"
    return f'try flow.kinks = "smooth", or lower {key}'


def _affordable(problem: FlowProblem, aim: float) -> bool:
    more = math.sqrt(max(AT / aim, 1.0))
    return problem.data.inputs.shape[0] <= min(AFFORDABLE * more, MOST)


def _is_served(resolved: Resolved, problem: FlowProblem) -> bool:
    """Whether the exact integrator takes the rule and the activation that the config names."""
    layered = isinstance(problem.weights, AbstractLayeredNetwork)
    if not layered or not isinstance(resolved.config.network, NetworkSection):
        return False
    phi = resolved.activation.make()
    weights = dataclasses.replace(problem.weights, activation=phi)
    try:
        check_exact(dataclasses.replace(problem, weights=weights), Numerics(kinks="exact"))
    except (Exception, SystemExit):  # ValueError where it says so; a user's rule may raise anything
        return False
    return True


def _line(kinks: Mapping[str, Any]) -> str:
    if kinks["method"] == "exact":
        counted = ", ".join(f"{kinks[kind]} {kind}" for kind in ("crossed", "landed", "left"))
        end = number(kinks["sliding_at_end"])
        text = f"exact: {kinks['events']} events ({counted}); at most {kinks['most_sliding']} pairs"
        text += f" slid at once, at the end {end} (per hidden layer)"
        return text + (f"; NOT UNIQUE {fork_at(kinks['fork'])}" if "fork" in kinks else "")
    return "; ".join([*_plain_kinks(kinks), *_error_words(kinks.get("error"))])


def fork_at(fork: Mapping[str, Any]) -> str:
    """Time and pair of a fork in words."""
    layer, sample, unit = (fork[name] for name in ("layer", "sample", "unit"))
    pair = f"neuron {unit} of hidden layer {layer} on sample {sample}"
    return f"at t = {fork['time']:.6g}, {pair} (neurons, samples counted from 0)"


def _plain_kinks(kinks: Mapping[str, Any]) -> list[str]:
    if "width" in kinks:
        return [f"{kinks['method']}, width {number(kinks['width'])}"]
    if "changes" not in kinks:
        return [f"{kinks['method']}, sign changes not counted"]
    changed = f"{number(kinks['changes'])} sign changes (per hidden layer)"
    return [f"{kinks['method']}: {changed}, {kinks['busiest']} of the busiest pair"]


def _error_words(error: Mapping[str, Any] | None) -> list[str]:
    if error is None:
        return []
    if error["weights"] is None:
        return [f"error of the weights unknown: {error['status']}"]
    return [f"weights wrong by about {number(error['weights'])} (estimate by {error['by']})"]


def _needs(resolved: Resolved, problem: FlowProblem, laws: Laws) -> Observed:
    del problem, laws
    return {SKETCH: WeightSketch()} if estimates_error(resolved.method) else {}


def _groups(flown: Flown) -> dict[str, Group]:
    events = flown.solution.events
    if events is None:
        return {}
    return {"events": event_group(flown.experiment, events, flown.time, flown.reached)}


KINKS = Measure(
    "kinks",
    _section,
    line("kinks", _line),
    _warnings,
    observables={
        "kinks": Entry("sign changes of pre-activations (kinked phi)", lambda name, problem: {})
    },
    needs=_needs,
    apart=(SKETCH,),
    groups=_groups,
)

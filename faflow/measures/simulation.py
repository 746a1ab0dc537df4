"""[simulate]: online learning at finite N beside a population rule's flow.

All seeds start from the config's order parameters and differ by their samples, so at every save the
flow is compared with the mean of independent and equally distributed losses, whose standard error
is known from their spread: (mean - flow) / (standard error) follows Student's t, but for a bias of
O(1/N), some sqrt(seeds / N) standard errors (0.6 to 0.9 times that in the tests' setting), so that
seeds should be fewer than inputs. `chance`: of a worst deviation as large at any save if there is
no bias, by Bonferroni's bound (saves are correlated, so the chance is smaller than that).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from .._compiling import LONG, compiled
from .._generator import drawing
from ..config.errors import ConfigError
from ..config.network import WideSection
from ..config.resolve import Resolved
from ..config.section import SIMULATE
from ..flow import FlowProblem, FlowSolution
from ..observables import AbstractObservable
from ..population import AbstractPopulationRule, Overlaps, PopulationLoss, simulate
from ..population.comparison import Simulation, compared, student_tails
from .measure import Entry, Experiment, Flown, Laws, Measure, Note, Observed, Section, line
from .tables import number
from .variables.groups import Group, Variable

POPULATION_LOSS = "population-loss"  # the record by which it is compared with simulations
UNLIKELY = 1e-3  # a chance below this is worth a word
MOST_STEPS = 2**31 - 1


def check_simulation(resolved: Resolved, experiment: Experiment) -> str:
    """ConfigError if there is nothing to simulate, or nothing that could be."""
    section, rule = resolved.config.simulate, experiment.problem.rule
    if isinstance(resolved.config.network, WideSection):
        return ""  # whose finite networks have a measure of their own
    if not isinstance(rule, AbstractPopulationRule):
        if section is not None:
            what = f"needs a rule of the population, but rule.kind is '{resolved.rule.kind}'"
            raise ConfigError("simulate", f"{what}; remove it or change that")
        return ""
    if resolved.config.discrete is not None:
        what = f"takes steps of a rule of samples, but rule.kind is '{resolved.rule.kind}'"
        raise ConfigError("discrete", f"{what}; use [simulate]")
    if section is None:
        return ""
    if section.widths:
        what = "are those of networks beside network.kind = 'wide'; use simulate.inputs"
        raise ConfigError("simulate.widths", what)
    if not rule.eta > 0:
        raise ConfigError("simulate", "takes steps of rule.eta / N, but rule.eta is 0; raise it")
    inputs, needed = _inputs(resolved), rule.known().weights.shape[0] + _width(resolved)
    if inputs < needed:
        what = f"is {inputs}, but student and teacher have {needed} fields; raise it"
        raise ConfigError("simulate.inputs", what)
    if inputs * resolved.flow.t1 / float(rule.eta) > MOST_STEPS:
        what = (
            f"is {inputs}: more than {MOST_STEPS} steps of rule.eta / inputs; lower it or flow.t1"
        )
        raise ConfigError("simulate.inputs", what)
    return ""


def _inputs(resolved: Resolved) -> int:
    section, widths = resolved.config.simulate, resolved.widths
    return widths[0] if section is None or section.inputs is None else section.inputs


def _width(resolved: Resolved) -> int:
    return resolved.widths[1]


def run_simulation(
    resolved: Resolved, experiment: Experiment, solution: FlowSolution, note: Note
) -> Simulation | None:
    """All seeds, and how far their mean is from the flow; None if not asked for."""
    section, problem = resolved.config.simulate, experiment.problem
    if section is None or not isinstance(problem.rule, AbstractPopulationRule):
        return None
    note("simulating")
    inputs = _inputs(resolved)
    with drawing():
        keys = jax.random.split(resolved.config.key(section, SIMULATE), section.seeds)
    start = problem.rule.init(problem.weights, problem.feedback, problem.data)
    run = compiled(LONG)(simulate)
    losses = run(problem.rule, start, problem.feedback, experiment.ts, keys, inputs)
    return compared(inputs, np.asarray(losses), np.asarray(solution.records[POPULATION_LOSS]))


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """None for rules of finite samples."""
    del summary
    problem, solution = flown.problem, flown.solution
    simulation = flown.beside["order_parameters"]
    if not isinstance(problem.rule, AbstractPopulationRule):
        return None
    loss = PopulationLoss(problem.rule.known())
    ends = {"initial": problem.weights, "final": solution.weights}
    section: Section = {
        "eta": float(problem.rule.eta),
        "noise": float(problem.rule.known().noise),
        "population_loss": {
            name: float(loss(net, problem.feedback, problem.data)) for name, net in ends.items()
        },
    }
    if simulation is not None:
        section["simulation"] = _verdict(simulation, solution)
    return section


def _verdict(simulation: Simulation, solution: FlowSolution) -> dict[str, Any]:
    compared_at = np.asarray(solution.reached) & (np.arange(len(simulation.mean)) > 0)
    deviation, times = simulation.deviation[compared_at], np.asarray(solution.ts)[compared_at]
    seeds = len(simulation.losses)
    found: dict[str, Any] = {"seeds": seeds, "inputs": simulation.inputs}
    if len(deviation) == 0 or not np.all(np.isfinite(deviation)):
        return found | {"worst_deviation": None, "worst_time": None, "chance": 0.0}
    worst = int(np.argmax(np.abs(deviation)))
    away = float(np.abs(deviation[worst]))
    return found | {
        "worst_deviation": away,
        "worst_time": float(times[worst]),
        "chance": min(1.0, len(deviation) * student_tails(away, seeds - 1)),
        "rms_deviation": float(np.sqrt(np.mean(deviation**2))),
        "largest_standard_error": float(np.max(simulation.standard_error[compared_at])),
    }


def _warnings(flown: Flown, order: Mapping[str, Any]) -> list[str]:
    """What a reader has to know about the comparison."""
    del flown
    found = order.get("simulation")
    if found is None or found["chance"] > UNLIKELY:
        return []
    if found["worst_deviation"] is None:
        return ["simulations can't be compared with the flow: no finite deviation at every save"]
    return [
        f"simulations are {found['worst_deviation']:.2g} standard errors away from the flow at "
        f"t = {found['worst_time']:.4g}; N = {found['inputs']} may be too small for so many seeds"
    ]


def simulation_group(simulation: Simulation, time: Variable, reached: np.ndarray) -> Group:
    """Over time: `losses` (per seed), `mean`, `standard_error`, `deviation`."""
    about = {
        "losses": "population loss of a simulation",
        "mean": "mean population loss of the simulations",
        "standard_error": "standard error of the mean",
        "deviation": "mean minus flow, in standard errors",
    }
    found = {}
    for name, words in about.items():
        dims = ("seed", "time") if name == "losses" else ("time",)
        values = getattr(simulation, name)[..., reached]
        found[name] = Variable(dims, values, {"long_name": words, "units": "1"})
    attrs = {"inputs": simulation.inputs}
    return Group(found, {"time": time}, attrs)


def _line(order: Mapping[str, Any]) -> str:
    loss, found = order["population_loss"], order.get("simulation")
    text = f"eta {number(order['eta'])}: population loss {number(loss['initial'])} -> "
    text += number(loss["final"])
    if found is None:
        return text
    away, chance = number(found["worst_deviation"]), number(found["chance"])
    text += f"; mean of {found['seeds']} simulations, N = {found['inputs']}, at most {away}"
    return f"{text} standard errors away (chance {chance})"


def _population(make: Callable[..., AbstractObservable]):
    def build(name: str, problem: FlowProblem) -> Observed:
        rule = problem.rule
        return {name: make(rule.known())} if isinstance(rule, AbstractPopulationRule) else {}

    return build


def _needs(resolved: Resolved, problem: FlowProblem, laws: Laws) -> Observed:
    del laws
    asked = resolved.config.simulate is not None
    return _population(PopulationLoss)(POPULATION_LOSS, problem) if asked else {}


def _groups(flown: Flown) -> dict[str, Group]:
    simulation = flown.beside["order_parameters"]
    if simulation is None:
        return {}
    return {"simulation": simulation_group(simulation, flown.time, flown.reached)}


ORDER_PARAMETERS = Measure(
    "order_parameters",
    _section,
    line("order parameters", _line),
    _warnings,
    observables={
        POPULATION_LOSS: Entry(
            "1/2 E (y - f)^2, exactly (population rules)", _population(PopulationLoss)
        ),
        "overlaps": Entry("covariance of the fields (population rules)", _population(Overlaps)),
    },
    needs=_needs,
    check=check_simulation,
    beside=run_simulation,
    groups=_groups,
    gathered=("simulation",),
)

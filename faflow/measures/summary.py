"""`summary.json`, schema 1: the numbers of a run; sections that make no sense are absent."""

import platform
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import ONCE, compiled
from .._results import Outcome
from ..analysis import (
    factorisation_report,
    forecast_error,
    law_drift,
    law_rates,
    minimum_norm_report,
)
from ..analysis.law_keeping import KEPT, are_kept, rates_near
from ..config.expect import judge
from ..config.kinds.kinds import FITTED
from ..config.resolve import Resolved
from ..flow import FlowSolution, ImplicitCounts, KinkError, Leg, Polished
from ..networks import AbstractNetwork
from ..population import AbstractPopulationRule
from ..rules.forecast import SUFFIX
from ..solvers import counts_evaluations
from ..tasks import Data
from .alignment import alignment_section
from .blow_up import about_not_finite
from .discrete import Twin, discrete_section
from .error_control import follows, loose_warnings, size_at_start
from .exact_solution import exact_section
from .experiment import Experiment
from .exponent import exponent_section, exponent_warnings
from .json_numbers import SCHEMA, plain
from .kinks import about_end, kink_section, kink_warnings
from .polish import polish_warnings, polished_section
from .simulation import Simulation, order_section, simulation_warnings


class Seconds(NamedTuple):
    """Wall times of compiling and of running."""

    compile: float
    run: float


class Beside(NamedTuple):
    """What was run beside the flow: discrete twins, a simulation at finite size, a polished end."""

    twins: tuple[Twin, ...] = ()
    simulation: Simulation | None = None
    polished: Polished | None = None


def summarise(
    resolved: Resolved,
    experiment: Experiment,
    solution: FlowSolution,
    seconds: Seconds,
    error: KinkError | None,
    beside: Beside,
) -> dict[str, Any]:
    """The summary of a finished flow, [expect] judged; only JSON's types, NaN and inf as None."""
    outcome = Outcome(int(solution.outcome))
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "name": resolved.config.name,
        "status": str(outcome),
        "t_final": float(solution.t_final),
        "loss": _loss(experiment, solution),
        "solver": _solver(resolved, experiment, solution, seconds),
    }
    laws = _laws(resolved, experiment, solution)
    sections = {
        "laws": laws,
        "alignment": alignment_section(resolved, experiment, solution, laws),
        "exponent": exponent_section(resolved, experiment, solution),
        "minimum_norm": _report(_minimum_norm(experiment, solution)),
        "factorisation": _report(_factorisation(experiment, solution)),
        "exact_solution": exact_section(experiment.observables, solution),
        "kernel": _kernel(solution),
        "kinks": kink_section(resolved, solution, error),
        "discrete": discrete_section(resolved, experiment, beside.twins),
        "order_parameters": order_section(experiment, solution, beside.simulation),
        "projection": _projection(solution),
        "polished": polished_section(experiment, solution, beside.polished),
    }
    summary |= {name: section for name, section in sections.items() if section}
    summary["facts"] = experiment.task.facts
    summary["environment"] = environment()
    summary, lost = (
        plain(summary),
        about_not_finite(resolved, experiment.problem, solution, outcome),
    )
    summary["warnings"] = [
        *_warnings(resolved, outcome, summary, _left_out(resolved, solution), lost),
        *experiment.notes,
        *loose_warnings(resolved, experiment.problem, solution),
        *kink_warnings(resolved, experiment.problem, summary.get("kinks")),
        *exponent_warnings(summary.get("exponent")),
        *simulation_warnings(summary.get("order_parameters")),
        *polish_warnings(summary.get("polished")),
    ]
    if resolved.config.expect:
        summary["expect"] = plain(judge(resolved.config.bounds, summary))
    return summary


def environment() -> dict[str, str]:
    """Versions and device: what a number may depend on besides its config."""
    return {
        "faflow": own_version(),
        "jax": jax.__version__,
        "diffrax": diffrax.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
    }


def own_version() -> str:
    """faflow's version. Looked up by name, for no room imports the front door."""
    return sys.modules[__name__.split(".")[0]].__version__


def _report(report: Any) -> dict[str, Any] | None:
    return None if report is None else report._asdict()


def _loss(experiment: Experiment, solution: FlowSolution) -> dict[str, float]:
    data = experiment.problem.data
    ends = {"initial": experiment.problem.weights, "final": solution.weights}
    return {name: float(_value(net, data)) for name, net in ends.items()}


@compiled(ONCE)
def _value(weights: AbstractNetwork, data: Data) -> jax.Array:
    return data.value(data.outputs(weights))


def _solver(resolved, experiment: Experiment, solution: FlowSolution, seconds: Seconds):
    flow, counts = resolved.flow, solution.counts
    counted = counts_evaluations(experiment.numerics.build_solver())
    adaptive = flow.step is None
    return {
        "name": flow.solver,
        "rtol": flow.rtol if adaptive else None,
        "atol": flow.atol if adaptive else None,
        **_followed(resolved, experiment),
        "step": flow.step,
        "steps": int(counts.accepted),
        "rejected": int(counts.rejected),
        "field_evaluations": int(counts.evaluations) if counted else None,
        **_implicit(counts.implicit),
        "seconds": seconds.run,
        "compile_seconds": seconds.compile,
        **({"chosen": [_chosen(leg) for leg in solution.legs]} if solution.legs else {}),
    }


def _followed(resolved: Resolved, experiment: Experiment) -> dict[str, float]:
    """The size of the weights that tolerances followed from the start, if they did."""
    problem = experiment.problem
    return {"follows": size_at_start(problem.weights)} if follows(resolved, problem) else {}


def _chosen(leg: Leg) -> dict[str, Any]:
    return {
        "solver": leg.solver,
        "from": float(leg.since),
        "steps": int(leg.steps),
        "rejected": int(leg.rejected),
        "field_evaluations": int(leg.evaluations),
        "reason": leg.reason,
    }


def _implicit(counts: ImplicitCounts | None) -> dict[str, int]:
    """Work of methods with a Jacobian; other solvers have no such keys."""
    return {} if counts is None else {name: int(n) for name, n in counts._asdict().items()}


def _laws(resolved: Resolved, experiment: Experiment, solution: FlowSolution) -> dict[str, Any]:
    problem, found = experiment.problem, {}
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


def _minimum_norm(experiment: Experiment, solution: FlowSolution) -> Any:
    problem = experiment.problem
    if isinstance(problem.rule, AbstractPopulationRule):
        return None  # it does not fit the data
    return minimum_norm_report(problem.weights, solution.weights, problem.data)


def _factorisation(experiment: Experiment, solution: FlowSolution) -> Any:
    return factorisation_report(solution.weights, solution.feedback, experiment.problem.data)


def _projection(solution: FlowSolution) -> dict[str, float] | None:
    return None if solution.corrected is None else {"corrected": float(solution.corrected)}


def _kernel(solution: FlowSolution) -> dict[str, Any] | None:
    """The kernel's numbers at the first save and at the last that was reached."""
    record, reached = solution.records.get("kernel"), np.asarray(solution.reached)
    if record is None:
        return None
    values = {name: np.asarray(series)[reached] for name, series in record.items()}
    ends = {"initial": 0, "final": -1}
    return {end: {name: float(v[i]) for name, v in values.items()} for end, i in ends.items()}


def _left_out(resolved: Resolved, solution: FlowSolution) -> list[str]:
    names, apart = resolved.config.observe.names or (), ("laws", "kinks", FITTED)
    return [n for n in names if n not in solution.records and n not in apart]


def _warnings(
    resolved: Resolved,
    outcome: Outcome,
    summary: Mapping[str, Any],
    left_out: list[str],
    lost: str,
) -> list[str]:
    found = []
    if outcome.early:
        more = about_end(resolved, outcome, summary.get("kinks")) + lost
        found.append(f"the flow ended early: it {outcome.message}{more}")
    if resolved.config.precision == "float32":
        found.append("float32: laws and exponents are known to about six digits only")
    for name, law in summary.get("laws", {}).items():
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
    for name in left_out:
        found.append(f"{name} was not recorded: it is not known for this rule or network")
    return found

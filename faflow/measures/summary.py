"""`summary.json`, schema 1: the numbers of a run; sections that make no sense are absent."""

import platform
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import diffrax
import jax

from .._compiling import ONCE, compiled
from .._results import Outcome
from ..config.expect import judge_bounds
from ..config.resolve import Resolved
from ..flow import FlowSolution, ImplicitCounts, Leg
from ..networks import AbstractNetwork
from ..solvers import counts_evaluations
from ..tasks import Data
from .blow_up import about_not_finite
from .error_control import follows, size_at_start
from .json_numbers import SCHEMA, plain
from .kinks import about_end
from .measure import Experiment, Flown
from .registry import MEASURES
from .tables import Rows, number, tolerance_words


class Seconds(NamedTuple):
    """Wall times of compiling and of running."""

    compile: float
    run: float


def summarise(flown: Flown, seconds: Seconds) -> dict[str, Any]:
    """The summary of a finished flow, [expect] judged; only JSON's types, NaN and inf as None."""
    resolved, experiment, solution, *_ = flown
    outcome = Outcome(int(solution.outcome))
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "name": resolved.config.name,
        "status": str(outcome),
        "t_final": float(solution.t_final),
        "loss": _loss(experiment, solution),
        "solver": _solver(resolved, experiment, solution, seconds),
    }
    for name, measure in MEASURES.items():
        if section := measure.section(flown, summary):
            summary[name] = section
    summary["facts"] = experiment.task.facts
    summary["environment"] = environment()
    summary, end = plain(summary), _about_end(flown, outcome, summary)
    summary["warnings"] = [
        *end,
        *(
            said
            for name, measure in MEASURES.items()
            for said in measure.warnings(flown, summary.get(name, {}))
        ),
    ]
    if resolved.config.expect:
        summary["expect"] = plain(judge_bounds(resolved.config.bounds, summary))
    return summary


def _about_end(flown: Flown, outcome: Outcome, summary: Mapping[str, Any]) -> list[str]:
    resolved, found = flown.resolved, []
    if outcome.early:
        more = about_end(resolved, outcome, plain(summary.get("kinks")))
        more += about_not_finite(resolved, flown.problem, flown.solution, outcome)
        found.append(f"the flow ended early: it {outcome.message}{more}")
    if resolved.config.precision == "float32":
        found.append("float32: laws and exponents are known to about six digits only")
    return found


def summary_rows(summary: Mapping[str, Any]) -> Rows:
    """A run's report: one line per thing measured."""
    solver = summary["solver"]
    rows = [
        ("status", f"{summary['status']} at t = {number(summary['t_final'])}"),
        ("loss", f"{number(summary['loss']['initial'])} -> {number(summary['loss']['final'])}"),
    ]
    for name, measure in MEASURES.items():
        if name in summary:
            rows += measure.rows(summary[name], summary)
    rows.append(("solver", _solver_line(solver)))
    rows += [("chosen", _chosen_line(leg)) for leg in solver.get("chosen", [])]
    rows += [(f"expect {p}", _verdict(v)) for p, v in summary.get("expect", {}).items()]
    return [{"what": what, "measured": text} for what, text in rows]


def _solver_line(solver: Mapping[str, Any]) -> str:
    evaluations = solver["field_evaluations"]
    absolute = "" if solver["step"] is not None else f", atol {number(solver['atol'])}"
    if "follows" in solver:
        absolute = f", both following weights that start at {number(solver['follows'])}"
    work = "" if evaluations is None else f", {evaluations} field evaluations"
    return (
        f"{solver['name']} ({tolerance_words(solver)}{absolute}): "
        f"{solver['steps']} steps + {solver['rejected']} rejected{work}; "
        f"{number(solver['seconds'])} s + {number(solver['compile_seconds'])} s compiling"
    )


def _chosen_line(leg: Mapping[str, Any]) -> str:
    since, work = number(leg["from"]), f"{leg['steps']} steps + {leg['rejected']} rejected"
    return f"{leg['solver']} from t = {since} ({work}): {leg['reason']}"


def _verdict(verdict: Mapping[str, Any]) -> str:
    word = "ok" if verdict["ok"] else "BROKEN"
    return f"{word}: {number(verdict['value'])}, bound {number(verdict['bound'])}"


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

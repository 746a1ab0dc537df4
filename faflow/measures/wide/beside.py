"""What is run beside the limit: other batches of its neurons, and networks of finite width."""

from typing import Any, NamedTuple

import numpy as np

from ...config.network import WideSection
from ...config.resolve import Resolved
from ...config.section import SIMULATE
from ...flow import FlowProblem, FlowSolution, integrate
from ...setup.wide import (
    CHANGE,
    OUTPUTS,
    TARGETS,
    TESTS,
    drawn_finite,
    drawn_neurons,
    layers_observed,
    parts_of,
    problem_of,
)
from ...wide import OutputsAt
from ..measure import Experiment, Note
from .ends import losses_of, tangent_of


class Runs(NamedTuple):
    """Flows of the same shapes, one per draw: `loss` (draws, saves), `outputs` (draws, saves, P),
    `tests` (draws, saves, P') or None, `alignment` (draws, saves) of K with the targets,
    `features` (draws, saves, L): their change; `tangents` (draws, P, P): K at the end."""

    loss: np.ndarray
    outputs: np.ndarray
    tests: np.ndarray | None
    alignment: np.ndarray
    features: np.ndarray
    tangents: np.ndarray


class Beside(NamedTuple):
    """`batches`: all of the limit's, the flow's own first; `finite`: by width."""

    batches: Runs | None
    finite: dict[int, Runs]


def run_beside(
    resolved: Resolved, experiment: Experiment, solution: FlowSolution, note: Note
) -> Beside | None:
    """None where the network is not infinitely wide."""
    network, data = resolved.config.network, experiment.problem.data
    if not isinstance(network, WideSection):
        return None
    batches, finite = None, {}
    if resolved.equations == "neurons":
        note(f"running {network.batches - 1} other batches of neurons")
        others = [
            problem_of(drawn_neurons(resolved, network, data, batch), data)
            for batch in range(1, network.batches)
        ]
        found = [_record(resolved, network, experiment, problem) for problem in others]
        own = _of(resolved, network, experiment.problem, solution)
        batches = _together([own, *found])
    section = resolved.config.simulate
    if section is None:
        return Beside(batches, finite)
    for width in section.widths:
        note(f"running {section.seeds} networks of width {width}")
        seeds = np.random.SeedSequence([resolved.config.seed_of(section), SIMULATE, width])
        problems = (
            problem_of(drawn_finite(resolved, network, data, width, int(seed)), data)
            for seed in seeds.generate_state(section.seeds)
        )
        found = [_record(resolved, network, experiment, problem) for problem in problems]
        finite[width] = _together(found)
    return Beside(batches, finite)


def _record(
    resolved: Resolved, network: WideSection, experiment: Experiment, problem: FlowProblem
) -> Runs:
    test = experiment.task.test
    see: dict[str, Any] = {
        OUTPUTS: OutputsAt(problem.data.inputs),
        **parts_of(layers_observed(resolved, network, problem)),
    }
    if test is not None:
        see[TESTS] = OutputsAt(test.inputs)
    found = integrate(problem, experiment.ts, see, experiment.numerics, throw=False)
    return _of(resolved, network, problem, found)


def _of(
    resolved: Resolved, network: WideSection, problem: FlowProblem, solution: FlowSolution
) -> Runs:
    records = solution.records
    tests = records.get(TESTS)
    see = layers_observed(resolved, network, problem)
    return Runs(
        losses_of(problem.data, records[OUTPUTS]),
        np.asarray(records[OUTPUTS]),
        None if tests is None else np.asarray(tests),
        np.asarray(records[TARGETS]),
        np.asarray(records[CHANGE]),
        tangent_of(see, solution.weights, solution.feedback, problem.data),
    )


def _together(runs: list[Runs]) -> Runs:
    parts: list[Any] = [
        None if found[0] is None else np.stack(found) for found in zip(*runs, strict=True)
    ]
    return Runs(*parts)

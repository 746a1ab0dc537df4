"""The integrators that relu.py races, each as a function from problem and setting to a `Run`."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
from problems import flat_weights
from python_events import NumpyFlow, integrate_events

from faflow._results import Outcome
from faflow.flow import Exact, FlowProblem, Numerics, integrate
from faflow.solvers import evaluations_per_step, make_solver

CHEAP = 2.0  # seconds: runs below are timed three times
CHUNK = 20_000  # steps between two looks at the clock


class Run(NamedTuple):
    """Where a method ended (`flat` weights at t = `reached`) and what it cost."""

    flat: np.ndarray
    evaluations: int
    seconds: float
    compile_seconds: float
    reached: float
    outcome: str
    events: int | None = None


class Budget(NamedTuple):
    evaluations: int
    seconds: float


def timed(run: Callable):
    """What `run` returned and the median of three times, of one if it is not cheap."""
    seconds, result = [], None
    while len(seconds) < (3 if seconds and seconds[0] < CHEAP else 1):
        start = time.perf_counter()
        result = jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    return result, float(np.median(seconds))


def first_time(run: Callable) -> float:
    """Seconds of a first call: tracing, compilation and what is run."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def exact(problem: FlowProblem, t1: float, solver: str, tol: float) -> Run:
    """faflow's integrator; its first call ends after a millionth of the way."""

    def run(end: float):
        numerics = Numerics(
            solver=solver, rtol=tol, atol=tol, kinks="exact", exact=Exact(slots=128)
        )
        return integrate(problem, jnp.array([0.0, end]), {}, numerics, throw=False)

    compiling = first_time(lambda: run(1e-6 * t1))
    solution, seconds = timed(lambda: run(t1))
    return Run(
        flat_weights(solution.weights),
        int(solution.counts.evaluations),
        seconds,
        compiling,
        float(solution.t_final),
        str(Outcome(int(solution.outcome))),
        int(solution.events.counts.events),
    )


def numpy_flow(problem: FlowProblem) -> NumpyFlow:
    feedback = problem.feedback.matrices or None
    data = problem.data
    return NumpyFlow(problem.weights.weights, feedback, data.inputs, data.targets)


def numpy_events(problem: FlowProblem, t1: float, solver: str, tol: float) -> Run:
    """The Python event loop."""
    flow = numpy_flow(problem)
    result, seconds = timed(lambda: integrate_events(flow, t1, tol, solver))
    counts = result.counts
    return Run(
        result.flat, counts["evaluations"], seconds, 0.0, result.t, result.outcome,
        counts["events"],
    )  # fmt: skip


def leafwise_field(problem: FlowProblem) -> Callable:
    """The rule's field on a tuple of weight matrices."""

    def field(weights: tuple) -> tuple:
        network = eqx.tree_at(lambda net: net.weights, problem.weights, weights)
        return problem.rule.vector_field(network, problem.feedback, problem.data).weights

    return field


def _flat(weights: tuple) -> np.ndarray:
    return np.concatenate([np.asarray(weight).ravel() for weight in weights])


def diffrax_plain(problem: FlowProblem, t1: float, solver: str, tol: float, budget: Budget) -> Run:
    """diffeqsolve as its documentation shows it, in chunks of steps so that the budget can end it.

    A chunk goes on from where the last one ended, with two evaluations for a new first step.
    """
    field = leafwise_field(problem)
    term = diffrax.ODETerm(lambda t, y, args: field(y))
    method = make_solver(solver, tol, tol)
    controller = diffrax.PIDController(rtol=tol, atol=tol)

    @jax.jit
    def chunk(weights, t):
        return diffrax.diffeqsolve(
            term, method, t, t1, None, weights, saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=controller, max_steps=CHUNK, throw=False,
        )  # fmt: skip

    start = problem.weights.weights
    compiling = first_time(lambda: chunk(start, jnp.asarray(t1 * (1 - 1e-12), float)).ys)

    def run():
        weights, t, evaluations, begun = start, jnp.asarray(0, float), 0, time.perf_counter()
        while float(t) < t1:
            part = chunk(weights, t)
            weights, t = jax.tree.map(lambda leaf: leaf[-1], part.ys), part.ts[-1]
            evaluations += evaluations_per_step(method) * int(part.stats["num_steps"]) + 3
            spent = time.perf_counter() - begun
            if evaluations >= budget.evaluations or spent >= budget.seconds:
                break
        return weights, t, evaluations

    (weights, t, evaluations), seconds = timed(run)
    outcome = "completed" if float(t) >= t1 else "budget"
    return Run(_flat(weights), evaluations, seconds, compiling, float(t), outcome)


def scipy_plain(problem: FlowProblem, t1: float, solver: str, tol: float, budget: Budget) -> Run:
    """SciPy's stepper with the jitted field, stepped by hand so that the budget can end it."""
    field, shapes = leafwise_field(problem), [w.shape for w in problem.weights.weights]
    ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]

    @jax.jit
    def flat_field(flat):
        parts = jnp.split(flat, ends)
        moves = field(tuple(p.reshape(s) for p, s in zip(parts, shapes, strict=True)))
        return jnp.concatenate([move.ravel() for move in moves])

    start = flat_weights(problem.weights)
    compiling = first_time(lambda: flat_field(start))

    def run():
        count, begun = 0, time.perf_counter()

        def rate(t, flat):
            nonlocal count
            count += 1
            return np.asarray(flat_field(flat))

        stepper = getattr(scipy.integrate, solver)(rate, 0.0, start, t1, rtol=tol, atol=tol)
        while stepper.status == "running":
            stepper.step()
            if count >= budget.evaluations or time.perf_counter() - begun >= budget.seconds:
                break
        return stepper.y, stepper.t, count, stepper.status

    (flat, t, evaluations, status), seconds = timed(run)
    outcome = {"finished": "completed", "running": "budget"}.get(status, status)
    return Run(flat, evaluations, seconds, compiling, float(t), outcome)


@eqx.filter_jit
def _fixed_steps(problem: FlowProblem, weights: tuple, eta, steps, heun: bool) -> tuple:
    field = leafwise_field(problem)

    def step(_, w):
        first = field(w)
        ahead = jax.tree.map(lambda a, b: a + eta * b, w, first)
        if not heun:
            return ahead
        second = field(ahead)
        return jax.tree.map(lambda a, b, c: a + 0.5 * eta * (b + c), w, first, second)

    return jax.lax.fori_loop(0, steps, step, weights)


def fixed(problem: FlowProblem, t1: float, solver: str, eta: float) -> Run:
    """Euler's or Heun's method with steps of eta in a jitted loop; Euler's is the discrete rule."""
    heun, start = solver == "heun", problem.weights.weights
    steps = round(t1 / eta)

    def run(count: int):
        return _fixed_steps(problem, start, jnp.asarray(eta), jnp.asarray(count), heun)

    compiling = first_time(lambda: run(1))
    weights, seconds = timed(lambda: run(steps))
    return Run(_flat(weights), steps * (2 if heun else 1), seconds, compiling, t1, "completed")


def torchdiffeq_plain(
    problem: FlowProblem, t1: float, tolerances: tuple[float, ...], budget: Budget, python: Path
) -> tuple[str, dict[float, Run]]:
    """Versions and one `Run` per tolerance, from a process in the peers' environment."""
    task = {
        "layers": len(problem.weights.weights), "X": problem.data.inputs,
        "y": problem.data.targets, "t1": t1, "tolerances": np.array(tolerances),
        "evaluations": budget.evaluations, "seconds": budget.seconds,
    }  # fmt: skip
    task |= {f"W{l}": w for l, w in enumerate(problem.weights.weights, start=1)}
    task |= {f"F{l}": m for l, m in enumerate(problem.feedback.matrices, start=2)}
    with tempfile.TemporaryDirectory() as folder:
        given, got = Path(folder, "task.npz"), Path(folder, "results.npz")
        np.savez(given, **{name: np.asarray(value) for name, value in task.items()})
        script = Path(__file__).with_name("relu_torch.py")
        subprocess.run([python, script, given, got], check=True)
        results = dict(np.load(got))
    runs = {
        tol: Run(
            results[f"{tol:.0e}/flat"],
            int(results[f"{tol:.0e}/evaluations"]),
            float(results[f"{tol:.0e}/seconds"]),
            0.0,
            float(results[f"{tol:.0e}/reached"]),
            str(results[f"{tol:.0e}/outcome"]),
        )
        for tol in tolerances
    }
    return str(results["version"]), runs

"""The solvers that races.py races in this process, each as a function of a tolerance.

All get the same field of the rule, jitted, in float64, and where they take one the same Jacobian.
A run returns (final weights in one vector, or None and why; counts). Peers whose steps are taken in
Python are stopped when their time is over; the others by their number of steps.
"""

import time
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate

from faflow._results import Outcome
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.flow.multistep import flat_field
from faflow.solvers import counts_evaluations

SECONDS = 12.0  # that a run may take
STEPS = 300_000
Run = Callable[[float], tuple[np.ndarray | None, dict[str, Any]]]


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def own(problem: FlowProblem, t1: float, solver: str) -> Run:
    """faflow's `integrate` with a solver of this name."""

    def run(rtol: float):
        numerics = Numerics(solver=solver, rtol=rtol, atol=rtol / 100, max_steps=STEPS)
        end = integrate(problem, jnp.array([0.0, t1]), {}, numerics, throw=False)
        weights = flat(jax.block_until_ready(end.weights))
        counts: dict[str, Any] = {"accepted": int(end.counts.accepted)}
        counts["rejected"] = int(end.counts.rejected)
        if counts_evaluations(numerics.build_solver()):
            counts["evaluations"] = int(end.counts.evaluations)
        if end.counts.implicit is not None:
            counts["products"] = int(end.counts.implicit.products)
            counts["jacobians"] = int(end.counts.implicit.jacobians)
        outcome = Outcome(int(end.outcome))
        if outcome is Outcome.COMPLETED:
            return weights, counts
        return None, counts | {"why": str(outcome)}

    return run


def plain_diffrax(problem: FlowProblem, t1: float, solver: str) -> Run:
    """`diffrax.diffeqsolve` as its documentation shows it."""
    rule = problem.rule
    start = rule.init(problem.weights, problem.feedback, problem.data)
    # Leaves: its stage buffers take no empty nodes, as a net without biases has one.
    leaves, structure = jax.tree.flatten(start)

    def field(t, y, args):
        return jax.tree.leaves(rule.velocity(t, jax.tree.unflatten(structure, y), *args))

    @jax.jit
    def solve(y, args, rtol):
        method = (
            diffrax.Tsit5() if solver == "tsit5" else
            diffrax.Kvaerno5(root_finder=diffrax.VeryChord(rtol=rtol, atol=rtol / 100))
        )  # fmt: skip
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field), method, 0.0, t1, None, y, args,
            saveat=diffrax.SaveAt(t1=True), max_steps=STEPS, throw=False,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol / 100),
        )  # fmt: skip

    given = (problem.feedback, problem.data)

    def run(rtol: float):
        end = jax.block_until_ready(solve(leaves, given, jnp.asarray(rtol)))
        steps = int(end.stats["num_steps"])
        counts = {"accepted": int(end.stats["num_accepted_steps"])}
        counts["rejected"] = steps - counts["accepted"]
        if solver == "tsit5":
            counts["evaluations"] = 6 * steps + 3
        if not np.all(np.isfinite(flat(end.ys))):
            return None, counts | {"why": f"over {STEPS} steps"}
        return flat(end.ys), counts

    return run


class Fields:
    """The jitted field and Jacobian of a problem, as callbacks that count and keep the time."""

    def __init__(self, problem: FlowProblem):
        field, jacobian, start = flat_field(problem)
        self.start = np.asarray(start)
        self.field, self._jacobian = jax.jit(field), jax.jit(jacobian)
        self.now = jnp.zeros(())
        self.begin()

    def begin(self) -> None:
        self.evaluations = self.jacobians = 0
        self._until = time.perf_counter() + SECONDS

    def __call__(self, t, y) -> np.ndarray:
        self.evaluations += 1
        if time.perf_counter() > self._until:
            raise TimeoutError
        return np.asarray(self.field(self.now, y))

    def jacobian(self, t, y) -> np.ndarray:
        self.jacobians += 1
        return np.asarray(self._jacobian(self.now, y))

    def counts(self) -> dict[str, Any]:
        return {"evaluations": self.evaluations, "jacobians": self.jacobians or None}


def in_time(fields: Fields, solve: Callable) -> Run:
    def run(rtol: float):
        fields.begin()
        try:
            end = solve(rtol)
        except TimeoutError:
            return None, fields.counts() | {"why": f"over {SECONDS:g} s"}
        return end, fields.counts() | ({} if end is not None else {"why": "it gave up"})

    return run


def scipy_method(fields: Fields, t1: float, method: str, jacobian: bool) -> Run:
    def solve(rtol: float):
        options = {"jac": fields.jacobian} if jacobian else {}
        end = scipy.integrate.solve_ivp(
            fields, (0.0, t1), fields.start, method, rtol=rtol, atol=rtol / 100, **options
        )
        return end.y[:, -1] if end.success else None

    return in_time(fields, solve)


def cvode(fields: Fields, t1: float, method: str) -> Run:
    """SUNDIALS through scikit-sundae, GMRES at its defaults."""
    from sksundae.cvode import CVODE

    def solve(rtol: float):
        failed = []

        def call(t, y, slope):
            if failed:  # its callbacks can't raise
                return
            try:
                slope[:] = fields(t, y)
            except TimeoutError as error:
                failed.append(error)
                slope[:] = np.nan

        solver = CVODE(call, method=method, linsolver="gmres", rtol=rtol, atol=rtol / 100,
                       max_num_steps=10**7)  # fmt: skip
        end = solver.solve(np.array([0.0, t1]), fields.start)
        if failed:
            raise TimeoutError
        return end.y[-1] if end.success else None

    return in_time(fields, solve)


STAGES = {"euler": 1, "heun": 2, "rk4": 4}


def fixed_steps(fields: Fields, t1: float, method: str) -> Run:
    """A hand-written loop, jitted; the "tolerance" is the step over t1."""
    field, now = fields.field, fields.now

    def step(y, h):
        k1 = field(now, y)
        if method == "euler":
            return y + h * k1
        if method == "heun":
            return y + h / 2 * (k1 + field(now, y + h * k1))
        k2 = field(now, y + h / 2 * k1)
        k3 = field(now, y + h / 2 * k2)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + field(now, y + h * k3))

    loop = jax.jit(lambda y, h, n: jax.lax.fori_loop(0, n, lambda _, y: step(y, h), y))

    def run(share: float):
        count = round(1 / share)
        end = np.asarray(loop(fields.start, jnp.asarray(t1 / count), count))
        counts = {"evaluations": STAGES[method] * count, "accepted": count}
        if not np.all(np.isfinite(end)):
            return None, counts | {"why": "unstable"}
        return end, counts

    return run

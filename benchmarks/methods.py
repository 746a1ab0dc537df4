"""The solvers that races.py races in this process, each as a function of a tolerance.

All get the same field of the rule, jitted, in float64, and where they take one the same Jacobian.
A run returns (final weights in one vector, or None and why; counts). Peers whose steps are taken in
Python are stopped when their time is over; the others by their number of steps.
"""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
from jax.flatten_util import ravel_pytree
from measuring import Run

from faflow._results import Outcome
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.flow.loop.multistep import flat_field
from faflow.networks.draws import frobenius
from faflow.solvers import counts_evaluations

STEPS = 300_000
SAVES = 64  # of a run with `tail`, at which its tolerances follow the residual


def flat(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def own(
    problem: FlowProblem, t1: float, solver: str, *, tail: bool = False, steps: int = STEPS
) -> Run:
    """faflow's `integrate` with a solver of this name, to a share of t1."""
    saves = np.linspace(0.0, t1, SAVES + 1 if tail else 2)

    @cache
    def given(rtol: float, share: float):
        options = {"rtol": rtol, "atol": rtol / 100, "max_steps": steps, "tail": tail}
        return jnp.asarray(share * saves), Numerics(solver=solver, **options)

    def run(rtol: float, share: float = 1.0):
        ts, numerics = given(rtol, share)
        end = integrate(problem, ts, {}, numerics, throw=False)
        weights = flat(jax.block_until_ready(end.weights))
        counts: dict[str, Any] = {"accepted": int(end.counts.accepted)}
        counts["rejected"] = int(end.counts.rejected)
        if counts_evaluations(numerics.build_solver()):
            counts["evaluations"] = int(end.counts.evaluations)
        if end.counts.implicit is not None:
            counts["products"] = int(end.counts.implicit.products)
            counts["jacobians"] = int(end.counts.implicit.jacobians)
        if end.legs:
            legs = [f"{leg.solver} from {float(leg.since):.3g}" for leg in end.legs]
            counts["legs"] = "; ".join(legs)
        outcome = Outcome(int(end.outcome))
        if outcome is Outcome.COMPLETED:
            return weights, counts
        return None, counts | {"why": str(outcome)}

    return run


def plain_diffrax(problem: FlowProblem, t1: float, solver: str) -> Run:
    """`diffrax.diffeqsolve` as its documentation shows it, to a share of t1."""
    rule = problem.rule
    start = rule.init(problem.weights, problem.feedback, problem.data)
    # Leaves: its stage buffers take no empty nodes, as a net without biases has one.
    leaves, structure = jax.tree.flatten(start)

    def field(t, y, args):
        return jax.tree.leaves(rule.velocity(t, jax.tree.unflatten(structure, y), *args))

    @jax.jit
    def solve(y, args, rtol, end):
        method = (
            diffrax.Tsit5() if solver == "tsit5" else
            diffrax.Kvaerno5(root_finder=diffrax.VeryChord(rtol=rtol, atol=rtol / 100))
        )  # fmt: skip
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field), method, 0.0, end, None, y, args,
            saveat=diffrax.SaveAt(t1=True), max_steps=STEPS, throw=False,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol / 100),
        )  # fmt: skip

    given = (problem.feedback, problem.data)

    def run(rtol: float, share: float = 1.0):
        end = solve(leaves, given, jnp.asarray(rtol), jnp.asarray(share * t1))
        end = jax.block_until_ready(end)
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
    """The jitted field and Jacobian of a problem, as callbacks that count and keep the time.

    Each run has `seconds`. A call of a small field costs some 10 us: nothing is converted."""

    def __init__(self, problem: FlowProblem, seconds: float):
        field, jacobian, start = flat_field(problem)
        self.start = np.asarray(start)
        self.field, self._jacobian = jax.jit(field), jax.jit(jacobian)
        self.now, self.seconds = jnp.zeros(()), seconds
        self._share = jax.jit(partial(_residual_share, problem))
        self.begin()

    def begin(self) -> None:
        self.evaluations = self.jacobians = 0
        self._until = time.perf_counter() + self.seconds

    def __call__(self, t, y) -> np.ndarray:
        self.evaluations += 1
        if time.perf_counter() > self._until:
            raise TimeoutError
        return np.asarray(self.field(self.now, y))

    def jacobian(self, t, y) -> np.ndarray:
        self.jacobians += 1
        return np.asarray(self._jacobian(self.now, y))

    def residual(self, y) -> float:
        """||f(X) - Y|| over its value at the start."""
        return float(self._share(y))

    def counts(self) -> dict[str, Any]:
        return {"evaluations": self.evaluations, "jacobians": self.jacobians or None}


def _residual_share(problem: FlowProblem, y):
    rule, data, net = problem.rule, problem.data, problem.weights
    _, restore = ravel_pytree(rule.init(net, problem.feedback, data))
    end = rule.read(restore(y), problem.feedback, data)[0]
    now, first = (frobenius(data.residual(net(data.inputs))) for net in (end, net))
    return now / first


def in_time(fields: Fields, solve: Callable) -> Run:
    def run(rtol: float):
        fields.begin()
        try:
            end = solve(rtol)
        except TimeoutError:
            return None, fields.counts() | {"why": f"over {fields.seconds:g} s"}
        return end, fields.counts() | ({} if end is not None else {"why": "it gave up"})

    return run


def lsoda(fields: Fields, t1: float, jacobian: bool) -> Run:
    """`scipy.integrate.odeint`: LSODA that stays in Fortran between two calls of the field."""

    def solve(rtol: float):
        ys, about = scipy.integrate.odeint(
            fields, fields.start, np.array([0.0, t1]), Dfun=fields.jacobian if jacobian else None,
            rtol=rtol, atol=rtol / 100, mxstep=10**7, full_output=True, tfirst=True,
        )  # fmt: skip
        return ys[-1] if "successful" in about["message"] else None

    return in_time(fields, solve)


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

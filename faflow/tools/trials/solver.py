"""A solver: its error on a small flow, and the order at which steps make it fall."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...config.choice import Choice
from ...config.kinds.coded import Coded
from ...flow import FlowProblem, Numerics, integrate
from ...rules import Gradient
from .finding import Finding, small_data, small_feedback, small_net, tried

T1, STEPS, EXACT = 0.4, 8, 1e-11
LEAST = 0.5  # order at which an error falls
ROUNDING = 1e-11


def try_solver(choice: Choice) -> list[Finding]:
    solver: Any = choice.entry() if ":" in choice.kind else choice.kind
    problem = FlowProblem(Gradient(), small_net(), small_feedback("none"), small_data())
    ts = jnp.asarray([0.0, T1])

    def end(numerics: Numerics) -> np.ndarray:
        leaves = jax.tree.leaves(integrate(problem, ts, {}, numerics).weights)
        return np.concatenate([np.ravel(leaf) for leaf in leaves])

    def within(method: Any, rtol: float) -> np.ndarray:
        return end(Numerics(solver=method, rtol=jnp.asarray(rtol), atol=jnp.asarray(rtol / 100)))

    truth = within("dopri8", EXACT)
    traits = Coded().solver(choice.kind, choice.entry)

    def adaptive() -> Finding:
        away = np.max(np.abs(within(solver, 1e-6) - truth))
        return Finding("tolerance", f"error {away:.1e} at rtol 1e-6", bool(away < 1e-3))

    def fixed() -> Finding:
        sizes = [T1 / STEPS / 2**halved for halved in range(2)]
        errors = [np.max(np.abs(end(Numerics(solver=solver, step=h)) - truth)) for h in sizes]
        if errors[1] < ROUNDING:
            return Finding(
                "steps", f"error {errors[1]:.1e} in steps of {sizes[1]:g}: rounding", True
            )
        order = math.log2(errors[0] / errors[1])
        told = f"error {errors[0]:.1e} in steps of {sizes[0]:g}, {errors[1]:.1e} in half of them"
        return Finding("steps", f"{told}: order {order:.1f}", order > LEAST)

    found = [] if traits.fixed else [tried("tolerance", adaptive)]
    return found if traits.multistep else [*found, tried("steps", fixed)]

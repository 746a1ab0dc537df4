"""Steps that are put back onto the laws: the drift is gone by construction, and is no check."""

from typing import Any, ClassVar, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._types import Array, Flag, Integer, PyTree, Scalar
from ..rules import bare
from ..solvers import AbstractCountingSolver, Method, evaluations_per_step, keeps_last
from ..solvers.abstract import ODE, Jump, Step, Time
from .leaf import Leaf
from .problem import FlowProblem, Numerics

LEAST = 4  # units in the last place of the scale by which a law may still be off
ROUNDS = 8  # of the correction, which converges quadratically


class ProjectedState(NamedTuple):
    """`inner`: the solver's own state. `corrected`: by how much of its scale the laws were put back
    in all steps so far, which is about what the drift would have been at most."""

    inner: PyTree
    evaluations: Integer
    corrected: Scalar


class Projected(AbstractCountingSolver):
    """An explicit Runge-Kutta method whose steps end on the level of the laws of W(0) (Hairer,
    Lubich & Wanner 2006, IV.4: standard projection).

    The field is evaluated anew after every correction: a first-same-as-last method costs one
    evaluation more per step.
    """

    solver: diffrax.AbstractERK
    leaf: Leaf
    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def order(self, terms: ODE) -> int | None:
        return self.solver.order(terms)

    def init(self, terms: ODE, t0: Time, t1: Time, y0: PyTree, args: Any) -> ProjectedState:
        inner = self.solver.init(terms, t0, t1, y0, args)
        zero = jnp.zeros((), ravel_pytree(y0)[0].dtype)
        return ProjectedState(inner, jnp.zeros((), jnp.int32), zero)

    def evaluations(self, solver_state: ProjectedState) -> Integer:
        return solver_state.evaluations

    def longest_step(self, solver_state: ProjectedState) -> Scalar:
        return jnp.full_like(solver_state.corrected, jnp.inf)

    def after_rejection(self, before: ProjectedState, error: PyTree | None) -> ProjectedState:
        del error
        return before

    def func(self, terms: ODE, t0: Time, y0: PyTree, args: Any) -> PyTree:
        return self.solver.func(terms, t0, y0, args)

    def step(
        self,
        terms: ODE,
        t0: Time,
        t1: Time,
        y0: PyTree,
        args: Any,
        solver_state: ProjectedState,
        made_jump: Jump,
    ) -> Step[ProjectedState]:
        del made_jump  # every correction is one
        y1, error, _, inner, result = self.solver.step(
            terms, t0, t1, y0, args, solver_state.inner, jnp.asarray(True)
        )
        flat, unravel = ravel_pytree(y1)
        start = ravel_pytree(self.leaf.problem.weights)[0]
        laws = self.leaf.laws(start)
        missed = self.leaf.off(flat, laws)
        cost = (evaluations_per_step(self.solver) or 0) + int(keeps_last(self.solver))
        y1 = unravel(self._onto(flat, laws, missed))
        corrected = solver_state.corrected + missed
        state = ProjectedState(inner, solver_state.evaluations + cost, corrected)
        return y1, error, {"y0": y0, "y1": y1}, state, result

    def _onto(self, w: Array, laws: Array, missed: Scalar) -> Array:
        least = LEAST * jnp.finfo(w.dtype).eps

        def unfinished(now: tuple[Array, Scalar, Integer, Flag]) -> Flag:
            _, off, rounds, closer = now
            return (off > least) & closer & (rounds < ROUNDS)

        def body(now: tuple[Array, Scalar, Integer, Flag]) -> tuple[Array, Scalar, Integer, Flag]:
            w, off, rounds, _ = now
            moved = self.leaf.back(w, laws)
            less = self.leaf.off(moved, laws)
            closer = less < off
            return jnp.where(closer, moved, w), jnp.minimum(less, off), rounds + 1, closer

        begin = (w, missed, jnp.zeros((), jnp.int32), jnp.asarray(True))
        return jax.lax.while_loop(unfinished, body, begin)[0]


def projected(problem: FlowProblem, solver: Method) -> Projected:
    """`solver` with projection onto the problem's laws."""
    assert isinstance(solver, diffrax.AbstractERK)  # `check_projection` sees to it
    return Projected(solver, Leaf(problem))


def check_projection(problem: FlowProblem, numerics: Numerics) -> None:
    """Raise ValueError unless the rule's state is its weights, some law does not decay, and
    the solver is an explicit Runge-Kutta method that steps over kinks."""
    solver = numerics.build_solver()
    if numerics.kinks == "exact" or numerics.solver == "auto":
        what = "kinks = 'exact'" if numerics.kinks == "exact" else "solver = 'auto'"
        raise ValueError(f"Projection does not serve {what}; use solver = 'tsit5'.")
    if not isinstance(solver, diffrax.AbstractERK):
        raise ValueError(
            f"Projection serves explicit Runge-Kutta methods, not {type(solver).__name__}; "
            "use tsit5, or gauss6, which keeps the laws by itself."
        )
    state = jax.eval_shape(problem.rule.init, problem.weights, problem.feedback, problem.data)
    shapes = jax.eval_shape(lambda weights: weights, problem.weights)
    if jax.tree.structure(state) != jax.tree.structure(shapes):
        kind = type(bare(problem.rule)).__name__
        raise ValueError(
            f"Projection moves weights alone, but the state of {kind} is more than its weights."
        )
    if not _has_law(problem):
        kind = type(bare(problem.rule)).__name__
        raise ValueError(f"Projection needs a law, but {kind} names none for this network.")


def _has_law(problem: FlowProblem) -> bool:
    """Whether a law is known within a program, where the rule's numbers are traced."""
    found = []
    eqx.filter_eval_shape(lambda traced: found.append(Leaf(traced).law is not None), problem)
    return found[0]

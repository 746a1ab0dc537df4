"""Directions of the Jacobian that the BDF keeps where it multiplies: `solvers.deflation` along a
flow."""

from collections.abc import Callable

import equinox as eqx
import jax

from ..._types import Flag
from ...solvers import Field, deflation
from ..problem import FlowProblem
from .carry import Carry

MOST = 32  # directions,
NUMBERS = 2**23  # and numbers in all of them: 64 MB


def directions_of(problem: FlowProblem, size: int) -> int:
    """How many directions are kept of `size` numbers; 0: none.

    Two passes over U and J U are 6 k n multiplications, a product with the Jacobian some 12 n per
    sample: k up to the samples.
    """
    step = deflation.AT_ONCE
    most = min(MOST, NUMBERS // size, size // 4)
    return min(most, len(problem.data.inputs)) // step * step


class Deflating(eqx.Module):
    """Steps a flow by products with the Jacobian of `field`, and renews what is kept of it."""

    field: Field

    def stepped(
        self, now: Carry, unfinished: Callable[[Carry], Flag], step: Callable[[Carry], Carry]
    ) -> Carry:
        """Until nothing is left to do."""

        def serves(now: Carry) -> Flag:
            return unfinished(now) & ~deflation.is_worn(now.solver_state.deflation)

        def stretch(now: Carry) -> Carry:
            # A loop of its own, through which the directions pass untouched.
            now = jax.lax.while_loop(serves, step, now)
            return jax.lax.cond(
                unfinished(now), lambda now: self._renewed(now), lambda now: now, now
            )

        return jax.lax.while_loop(unfinished, stretch, now)

    def _renewed(self, now: Carry) -> Carry:
        ahead, work = now.solver_state, now.counts.implicit
        assert work is not None
        history = ahead.history
        _, push = jax.linearize(lambda y: self.field(history.t, y), history.differences[0])
        kept, products = deflation.renewed(ahead.deflation, push)
        counts = now.counts._replace(
            evaluations=now.counts.evaluations + 1,
            implicit=work._replace(products=work.products + products),
        )
        return now._replace(solver_state=ahead._replace(deflation=kept), counts=counts)

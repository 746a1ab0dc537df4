"""A flow save by save: three programs instead of one, between which it can be left and taken up.

What is passed from one to the next is everything that the flow knows, so that a flow which goes on
from what was stored of it ends in the same bits as one that nobody interrupted.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .integrate import course
from .recording import Row


def begin(*flow: Any) -> Any:
    """The carry at the first of the times. `flow`: the arguments of `solve_leg`."""
    return jax.tree.map(jnp.asarray, course(*flow).start())


def go_on(carry: Any, target: Any, *flow: Any) -> tuple[Any, Row]:
    """The carry at the next save, and what is recorded there."""
    return jax.tree.map(jnp.asarray, course(*flow).segment(carry, target))


def conclude(carry: Any, rows: Row, *flow: Any) -> Any:
    """What `solve_leg` returns, from the last carry and the rows of all saves, stacked."""
    return course(*flow).finish(carry, jax.tree.map(jnp.asarray, rows))


def carry_like(*flow: Any) -> Any:
    """Shapes and types of the carry."""
    return eqx.filter_eval_shape(begin, *flow)


def row_like(*flow: Any) -> Row:
    """Shapes and types of a row."""
    return eqx.filter_eval_shape(go_on, carry_like(*flow), flow[1][0], *flow)[1]

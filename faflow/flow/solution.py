"""What a flow leaves behind."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._results import Outcome
from .._types import Array, Integer, Scalar, Times
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import KinkSummary
from .events import EventRecord
from .loop.carry import Counts, ImplicitCounts


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["since", "steps", "rejected", "evaluations"],
    meta_fields=["solver", "reason"],
)
@dataclass(frozen=True)
class Leg:
    """A stretch of a flow that one solver covered: from `since` on, with so much work, and why.

    Every flow with `solver = "auto"` makes one; an equinox module would take 0.1 ms for it.
    Numbers, or what stands for them in a tree of derivatives.
    """

    solver: str
    since: Any
    steps: Any
    rejected: Any
    evaluations: Any
    reason: str

    def __str__(self) -> str:
        since, steps = float(self.since), int(self.steps)
        return f"{self.solver} from t = {since:.4g}, {steps} steps: {self.reason}"


class FlowSolution(NamedTuple):
    """The outcome of `integrate`; every array gains a leading axis under vmap.

    `ts` (saves,): the times of the records: the save times, then, if the flow ended early, the time
    it ended in the slot it was heading for, then nan. `reached` (saves,): which slots hold a
    record. `records`: per observable a pytree with leading axis `saves` (nan where not reached).
    `counts_at` are the running counts at every slot, `counts` those at the end. `kinks`: sign
    changes of pre-activations (kinked activations, plain solver). `events`: what happened at the
    kinks (exact integrator). `outcome`: a value of `Outcome`. `legs`: the solvers that were chosen
    on the way (`solver = "auto"`), and how `bdf` solved its equations.
    `corrected`: of what share of their scale the laws were put back in all (`project`).
    """

    ts: Times
    reached: Array
    records: dict[str, Any]
    weights: AbstractNetwork
    feedback: Feedback
    t_final: Scalar
    counts: Counts
    counts_at: Counts
    kinks: KinkSummary | None
    outcome: Integer
    events: EventRecord | None = None
    legs: tuple[Leg, ...] = ()
    corrected: Scalar | None = None

    def __str__(self) -> str:
        if np.ndim(self.outcome):
            names = [str(Outcome(int(code))) for code in np.unique(np.asarray(self.outcome))]
            return f"FlowSolution of {np.size(self.outcome)} flows: {', '.join(names)}"
        outcome = Outcome(int(self.outcome))
        lines = [
            f"FlowSolution: {outcome} at t = {float(self.t_final):g} ({outcome.message})",
            f"  steps {int(self.counts.accepted)} + {int(self.counts.rejected)} rejected, "
            f"field evaluations {int(self.counts.evaluations)}" + _implicit(self.counts.implicit),
            f"  records at {int(np.sum(np.asarray(self.reached)))} of {len(self.ts)} times: "
            + ", ".join(self.records),
            *(f"  {leg}" for leg in self.legs),
        ]
        return "\n".join(lines)


def _implicit(counts: ImplicitCounts | None) -> str:
    if counts is None:
        return ""
    return "".join(f", {name} {int(count)}" for name, count in counts._asdict().items())


class FlowError(RuntimeError):
    """A flow ended before what was asked of it; `solution` holds the trajectory so far."""

    def __init__(self, solution: FlowSolution):
        outcome = Outcome(int(solution.outcome))
        super().__init__(f"The flow ended at t = {float(solution.t_final):g}: {outcome.message}.")
        self.solution = solution


def unreached(shapes: Any) -> Any:
    """What a record holds at a save time the flow never reached: nan (0 for whole numbers)."""

    def blank(leaf: jax.ShapeDtypeStruct) -> Array:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.full(leaf.shape, jnp.nan if floating else 0, leaf.dtype)

    return jax.tree.map(blank, shapes)

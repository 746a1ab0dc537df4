"""How wrong kinks make the weights of a plain or smoothed flow: a coarser companion flow tells.

At a kink the field jumps. A Runge-Kutta step across it has an error that its error estimate does
not see, and the conservation laws do not see it either: they hold on every path through kinks. What
sees it is a second flow with coarser numerics: its weights differ from the first flow's by about
the error of the coarser of the two, as a rule more than that of the finer one. It is no bound: a
graze can send both along the same wrong branch.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .._generator import drawing, seeded
from .._results import Outcome
from .._types import Array, Times
from ..feedback import Feedback
from ..networks import AbstractNetwork, GatedReLU
from ..observables import AbstractObservable
from ..tasks import Data
from .flow import Flow
from .loop.slices import in_slices
from .problem import FlowProblem, Numerics
from .solution import FlowSolution

SKETCH = "weight-sketch"
LOOSER = 10.0  # the companion's tolerances
WIDER = 2.0  # its fixed step, or the width of its gate
# Errors at kinks are of first order in the step and the width: E(2h) - E(h) = E(h), but they add up
# like random ones, and the largest may lie at a save that is left out.
LINEAR = 3.0
APART = 1e-3  # of the gap between saves: where the companion puts those it is not compared at
_BUCKETS = 1024
_SEED = 20_231_108


class WeightSketch(AbstractObservable):
    """S w, with S fixed and random and E ||S x||^2 = ||x||^2: tells distances between weights at
    every save, where storing the weights would not fit.

    The weights with random signs, summed in 1024 random buckets (count sketch, Charikar, Chen &
    Farach-Colton 2002): ||S x|| has a relative standard deviation of 1 / sqrt(2048) = 2 %. Up to
    1024 weights S is the identity.
    """

    label: str = "sketch of the weights"
    axes: tuple[str, ...] = ("bucket",)

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Array:
        del feedback, data
        flat = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(weights)])
        if flat.size <= _BUCKETS:
            return flat
        with drawing():
            deal, toss = jax.random.split(seeded(_SEED))
            buckets = jax.random.randint(deal, flat.shape, 0, _BUCKETS)
            signs = jax.random.rademacher(toss, flat.shape, flat.dtype)
        return jax.ops.segment_sum(signs * flat, buckets, _BUCKETS)


class Companion(NamedTuple):
    """What the coarser flow takes, and `by` how much it is coarser, in words. `margin`: the
    estimate as a multiple of the distance. `same_program`: whether it differs in numbers only, so
    that the flow's compiled program serves it."""

    flow: Flow
    by: str
    margin: float
    same_program: bool


class KinkError(NamedTuple):
    """`weights`: estimate of max_t ||W(t) - W_exact(t)|| / ||W(t)|| over the saves (nan: none),
    largest at `time`. `by`: what the companion had. `status`: "ok", or why there is none.

    An estimate, not a bound. In 105 flows of five nets (FA, DFA and GD, up to 625 events; adaptive
    and fixed steps, gates) it was 1 to 18 times the true error, but for two that were 30 and 49
    times too high and three coarse ones (true errors above 5e-3) that were up to 1.8 times too low:
    at such errors a pre-activation that grazes 0 can send the two flows along different branches.
    """

    weights: float
    time: float
    by: str
    status: str


def companion(flow: Flow) -> Companion:
    """The coarser flow: 2 eps for a gate of width eps (GatedReLU), else a fixed step doubled or
    tolerances ten times as large.

    Steps end on saves. Where these are dense, they, and not the tolerance, set the steps, and a
    companion with the same saves would take the same steps and differ by nothing. So every other
    save is moved to just after the one before it, which leaves twice the room and the same program.
    """
    problem, numerics = flow.problem, flow.numerics
    phi = getattr(problem.weights, "activation", None)
    if isinstance(phi, GatedReLU):
        wider = dataclasses.replace(phi, width=WIDER * phi.width)
        weights = dataclasses.replace(problem.weights, activation=wider)
        wide = flow._replace(problem=dataclasses.replace(problem, weights=weights))
        return Companion(wide, f"width x {WIDER:g}", LINEAR, same_program=False)
    flow = flow._replace(ts=_paired(flow.ts))
    if numerics.step is not None:
        coarser = dataclasses.replace(numerics, step=WIDER * numerics.step)
        coarse = flow._replace(numerics=coarser)
        return Companion(coarse, f"step x {WIDER:g}", LINEAR, same_program=True)
    looser = {"rtol": LOOSER * numerics.rtol, "atol": LOOSER * numerics.atol}
    coarser = dataclasses.replace(numerics, **looser)
    coarse = flow._replace(numerics=coarser)
    return Companion(coarse, f"rtol x {LOOSER:g}", 1.0, same_program=True)


def compare_flows(flow: FlowSolution, other: FlowSolution, coarser: Companion) -> KinkError:
    """The estimate from a flow and its companion, both with `SKETCH` among their records."""
    by = coarser.by
    outcome = Outcome(int(other.outcome))
    if outcome.early:
        why = f"the companion ended early: {outcome} at t = {float(other.t_final):.4g}"
        return KinkError(math.nan, math.nan, by, why)
    times = np.asarray(flow.ts)
    both = np.asarray(flow.reached) & np.asarray(other.reached) & (times == np.asarray(other.ts))
    if both.sum() < 2:
        return KinkError(math.nan, math.nan, by, "no save in common with the companion")
    mine, theirs = (np.asarray(end.records[SKETCH])[both] for end in (flow, other))
    distance, size = (np.linalg.norm(array, axis=-1) for array in (mine - theirs, mine))
    relative = np.where(distance > 0, distance / np.where(size > 0, size, 1.0), 0.0)
    worst = int(np.argmax(relative))
    estimate = coarser.margin * float(relative[worst])
    return KinkError(estimate, float(times[both][worst]), by, "ok")


def estimate_kink_error(problem: FlowProblem, ts: ArrayLike, numerics: Numerics) -> KinkError:
    """Integrate a flow and its companion and compare them; `ts` and ValueError as in `integrate`.

    For problems with a kinked activation, or `GatedReLU` in its place, and the plain solver.
    """
    flow = Flow(problem, jnp.asarray(ts, float), {SKETCH: WeightSketch()}, numerics)
    coarser = companion(flow)
    solution, _ = in_slices(flow)
    other, _ = in_slices(coarser.flow)
    return compare_flows(solution, other, coarser)


def _paired(ts: Times) -> Times:
    """Every other save (the last stays) moved to APART of the gap after the one before it."""
    paired = np.array(ts)
    before = paired[0:-2:2]
    paired[1:-1:2] = before + APART * (paired[1:-1:2] - before)
    return jnp.asarray(paired)

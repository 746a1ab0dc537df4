"""How much memory a flow will need, said before it starts, and how much there is.

The counts of solvers' copies and of activations are those of XLA's own accounts of compiled flows
(`memory_analysis`) of 784-256-10 and 784-256-256-256-10, over 6,000 samples at once and in blocks;
`benchmarks/large_flows.py` compares the whole with what processes really take. Its rows have set
PREPARING and PER_PAIR (from 3 and 13), and are no test of these two.
"""

import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp

from .._compiling import shapes
from ..networks import AbstractLayeredNetwork, patches_of, units_of
from ..observables import AbstractObservable
from ..rules import AbstractWeightRule, Forecast
from ..solvers import BDF, Adams, GaussLegendre, Method
from .effort import is_dear
from .events import EventCounts
from .loop.carry import Counts, ImplicitCounts
from .loop.ways import way_of
from .problem import FlowProblem, Numerics

JACOBIANS = 5  # copies of a dense Jacobian that are alive at once
PREPARING = 4  # copies of the data while they are drawn and their rank is found
BESIDE_STAGES = 6  # copies of the state that an explicit method has beside its stages
# Copies of the state of other methods.
STABILISED, PER_GAUSS_STAGE, MULTISTEP, ADAMS = 15, 23, 140, 100
PER_DIRECTION = 6  # copies of the state for each direction of the Jacobian that a BDF keeps
PER_UNIT = 2  # numbers alive per unit and sample: an activation and its delta, patches too
PER_PAIR = 20  # bytes per pair (hidden unit, sample) whose sign changes are counted
# Of records, once the flow is over: as the program left them, as they are gathered, and as they are
# written; after a change of solver what either recorded, and both joined.
RECORDED = 3
STATES = 2**26  # the most that states at all saves may take, of which records are made afterwards
PER_OUTPUT = 2  # numbers per output and sample: the outputs and their residual


class Memory(NamedTuple):
    """Bytes, of one process: `preparing` the data, before the flow and instead of it; the `data`;
    the `state` in all the copies that the solver keeps; the `activations` of the samples taken at
    once, with what is counted per sample; the `records` of observables in all their copies; a dense
    `jacobian`; the times and `counters` of every save."""

    preparing: int
    data: int
    state: int
    activations: int
    records: int
    jacobian: int
    counters: int = 0

    @property
    def total(self) -> int:
        """The largest that is there at any time, without the program itself."""
        return max(self.preparing, sum(self) - self.preparing)


def estimate(
    problem: FlowProblem,
    saves: int,
    observables: Mapping[str, AbstractObservable],
    numerics: Numerics,
    devices: int = 1,
    processes: int = 1,
) -> Memory:
    """What this process will need for the flow over so many devices of its own."""
    data, method = problem.data, numerics.build_solver()
    number = data.targets.dtype.itemsize
    samples, into = data.inputs.shape[0], math.prod(data.inputs.shape[1:])
    outputs = math.prod(data.targets.shape[1:])
    rows = -(-samples // (devices * processes))
    size = state_size(problem)
    dear = numerics.solver == "auto" and is_dear(problem, numerics)
    copies = max(_copies(method, size), ADAMS if dear else 0)
    if isinstance(method, BDF):
        copies += PER_DIRECTION * way_of(problem, method, size).rank
    at_once = rows if data.block is None else min(rows, data.block)
    units = units_of(problem.weights, data.inputs)
    made = units + patches_of(problem.weights, data.inputs)
    per_sample = PER_UNIT * made * _together(method)
    if at_once < rows:
        per_sample += into + outputs  # a block is a copy
    layered = isinstance(problem.weights, AbstractLayeredNetwork)
    hidden = units - outputs if layered and problem.weights.activation.kinked else 0
    per_row = PER_OUTPUT * outputs * number + PER_PAIR * hidden
    whole = samples * (into + outputs) * number
    shares = rows * (into + outputs) * number * devices
    return Memory(
        preparing=PREPARING * whole,
        data=whole if devices * processes == 1 else whole + shares,
        state=size * number * copies * devices,
        activations=(at_once * per_sample * number + rows * per_row) * devices,
        records=RECORDED * saves * _record_bytes(problem, observables)
        + (_kept(saves, size, number) if observables else 0),
        jacobian=jacobian_bytes(problem, method) * devices,
        counters=RECORDED * saves * _counter_bytes(problem, numerics),
    )


def state_size(problem: FlowProblem) -> int:
    """Numbers in the rule's state."""
    state: Any = problem.weights
    if not isinstance(problem.rule, AbstractWeightRule):  # to trace it takes longer than some flows
        state = jax.eval_shape(problem.rule.init, problem.weights, problem.feedback, problem.data)
    return sum(leaf.size for leaf in jax.tree.leaves(state))


def jacobian_bytes(problem: FlowProblem, method: Method) -> int:
    """Of a dense Jacobian and its factors; 0 for methods that may do without."""
    size = state_size(problem)
    implicit = isinstance(method, diffrax.AbstractImplicitSolver)
    dense = method.may_be_dense(size) if isinstance(method, BDF) else implicit
    return JACOBIANS * size**2 * jnp.result_type(float).itemsize if dense else 0


def room() -> int:
    """Bytes of memory of this machine, or of one of its accelerators where the flow runs there."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if jax.default_backend() != "cpu" and limit:
        return int(limit)
    return machine()


def machine() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _copies(method: Method, size: int) -> int:
    if isinstance(method, BDF):
        return MULTISTEP
    if isinstance(method, Adams):
        return ADAMS
    if isinstance(method, GaussLegendre):
        return PER_GAUSS_STAGE * method.stages
    tableau = getattr(method, "tableau", None)
    if isinstance(method, diffrax.AbstractRungeKutta) and tableau is not None:
        return tableau.num_stages + BESIDE_STAGES
    return STABILISED


def _together(method: Method) -> int:
    """Fields that are evaluated together."""
    return method.stages if isinstance(method, GaussLegendre) else 1


def _kept(saves: int, size: int, number: int) -> int:
    """Of the states at all saves, if these are kept until the flow is over."""
    states = saves * size * number
    return states if states <= STATES else 0


def _record_bytes(problem: FlowProblem, observables: Mapping[str, AbstractObservable]) -> int:
    """Of one save: observables, and what a rule forecasts of its laws."""
    given = (problem.weights, problem.feedback, problem.data)
    found = _bytes(shapes(_seen, dict(observables), *given))
    if isinstance(rule := problem.rule, Forecast) and observables:
        found += _bytes(jax.eval_shape(lambda *p: rule.predicted(rule.init(*p)), *given))
    return found


def _seen(observables: Mapping[str, AbstractObservable], *point: Any) -> list[Any]:
    return [see(*point) for see in observables.values()]


def _counter_bytes(problem: FlowProblem, numerics: Numerics) -> int:
    """Of one save: its time, whether it was reached, and the work up to it; of an exact flow the
    events, and the pairs that slide with their gates."""
    number, count = problem.data.targets.dtype.itemsize, jnp.result_type(int).itemsize
    found = number + 1 + (len(Counts._fields) - 1 + len(ImplicitCounts._fields)) * count
    if numerics.kinks == "exact":
        found += (len(EventCounts._fields) + len(problem.weights.weights)) * count
        found += numerics.exact.slots * (count + number)
    return found


def _bytes(shapes: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def saves_that_fit(memory: Memory, saves: int, there: int) -> int:
    """How many saves of a flow that needs `memory` with so many of them would fit; 0: none."""
    each = (memory.records + memory.counters) / saves
    fixed = memory.total - memory.records - memory.counters
    return max(0, int((there - fixed) / each)) if each else saves

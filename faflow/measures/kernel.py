"""The effective tangent kernel of a rule that has one."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._compiling import LOOP, compiled
from .._generator import drawing, seeded
from .._types import Outputs
from ..analysis.law_keeping import largest, perturbed
from ..flow import FlowProblem
from ..rules import (
    AbstractLayerwiseRule,
    TangentKernel,
    as_matrix,
    bare,
    effective_kernel,
    weight_velocity,
    with_error,
)
from .measure import Entry, Flown, Measure, Observed, Section, line
from .tables import number

LARGEST = 600  # samples * outputs; beyond, K and its spectrum cost more than the flow


def kernel_observable(problem: FlowProblem) -> TangentKernel | None:
    """The observable, or None for a rule without a kernel. ValueError if K would be too large."""
    count = problem.data.targets.size
    if count > LARGEST:
        raise ValueError(
            f"needs samples * outputs <= {LARGEST} for a kernel of that size squared, but has "
            f"{count}; lower task.samples"
        )
    if not has_kernel(problem):
        return None
    parts = _parts(problem)
    return TangentKernel(parts[0], as_matrix(eqx.filter_jit(effective_kernel)(*parts)))


def has_kernel(problem: FlowProblem) -> bool:
    """Whether the rule's field at given weights and feedback is affine in the error, and is known
    from them. Layerwise rules promise it; the others are tried: targets heard otherwise than
    through the error (DRTP), signs and squares of it (Hebb), a memory of the first weights
    (align-ada) or of the past (momentum) and rates that change with time show."""
    if isinstance(problem.rule, AbstractLayerwiseRule):
        return True
    gaps, size = _gaps(problem)
    return bool(gaps <= jnp.finfo(gaps.dtype).eps ** 0.5 * size)


def _parts(problem: FlowProblem):
    return bare(problem.rule), problem.weights, problem.feedback, problem.data


@compiled(LOOP)
def _gaps(problem: FlowProblem):
    """The largest difference of fields that ought to be equal, and the fields' size."""
    rule, weights, feedback, data = _parts(problem)
    state = rule.init(weights, feedback, data)
    error = data.error(data.outputs(weights))
    with drawing():
        one, two = (jax.random.normal(seeded(seed), error.shape) for seed in (1, 2))

    def field(heard: Outputs):
        return weight_velocity(rule, weights, feedback, with_error(data, heard), state)[0]

    fields = jax.vmap(field)(jnp.stack([error, one + two, one, two, jnp.zeros_like(error)]))
    true = weight_velocity(rule, weights, feedback, data, state)[0]
    moved = perturbed(state)
    point = rule.read(moved, feedback, data)
    later = jnp.ones(())  # a field that depends on time is not known from the weights either
    remembered = weight_velocity(rule, weights, feedback, data, moved, later)[0]
    forgotten = weight_velocity(rule, *point, data)[0]
    gaps = [
        jax.tree.map(lambda own, told: own - told[0], true, fields),
        jax.tree.map(lambda f: f[1] - f[2] - f[3] + f[4], fields),
        jax.tree.map(jnp.subtract, remembered, forgotten),
    ]
    return largest(gaps), largest([true, fields, remembered])


def _section(flown: Flown, summary: Mapping[str, Any]) -> Section | None:
    """The kernel's numbers at the first save and at the last that was reached."""
    del summary
    record, reached = flown.solution.records.get("kernel"), flown.reached
    if record is None:
        return None
    values = {name: np.asarray(series)[reached] for name, series in record.items()}
    ends = {"initial": 0, "final": -1}
    return {end: {name: float(v[i]) for name, v in values.items()} for end, i in ends.items()}


def _line(kernel: Mapping[str, Any]) -> str:
    start, end = kernel["initial"], kernel["final"]
    cosine, share, rate = (
        f"{number(start[key])} -> {number(end[key])}" for key in ("cosine", "share", "smallest")
    )
    return (
        f"moved by {number(end['change'])} of its norm; cosine with backprop's {cosine}, "
        f"share of it {share}; smallest rate {rate}"
    )


def _observable(name: str, problem: FlowProblem) -> Observed:
    kernel = kernel_observable(problem)
    return {} if kernel is None else {name: kernel}


KERNEL = Measure(
    "kernel",
    _section,
    line("kernel", _line),
    observables={
        "kernel": Entry("the rule's tangent kernel: size, spectrum, symmetry, change", _observable)
    },
)

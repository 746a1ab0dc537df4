"""Which rules have an effective tangent kernel."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._compiling import LOOP, compiled
from .._generator import drawing, seeded
from .._types import Outputs
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
from .law_keeping import largest, perturbed

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

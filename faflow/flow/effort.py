"""What an evaluation of a field and a step cost, by sizes alone: no clock is asked, so that the
same flow takes the same steps everywhere. The unit is a tiny field, of some 3 us.

With e the field and n the weights, a step of tsit5 costs 6 e + 5 + n / 150 and one of Adams'
methods 2 e + 10 + n / 50: the seven stages of the one, read once a stage, and the sixteen rows of
the other, which are multiplied by a matrix and written anew, some 20 and 60 ns a weight.
"""

import jax

from ..networks import units_of
from .problem import FlowProblem, Numerics

LARGEST = 2_000_000  # weights of which the first keeps a hundred copies
# Of a step of tsit5 and of Adams' methods: evaluations, what else it costs, and one more per so
RUNGE_KUTTA, MULTISTEP = (6, 5, 150), (2, 10, 50)  # many weights.
# Steps of Adams' methods for one of tsit5: where stability holds both, or at rtol 1e-6; below, as
MORE, RISE = 1.5, 20  # many times rtol^(1 / RISE), by their higher orders.
WORTH = 1.1  # how many times dearer tsit5 has to be
UNITS = 400  # units times samples, and
VECTORS = 50_000  # units times samples from which on operations on them are worth vectors
WEIGHTS = 40_000  # weights times samples, that cost as much as everything else in a tiny field


def is_dear(problem: FlowProblem, numerics: Numerics) -> bool:
    """Whether a field evaluation costs so much that Adams' methods, two of them a step, are worth
    their algebra and their shorter steps."""
    if numerics.project or numerics.adjoint is not None:
        return False  # these are for steps of Runge-Kutta methods
    if size_of(problem) > LARGEST:
        return False  # their past would be no small part of a machine's memory
    more = MORE * min(1.0, float(numerics.rtol) / 1e-6) ** (1 / RISE)
    return runge_kutta_share(problem) > WORTH * more


def runge_kutta_share(problem: FlowProblem) -> float:
    """What a step of tsit5 costs, in steps of Adams' methods: three where the field is dear."""
    effort, size = field_effort(problem), size_of(problem)
    tsit5, adams = (
        evaluations * effort + least + size / weights
        for evaluations, least, weights in (RUNGE_KUTTA, MULTISTEP)
    )
    return tsit5 / adams


def field_effort(problem: FlowProblem) -> float:
    """What a field evaluation costs, in evaluations of a tiny one: by its size alone."""
    samples = problem.data.inputs.shape[0]
    return 1 + signals_of(problem) / UNITS + size_of(problem) * samples / WEIGHTS


def is_elementwise(problem: FlowProblem) -> bool:
    """Whether operations on the signals of all samples take so long that a program in which they
    are vectorised, a second longer in compiling, saves that in two thousand evaluations."""
    return signals_of(problem) > VECTORS


def signals_of(problem: FlowProblem) -> int:
    """Numbers in the layers of all samples."""
    inputs = problem.data.inputs
    return units_of(problem.weights, inputs) * inputs.shape[0]


def size_of(problem: FlowProblem) -> int:
    """Numbers in the weights."""
    return sum(leaf.size for leaf in jax.tree.leaves(problem.weights))

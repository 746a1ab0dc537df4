"""Equations that are solved on a grid of times, as a flow like any other.

Where the limit is known as kernels K(t_i) on a grid, f obeys df/dt = K(t) Delta(f) with the cubic
spline through them, at samples and at test points: a flow of as many numbers, and of time itself.
That f is the table's own at the grid's times is a check of the spline and of the grid.
"""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._types import Array, Outputs, Samples, Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork
from ..observables import AbstractObservable
from ..rules import AbstractWholeRule
from ..rules.abstract import Laws, WeightsAndFeedback
from ..tasks import Data
from .kernels import WideKernels, target_alignment


class Table(NamedTuple):
    """What the equations gave at `ts` (T,), for M points, of which the first P are the samples:
    `outputs` (T, M) and `other_outputs`, f by another route; `features` Phi^0..Phi^L (T, L+1, M,
    M); `alignments` Gt^1..Gt^{L+1} (T, L+1), means over samples; `tangent` K (T, M, M);
    `output_error` (T, M): standard error, 0 where nothing was drawn."""

    ts: np.ndarray
    outputs: np.ndarray
    other_outputs: np.ndarray
    features: np.ndarray
    alignments: np.ndarray
    tangent: np.ndarray
    output_error: np.ndarray


class Spline(eqx.Module):
    """A cubic spline through `values` (T, ...) at equal or other steps of `knots` (T,)."""

    knots: Array
    coefficients: Array  # (4, T-1, ...), highest power first

    def __call__(self, t: Scalar) -> Array:
        place = jnp.searchsorted(self.knots, t, side="right") - 1
        place = jnp.clip(place, 0, self.coefficients.shape[1] - 1)
        c, x = self.coefficients[:, place], t - self.knots[place]
        return ((c[0] * x + c[1]) * x + c[2]) * x + c[3]


def spline(knots: np.ndarray, values: np.ndarray) -> Spline:
    """Through all values, of continuous second derivative ("not a knot" at the ends)."""
    from scipy.interpolate import CubicSpline

    found = CubicSpline(np.asarray(knots), np.asarray(values))
    return Spline(jnp.asarray(knots, float), jnp.asarray(found.c, float))


class Tabulated(AbstractNetwork):
    """f (M,) at the points that the table was made for, the samples first, and the `time`."""

    outputs: Array
    time: Array

    @property
    def moving(self) -> dict[str, Array]:
        """What the flow moves, by name."""
        return {"outputs": self.outputs}

    def __call__(self, inputs: Samples) -> Outputs:
        return self.outputs[: inputs.shape[0], None]


class TabulatedKernel(AbstractWholeRule):
    """df/dt = K(t) Delta(f), Delta = -dLoss/df at the samples; `push`: K's columns of samples."""

    push: Spline
    equation: ClassVar[str] = "df/dt = -K(t) e, K of a table, N -> inf"
    source: ClassVar[str] = "Bordelon & Pehlevan 2022"
    form: ClassVar[Form] = "none"
    network: ClassVar[type] = Tabulated

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> AbstractNetwork:
        return weights

    def velocity(
        self, t: Scalar, state: AbstractNetwork, feedback: Feedback, data: Data
    ) -> AbstractNetwork:
        error = data.error(state(data.inputs))[:, 0]
        return Tabulated(-self.push(state.time) @ error, jnp.ones_like(state.time))

    def read(self, state: AbstractNetwork, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return state, feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}


def tabulated(table: Table, samples: int) -> tuple[TabulatedKernel, Tabulated]:
    """The flow that a table makes; P = `samples`."""
    rule = TabulatedKernel(spline(table.ts, table.tangent[:, :, :samples]))
    return rule, Tabulated(jnp.asarray(table.outputs[0], float), jnp.zeros(()))


class TabulatedKernelsObserved(AbstractObservable):
    """The table's kernels at the samples, at the time of the state; `table` with its outputs."""

    table: Table
    features: Spline
    alignments: Spline
    tangent: Spline
    first: Array
    label: ClassVar[str] = "kernels at infinite width"
    axes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> WideKernels:
        assert isinstance(weights, Tabulated)
        features, tangent = self.features(weights.time), self.tangent(weights.time)
        moved = jnp.linalg.norm(features - self.first, axis=(1, 2))
        change = moved / jnp.linalg.norm(self.first, axis=(1, 2))
        towards = target_alignment(tangent, data.targets[:, 0])
        return WideKernels(features, self.alignments(weights.time), tangent, towards, change[1:])


def table_observed(table: Table, samples: int) -> TabulatedKernelsObserved:
    """The record of a table's kernels."""
    features = table.features[:, :, :samples, :samples]
    outputs = Table(*(np.asarray(part) if part.ndim < 3 else part[:0] for part in table))
    return TabulatedKernelsObserved(
        outputs,
        spline(table.ts, features),
        spline(table.ts, table.alignments),
        spline(table.ts, table.tangent[:, :samples, :samples]),
        jnp.asarray(features[0], float),
    )


class TabulatedTests(AbstractObservable):
    """f at the points beyond the samples."""

    label: ClassVar[str] = "outputs at test points"
    axes: ClassVar[tuple[str, ...]] = ("test",)

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Array:
        assert isinstance(weights, Tabulated)
        return weights.outputs[data.inputs.shape[0] :]

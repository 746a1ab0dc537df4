"""Deep linear nets of infinite width under feedback alignment: a flow of D numbers at any depth.

In the scaling of `analysis/lazy.py`, for rho-aligned feedback F = rho W(0) + sqrt(1 - rho^2) V, any
data and loss, let v = X^T eta / D with eta_mu(t) = int_0^t Delta_mu ds, Delta = -dLoss/df. Then

    f(x) = kappa_{L+1}(q) v . x,    q = D |v|^2 / 2,    dv/dt = X^T Delta / D,    v(0) = 0

with the polynomials kappa_l of `polynomials.py`. Kernels at time t, with k = K^x eta = X v:

    H^l = K^x + g sum_{j<=l} kappa_j^2 k k^T,    K = sum_{l=0}^L Gt^{l+1} H^l

Direct feedback is the case rho = 0, as at one output all pseudo-signals are then independent of the
weights. Bordelon & Pehlevan 2022 print L = 1 on whitened data; depth, data and loss are faflow's.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from .._types import Array, Inputs, Outputs, Scalar
from ..feedback import Feedback, Form
from ..networks import AbstractNetwork
from ..rules import AbstractWholeRule
from ..rules.abstract import Laws, WeightsAndFeedback
from ..tasks import Data
from .polynomials import alignments, integral, kappas


class DeepLinear(eqx.Module):
    """The constants of the limit: `coefficients[l-1]` of kappa_l, the constant first, `pulls[l-1]`
    of m_l = int kappa_l; `rho`, alignment of the feedback with W(0); `richness` = gamma_0."""

    coefficients: tuple[Array, ...]
    pulls: tuple[Array, ...]
    rho: Scalar
    richness: Scalar

    def start(self, features: int) -> "WideLinear":
        """The network at t = 0, for D = `features` inputs."""
        return WideLinear(jnp.zeros(features), self)

    def kappas(self, q: Scalar) -> tuple[Scalar, ...]:
        """kappa_1(q), ..., kappa_{L+1}(q)."""
        return tuple(_at(c, q) for c in self.coefficients)

    def alignments(self, q: Scalar) -> Array:
        """Gt^1, ..., Gt^{L+1} at q."""
        pulls = [_at(c, q) for c in self.pulls]
        return jnp.stack(alignments(self.kappas(q), pulls, self.rho, self.richness**2))

    def growths(self, q: Scalar) -> Array:
        """(L+1,): H^l = K^x + growths[l] k k^T, l = 0..L; g sum_{j<=l} kappa_j^2."""
        squares = jnp.stack([0 * q, *(kappa**2 for kappa in self.kappas(q)[:-1])])
        return self.richness**2 * jnp.cumsum(squares)


def deep_linear(hidden: int, rho: ArrayLike, richness: ArrayLike) -> DeepLinear:
    """The limit of L = `hidden` >= 0 layers. `rho` and `richness` may be traced: sweep them by
    vmap. ValueError for rho outside [-1, 1] or richness <= 0 where they are known."""
    _check("rho", rho, "lie in [-1, 1]", lambda x: -1 <= x <= 1)
    _check("richness", richness, "be > 0", lambda x: x > 0)
    traced = any(isinstance(number, Tracer) or np.ndim(number) for number in (rho, richness))
    known = (jnp.asarray(rho, float), jnp.asarray(richness, float))
    # In numpy where that is possible: there are 4^L products.
    a, g = known if traced else (np.asarray(rho, float)[()], np.asarray(richness, float)[()])
    found = kappas(hidden, a, g**2)
    pulls = (integral(kappa) for kappa in found[:-1])
    return DeepLinear(
        tuple(_stacked(one) for one in found), tuple(_stacked(one) for one in pulls), *known
    )


def need_one_output(data: Data) -> None:
    """ValueError if there are several."""
    if data.targets.shape[1] != 1:
        raise ValueError(
            "Argument `targets` must have one output at infinite width, but has "
            f"{data.targets.shape[1]}; give one column."
        )


class WideLinear(AbstractNetwork):
    """f(x) = kappa_{L+1}(q) v . x at infinite width; v = `direction` (D,) is what moves."""

    direction: Array
    limit: DeepLinear

    @property
    def moving(self) -> dict[str, Array]:
        """What the flow moves, by name."""
        return {"direction": self.direction}

    @property
    def q(self) -> Scalar:
        """q = D |v|^2 / 2."""
        return 0.5 * self.direction.shape[0] * self.direction @ self.direction

    def __call__(self, inputs: Inputs) -> Outputs:
        kappa = self.limit.kappas(self.q)[-1]
        return kappa * (inputs @ self.direction)[:, None]


class WideFeedbackAlignment(AbstractWholeRule):
    """dv/dt = X^T Delta / D of a `WideLinear`; rho = 0 is direct feedback alignment too."""

    limit: DeepLinear
    equation: ClassVar[str] = "dv/dt = -X^T e / D, f = kappa(D |v|^2 / 2) v . x, N -> inf"
    source: ClassVar[str] = "Bordelon & Pehlevan 2022 for L = 1; faflow at any depth"
    form: ClassVar[Form] = "none"
    network: ClassVar[type] = WideLinear

    def init(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Array:
        need_one_output(data)
        return weights.direction

    def velocity(self, t: Scalar, state: Array, feedback: Feedback, data: Data) -> Array:
        error = data.error(WideLinear(state, self.limit)(data.inputs))[:, 0]
        return -(error @ data.inputs) / data.inputs.shape[1]

    def read(self, state: Array, feedback: Feedback, data: Data) -> WeightsAndFeedback:
        return WideLinear(state, self.limit), feedback

    def laws(self, weights: AbstractNetwork) -> Laws:
        return {}


def _stacked(coefficients: list[Any]) -> Array:
    if any(isinstance(one, jax.Array) for one in coefficients):
        return jnp.stack([jnp.asarray(one, float) for one in coefficients])
    return jnp.asarray(np.asarray(coefficients), float)


def _at(coefficients: Array, q: Scalar) -> Scalar:
    """Horner's rule."""
    value = coefficients[-1]
    for n in range(len(coefficients) - 2, -1, -1):
        value = value * q + coefficients[n]
    return value


def _check(name: str, value: ArrayLike, must: str, holds: Callable[[float], bool]) -> None:
    if not isinstance(value, Tracer) and not np.all([holds(x) for x in np.ravel(value)]):
        raise ValueError(f"Argument `{name}` must {must}, but is {value}.")

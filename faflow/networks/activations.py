"""Activations phi, each with its Euler degree and whether its derivative jumps.

The laws of feedback alignment need one identity (theory: `phi'(h) h = k phi(h)`, Euler's relation
for a positively homogeneous phi of degree k). `degree` is that k, or None where no k fits.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar

from .._types import Array
from .softplus import sigmoid, softplus


class AbstractActivation(eqx.Module):
    """An elementwise activation phi.

    `degree`: k with derivative(h) * h = k * phi(h) for all h, or None (not homogeneous, no law).
    `kinked`: the derivative jumps somewhere, so the flow's field is discontinuous and can slide.
    `exact`: `derivative` is the derivative of phi (False for surrogate gates).
    """

    degree: AbstractVar[float | None]
    kinked: AbstractVar[bool]
    exact: AbstractVar[bool]

    @abc.abstractmethod
    def __call__(self, h: Array) -> Array:
        """phi(h), elementwise."""

    @abc.abstractmethod
    def derivative(self, h: Array) -> Array:
        """What the backward pass multiplies by: phi'(h), with phi'(0) = 0 at a kink of ReLU."""


class Linear(AbstractActivation):
    """phi(h) = h; degree 1."""

    degree: float | None = 1.0
    kinked: bool = False
    exact: bool = True

    def __call__(self, h: Array) -> Array:
        return h

    def derivative(self, h: Array) -> Array:
        return jnp.ones_like(h)


class LeakyReLU(AbstractActivation):
    """phi(h) = h for h > 0, slope * h otherwise; degree 1, kinked. slope = 0 is ReLU."""

    slope: float = 0.1
    degree: float | None = 1.0
    kinked: bool = True
    exact: bool = True

    def __check_init__(self):
        if not self.slope >= 0.0:
            raise ValueError(f"Argument `slope` must be >= 0, but is {self.slope}.")

    def __call__(self, h: Array) -> Array:
        return jnp.where(h > 0, h, self.slope * h)

    def derivative(self, h: Array) -> Array:
        return jnp.where(h > 0, jnp.ones_like(h), jnp.full_like(h, self.slope))


class RectifiedPower(AbstractActivation):
    """phi(h) = max(h, 0)^k; degree k, kinked only for k = 1 (ReLU); C^1 for k > 1."""

    power: float = 2.0
    exact: bool = True

    def __check_init__(self):
        if not self.power >= 1.0:
            raise ValueError(f"Argument `power` must be >= 1, but is {self.power}.")

    @property
    def degree(self) -> float | None:
        return self.power

    @property
    def kinked(self) -> bool:
        return self.power == 1.0

    def __call__(self, h: Array) -> Array:
        return _power(jnp.maximum(h, 0), self.power)

    def derivative(self, h: Array) -> Array:
        if self.power == 1.0:
            return jnp.where(h > 0, jnp.ones_like(h), jnp.zeros_like(h))
        return self.power * _power(jnp.maximum(h, 0), self.power - 1.0)


class Quadratic(AbstractActivation):
    """phi(h) = h^2; degree 2. Flows blow up in finite time for ordinary scales."""

    degree: float | None = 2.0
    kinked: bool = False
    exact: bool = True

    def __call__(self, h: Array) -> Array:
        return h * h

    def derivative(self, h: Array) -> Array:
        return 2 * h


class Tanh(AbstractActivation):
    """phi(h) = tanh(h); not homogeneous: no law."""

    degree: float | None = None
    kinked: bool = False
    exact: bool = True

    def __call__(self, h: Array) -> Array:
        return jnp.tanh(h)

    def derivative(self, h: Array) -> Array:
        return 1 - jnp.tanh(h) ** 2


class Erf(AbstractActivation):
    """phi(h) = erf(h / sqrt 2) (the convention of Saad & Solla, Refinetti et al.); no law."""

    degree: float | None = None
    kinked: bool = False
    exact: bool = True

    def __call__(self, h: Array) -> Array:
        return jax.scipy.special.erf(h / jnp.sqrt(jnp.asarray(2, h.dtype)))

    def derivative(self, h: Array) -> Array:
        return jnp.sqrt(jnp.asarray(2 / jnp.pi, h.dtype)) * jnp.exp(-h * h / 2)


class Softplus(AbstractActivation):
    """phi(h) = log(1 + e^h); not homogeneous: no law."""

    degree: float | None = None
    kinked: bool = False
    exact: bool = True

    def __call__(self, h: Array) -> Array:
        return softplus(h)

    def derivative(self, h: Array) -> Array:
        return sigmoid(h)


class GELU(AbstractActivation):
    """phi(h) = h Phi(h), Phi the standard normal distribution function (exact form); no law."""

    degree: float | None = None
    kinked: bool = False
    exact: bool = True

    def __call__(self, h: Array) -> Array:
        return h * jax.scipy.stats.norm.cdf(h)

    def derivative(self, h: Array) -> Array:
        return jax.scipy.stats.norm.cdf(h) + h * jax.scipy.stats.norm.pdf(h)


class GatedReLU(AbstractActivation):
    """phi(h) = s(h) h forward and s(h) backward, s(h) = 1 / (1 + e^{-h / width}).

    The backward pass uses the gate, not phi', so that derivative(h) * h = phi(h) holds exactly:
    the laws of ReLU survive and the field is smooth. A surrogate: not the gradient of its loss.
    """

    width: float = 1e-2
    degree: float | None = 1.0
    kinked: bool = False
    exact: bool = False

    def __check_init__(self):
        if not self.width > 0.0:
            raise ValueError(f"Argument `width` must be > 0, but is {self.width}.")

    def __call__(self, h: Array) -> Array:
        return h * self.derivative(h)

    def derivative(self, h: Array) -> Array:
        return jax.nn.sigmoid(h / self.width)


def _power(base: Array, exponent: float) -> Array:
    # Integer powers by multiplication: exact at 0, and its jvp has no log.
    if float(exponent).is_integer():
        return base ** int(exponent)
    return base**exponent


def relu() -> RectifiedPower:
    """phi(h) = max(h, 0); degree 1, kinked."""
    return RectifiedPower(1.0)


def relu_squared() -> RectifiedPower:
    """phi(h) = max(h, 0)^2; degree 2, C^1: the tight check beside ReLU."""
    return RectifiedPower(2.0)


ACTIVATIONS = {
    "linear": Linear,
    "relu": relu,
    "leaky-relu": LeakyReLU,
    "relu-squared": relu_squared,
    "relu-power": RectifiedPower,
    "quadratic": Quadratic,
    "tanh": Tanh,
    "erf": Erf,
    "softplus": Softplus,
    "gelu": GELU,
    "gated-relu": GatedReLU,
}

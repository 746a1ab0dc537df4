"""Conservation laws as objects: quantities that a learning rule's flow never changes.

Layer l = 1..L-1 (hidden), phi of Euler degree k, potential psi (see `potentials.py`):
    layer balance    Q_l    = 1/2 ||W_l||_F^2 + 1/2 ||beta_l||^2 - k psi(W_{l+1})
    neuron balance   Q_{lj} = 1/2 ||W_l[j,:]||^2 + 1/2 beta_{lj}^2 - k psi(W_{l+1}[:,j])
    matrix balance   C_l    = W_l W_l^T + beta_l beta_l^T - M(W_{l+1})          (linear nets)
The matrix exists for quadratic psi only. Under learning rates eta_l of constant ratios, own terms
are divided by eta_l and those of layer l + 1 by eta_{l+1}.
Robertson & Koyejo 2023, Theorem 1 is the layer balance with psi = <W, F>, no biases, k = 1.
"""

import abc
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._types import Array, Record, Scalar
from ..feedback import Feedback
from ..networks import AbstractLayeredNetwork, AbstractNetwork, is_linear
from ..tasks import Data
from .abstract import AbstractObservable
from .potentials import AbstractPotential, AbstractQuadraticPotential

LawForm = Literal["layer-balance", "neuron-balance", "matrix-balance"]
Decay = Scalar | Float[Array, " layers"] | float


class AbstractConservationLaw(AbstractObservable):
    """A quantity Q(weights, feedback, data) with Q' = -decay * Q along a rule's flow.

    `layers`: the hidden layers it speaks of, one pytree leaf (or entry) each. `decay` = 0 is
    conservation; Kolen-Pollack with weight decay has 2 lambda; one number, or one per layer.
    `quadratic`: Q is a quadratic polynomial of the weights, so that Gauss-Legendre methods keep it
    to rounding.
    """

    layers: eqx.AbstractVar[tuple[int, ...]]
    decay: eqx.AbstractVar[Decay]
    quadratic: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def terms(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> tuple[Array, ...]:
        """One array per layer of `layers`, whose sum (as `collect` forms it) is Q."""

    @abc.abstractmethod
    def collect(self, terms: tuple[Array, ...]) -> Record:
        """The linear map from terms to Q."""

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Record:
        return self.collect(self.terms(weights, feedback, data))

    def scale(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Record:
        """Q with every term positive (|W| for W): what a drift is to be compared with."""
        terms = self.terms(jax.tree.map(jnp.abs, weights), feedback, data)
        return self.collect(tuple(map(jnp.abs, terms)))

    def decays(self) -> tuple[Scalar, ...]:
        """`decay` of every layer of `layers`."""
        return tuple(jnp.broadcast_to(jnp.asarray(self.decay, float), (len(self.layers),)))

    def decaying(self, values: tuple[Array, ...]) -> tuple[Array, ...]:
        """-decay Q, term by term: what Q' is, from the terms of Q."""
        return tuple(-rate * value for rate, value in zip(self.decays(), values, strict=True))


class ScaleOf(AbstractObservable):
    """The scale of a law, recorded beside it: a drift is always printed beside its scale."""

    law: AbstractConservationLaw

    @property
    def label(self) -> str:
        return f"scale of {self.law.label}"

    @property
    def axes(self) -> tuple[str, ...]:
        return self.law.axes

    def __call__(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> Record:
        return self.law.scale(weights, feedback, data)


class AbstractBalance(AbstractConservationLaw):
    """What is a sum over the rows that enter a unit and those that leave it, in one of three
    forms: for every unit, summed over the units, or as a matrix between units."""

    potential: eqx.AbstractVar[AbstractPotential]
    form: eqx.AbstractVar[LawForm]

    @property
    def quadratic(self) -> bool:
        return isinstance(self.potential, AbstractQuadraticPotential)

    @property
    def label(self) -> str:
        return self.form.replace("-", " ")

    def collect(self, terms: tuple[Array, ...]) -> Record:
        if self.form == "layer-balance":
            return jnp.stack([jnp.sum(term) for term in terms])
        return tuple(jnp.sum(term, axis=-1) for term in terms)


class Balance(AbstractBalance):
    """The layer, neuron or matrix balance of the given potential (module docstring).

    `rates`: eta_1..eta_L where layers learn at rates of their own.
    """

    potential: AbstractPotential
    form: LawForm = eqx.field(static=True)
    layers: tuple[int, ...] = eqx.field(static=True)
    degree: float = eqx.field(static=True, default=1.0)
    decay: Decay = 0.0
    rates: Float[Array, " layers"] | None = None

    def __check_init__(self):
        if self.form == "matrix-balance" and not self.quadratic:
            raise ValueError(
                "Argument `form` must be 'layer-balance' or 'neuron-balance' for the potential "
                f"{type(self.potential).__name__}, but is 'matrix-balance', which needs an "
                "AbstractQuadraticPotential."
            )

    @property
    def axes(self) -> tuple[str, ...]:
        axes = {"layer-balance": ("hidden_layer",), "neuron-balance": ("neuron",)}
        return axes.get(self.form, ("neuron", "other_neuron"))

    def terms(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> tuple[Array, ...]:
        del data
        form = self._squares if self.form == "matrix-balance" else self._entries
        return tuple(form(weights, feedback, layer) for layer in self.layers)

    def _entries(self, weights: AbstractNetwork, feedback: Feedback, layer: int) -> Array:
        # Row j holds all that neuron j contributes: (n_l, n_{l-1} + 1 + n_{l+1}).
        below, above = self._shares(layer)
        upper = self.degree * above * self.potential.entries(weights, feedback, layer + 1)
        own = 0.5 * below * weights.weights[layer - 1] ** 2
        bias = 0.5 * below * _bias(weights, layer)[:, None] ** 2
        return jnp.concatenate([own, bias, -upper.T], axis=1)

    def _squares(self, weights: AbstractNetwork, feedback: Feedback, layer: int) -> Array:
        assert isinstance(self.potential, AbstractQuadraticPotential)  # `__check_init__` sees to it
        weight, bias = weights.weights[layer - 1], _bias(weights, layer)
        below, above = self._shares(layer)
        upper = above * self.potential.matrix(weights, feedback, layer + 1)
        own = (below * (weight @ weight.T), below * jnp.outer(bias, bias))
        return jnp.stack([*own, -upper], axis=-1)

    def _shares(self, layer: int) -> tuple[Scalar | float, Scalar | float]:
        """1 / eta_l and 1 / eta_{l+1}."""
        if self.rates is None:
            return 1.0, 1.0
        return 1 / self.rates[layer - 1], 1 / self.rates[layer]


def _bias(weights: AbstractNetwork, layer: int) -> Array:
    if weights.biases:
        return weights.biases[layer - 1]
    return jnp.zeros_like(weights.weights[layer - 1][:, 0])


def balance_laws(
    weights: AbstractNetwork,
    potential: AbstractPotential,
    *,
    layers: tuple[int, ...] | None = None,
    decay: Decay = 0.0,
) -> dict[str, AbstractConservationLaw]:
    """The balances that hold for this network: none if phi is not homogeneous.

    A rule whose backward pass uses G = d psi / d W passes its potential; `layers` restricts the
    laws to some hidden layers (default all, 1..L-1). The matrix balance needs a linear net and a
    quadratic potential.
    """
    if not isinstance(weights, AbstractLayeredNetwork):
        return {}  # a model's laws are stated by its own structure
    layers = hidden_layers(weights) if layers is None else layers
    degree = law_degree(weights)
    if degree is None or not layers:
        return {}
    forms: tuple[LawForm, ...] = ("layer-balance", "neuron-balance")
    if is_linear(weights) and isinstance(potential, AbstractQuadraticPotential):
        forms = (*forms, "matrix-balance")
    return {form: Balance(potential, form, layers, degree, decay) for form in forms}


def law_degree(weights: AbstractNetwork) -> float | None:
    """k of phi'(h) h = k phi(h) for this network's hidden layers; None: no law."""
    return 1.0 if is_linear(weights) else weights.activation.degree


def hidden_layers(weights: AbstractNetwork) -> tuple[int, ...]:
    """1..L-1."""
    return tuple(range(1, len(weights.weights)))


LAWS: tuple[LawForm, ...] = ("layer-balance", "neuron-balance", "matrix-balance")

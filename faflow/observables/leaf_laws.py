"""Conservation laws between the leaves of a model, which has no layers to name them by."""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Record
from ..feedback import Feedback
from ..networks import MLP, AbstractNetwork, Model
from ..tasks import Data
from .laws import AbstractBalance, AbstractConservationLaw, LawForm
from .potentials import AbstractPotential, AbstractQuadraticPotential, feedback_of


class View(NamedTuple):
    """A leaf as rows that are counted along one of its axes (None: one row).

    `inner` > 1: the axis is read as (n / inner, inner), as a read-out reads the channels of a
    flattened image; rows are counted along its first part, or along its second if `minor`.
    """

    leaf: int
    axis: int | None = None
    inner: int = 1
    minor: bool = False

    def rows(self, array: Array) -> Array:
        """(rows, entries of each)."""
        if self.axis is None:
            return array.reshape(1, -1)
        first = jnp.moveaxis(array, self.axis, 0)
        if self.inner == 1:
            return first.reshape(len(first), -1)
        parts = first.reshape(-1, self.inner, *first.shape[1:])
        parts = jnp.moveaxis(parts, 1, 0) if self.minor else parts
        return parts.reshape(len(parts), -1)


class Share(NamedTuple):
    """What a leaf adds to a balance, `factor` times: 1/2 |A_i|^2 of its rows, or psi(A_i) where
    the backward pass goes through `feedback`, an index into the feedback's matrices (-1: psi needs
    none); None: the former."""

    factor: float
    view: View
    feedback: int | None = None


Shares = tuple[Share, ...]


class LeafBalance(AbstractBalance):
    """sum over shares of 1/2 |A_i|^2 and -c psi(B_i): for every row i ("neuron-balance"), summed
    over rows ("layer-balance"), or as A A^T - c M(B) where `kept` is true ("matrix-balance").

    One entry per balance of `shares`; `places` name them by the paths of their leaves. What
    Theorem 1 (Robertson & Koyejo 2023) becomes for channels, hidden units of a block, and heads.
    """

    potential: AbstractPotential
    form: LawForm = eqx.field(static=True)
    shares: tuple[Shares, ...] = eqx.field(static=True)
    places: tuple[str, ...] = eqx.field(static=True)
    kept: tuple[Array, ...] = ()
    decay: float = 0.0

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(range(1, len(self.shares) + 1))

    @property
    def axes(self) -> tuple[str, ...]:
        axes = {"layer-balance": ("place",), "neuron-balance": ("row",)}
        return axes.get(self.form, ("row", "other_row"))

    def terms(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> tuple[Array, ...]:
        del data
        leaves = jax.tree.leaves(weights)
        if self.form == "matrix-balance":
            squares = zip(self.shares, self.kept, strict=True)
            return tuple(self._squares(leaves, feedback, *each) for each in squares)
        return tuple(self._entries(leaves, feedback, shares) for shares in self.shares)

    def _entries(self, leaves: list[Array], feedback: Feedback, shares: Shares) -> Array:
        parts = (
            share.factor * share_entries(self.potential, leaves, feedback, share)
            for share in shares
        )
        return jnp.concatenate(list(parts), axis=1)

    def _squares(
        self, leaves: list[Array], feedback: Feedback, shares: Shares, kept: Array
    ) -> Array:
        def square(share: Share) -> Array:
            leaf = leaves[share.view.leaf]
            if share.feedback is None:
                rows = share.view.rows(leaf)
                return rows @ rows.T
            assert isinstance(self.potential, AbstractQuadraticPotential)
            return self.potential.matrix(*_as_layer(leaf, feedback, share), 2)

        return jnp.stack([share.factor * square(share) * kept for share in shares], axis=-1)


def share_entries(
    potential: AbstractPotential, leaves: list[Array], feedback: Feedback, share: Share
) -> Array:
    """What a share is the sum of, (rows, entries of each)."""
    leaf = leaves[share.view.leaf]
    if share.feedback is None:
        return 0.5 * share.view.rows(leaf) ** 2
    return potential.entries(*_as_layer(leaf, feedback, share), 2).T


def balance_feedback(
    potential: AbstractPotential, leaves: list[Array], feedback: Feedback, share: Share
) -> Array:
    """G = d psi / dB of a share that has a psi, as rows, (rows, entries of each)."""
    leaf = leaves[share.view.leaf]
    return feedback_of(potential, *_as_layer(leaf, feedback, share), 2).T


def _as_layer(leaf: Array, feedback: Feedback, share: Share) -> tuple[MLP, Feedback]:
    """Rows B_i as the columns of a second layer, which potentials are written for."""
    rows, back = share.view.rows(leaf), ()
    if share.feedback is not None and share.feedback >= 0:
        # Direct feedback has the shape of what the leaf reads: an image, say, of a read-out.
        given = feedback.matrices[share.feedback].reshape(leaf.shape)
        back = (share.view.rows(given).T,)
    net = MLP((jnp.zeros((len(rows), 1), rows.dtype), rows.T))
    return net, Feedback(back, "layerwise" if back else "none")


class LeafSum(AbstractConservationLaw):
    """The sum of a leaf over one axis, entry by entry: of a read-out over its outputs, under
    softmax cross-entropy, and wherever else a shift of all its rows moves no output."""

    sums: tuple[tuple[int, int], ...] = eqx.field(static=True)  # (leaf, axis)
    places: tuple[str, ...] = eqx.field(static=True)
    decay: float = 0.0
    quadratic: ClassVar[bool] = True
    label: ClassVar[str] = "sum over an axis"
    axes: ClassVar[tuple[str, ...]] = ("entry",)

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(range(1, len(self.sums) + 1))

    def terms(self, weights: AbstractNetwork, feedback: Feedback, data: Data) -> tuple[Array, ...]:
        del feedback, data
        leaves = jax.tree.leaves(weights)
        moved = (jnp.moveaxis(leaves[leaf], axis, -1) for leaf, axis in self.sums)
        return tuple(leaf.reshape(-1, leaf.shape[-1]) for leaf in moved)

    def collect(self, terms: tuple[Array, ...]) -> Record:
        return tuple(jnp.sum(term, axis=-1) for term in terms)


def balance_place(model: Model, shares: Shares) -> str:
    """Where a balance is, by the paths of its leaves: `conv1 + conv1.bias -> conv2`."""
    names = [path.removesuffix(".weight") for path in model.paths]
    below = [names[one.view.leaf] for one in shares if one.factor > 0]
    above = [names[one.view.leaf] for one in shares if one.factor < 0]
    return " -> ".join(" + ".join(side) for side in (below, above) if side)

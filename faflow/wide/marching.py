"""One march in time through the sampled equations of deep nets (`dmft.py`)."""

from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Array, Integer, Matrix, Scalar
from ..networks import AbstractActivation
from ..tasks import Data
from .bonds import Bond, bond, moments
from .draws import LayerNoise

NEWTON = 3  # iterations of f's implicit step; squared loss needs one
PASSES = 5  # through the layers in a step: the trapezium rule is implicit


class Theory(eqx.Module):
    """What is marched: the `rule` by name, phi, the training `data`, `gram` = K^x (P, P) of all
    samples, the training samples first, the times `ts` (T,), rho and gamma_0."""

    rule: str = eqx.field(static=True)
    activation: AbstractActivation
    data: Data
    gram: Matrix
    ts: Array
    rho: Scalar
    richness: Scalar


class Layer(NamedTuple):
    """Histories of one layer's S particles, (T, P, S) each."""

    phi: Array
    g: Array
    gt: Array


class Moment(NamedTuple):
    """At one time: f and `other` = <z phi> / g0 (P,), Delta (P,); Phi^0..Phi^L, G^1..G^{L+1},
    Gt and Gtt (L+1, P, P); K (P, P)."""

    outputs: Array
    other: Array
    delta: Array
    features: Array
    gradients: Array
    alignments: Array
    pseudo: Array
    tangent: Matrix


class March(NamedTuple):
    """Layers, the bonds between them, and Delta's history (T, P)."""

    layers: tuple[Layer, ...]
    bonds: tuple[Bond, ...]
    deltas: Array


def march(theory: Theory, noise: tuple[LayerNoise, ...]) -> tuple[tuple[Layer, ...], Moment]:
    """The layers' histories, and a `Moment` with a leading axis of T times; pure."""
    start, times = _start(theory, noise), len(theory.ts)
    nothing = jnp.zeros(len(theory.gram))
    kernels = jnp.zeros((len(noise) + 1, *theory.gram.shape))
    delta = _delta(theory, nothing)
    moment = Moment(nothing, nothing, delta, kernels, kernels, kernels, kernels, kernels[0])

    def step(carry: tuple[March, Moment], given: tuple[Integer, Array]):
        (state, before), (i, weights) = carry, given
        past = jnp.maximum(i - 1, 0)
        held = tuple(Layer(*(x.at[i].set(x[past]) for x in layer)) for layer in state.layers)

        def passed(_: Integer, at: tuple[March, Moment]) -> tuple[March, Moment]:
            state, now = at
            deltas = state.deltas.at[i].set(now.delta)
            state, other = _pass(theory, noise, state._replace(deltas=deltas), i, weights)
            return state, _moment(theory, state, before, other, i)

        begin = state._replace(layers=held), before
        state, now = jax.lax.fori_loop(0, PASSES, passed, begin)
        return (state._replace(deltas=state.deltas.at[i].set(now.delta)), now), now

    given = jnp.arange(times), _trapezium(theory.ts)
    (end, _), moments_ = jax.lax.scan(step, (start, moment), given)
    return end.layers, moments_


def _start(theory: Theory, noise: tuple[LayerNoise, ...]) -> March:
    times, (samples, count) = len(theory.ts), noise[0].forward.shape
    empty = jnp.zeros((times, samples, count))
    between = pairwise(noise)
    aligned = theory.rule == "feedback-alignment"
    bonds = tuple(
        bond(above.forward, below.backward, below.fresh if aligned else None)
        for below, above in between
    )
    return March((Layer(empty, empty, empty),) * len(noise), bonds, empty[:, :, 0])


def _pass(
    theory: Theory, noise: tuple[LayerNoise, ...], state: March, i: Integer, weights: Array
) -> tuple[March, Array]:
    """Forward through all layers with the backward signals of the pass before, and back; <z phi>/g0
    (P,) of the last layer."""
    layers, bonds, last = list(state.layers), list(state.bonds), len(noise) - 1
    pulls = theory.richness * weights[:, None] * state.deltas  # (T, P)
    slopes = []
    for l in range(last + 1):
        if l == 0:
            field = _root(theory.gram) @ noise[0].forward
            kernel = jnp.broadcast_to(theory.gram[:, None], (len(theory.gram), *pulls.shape))
        else:
            phi = layers[l - 1].phi
            field, bonds[l - 1] = bonds[l - 1].up(phi[i], i)
            kernel = moments(phi[i], phi)
        h = field + jnp.einsum("mtn,tn,tns->ms", kernel, pulls, layers[l].gt)
        slopes.append(theory.activation.derivative(h))
        layers[l] = layers[l]._replace(phi=layers[l].phi.at[i].set(theory.activation(h)))
    other = jnp.zeros(len(theory.gram))
    for l in range(last, -1, -1):
        phi, shape, fresh = layers[l].phi, slopes[l].shape, noise[l].fresh
        if l == last:
            r = v = jnp.broadcast_to(noise[l].backward, shape)
            kernel = jnp.ones((shape[0], *pulls.shape))
        else:
            above = layers[l + 1]
            r, v, own, bonds[l] = _told(theory.rule, bonds[l], above, i)
            fresh = fresh if own is None else own
            kernel = moments(above.g[i], above.gt)
        z = r + jnp.einsum("mtn,tn,tns->ms", kernel, pulls, phi)
        if l == last:
            other = jnp.mean(z * phi[i], axis=1) / theory.richness
        signals = z, v, fresh, state.deltas[i]
        g, gt = slopes[l] * z, _pseudo(theory, signals, slopes[l], phi[i])
        layers[l] = Layer(phi, layers[l].g.at[i].set(g), layers[l].gt.at[i].set(gt))
    return March(tuple(layers), tuple(bonds), state.deltas), other


def _told(
    rule: str, between: Bond, above: Layer, i: Integer
) -> tuple[Array, Array, Array | None, Bond]:
    """W^T g and W^T gt (P, S) each, the same where the rule has no use for the second; V^T gt."""
    if rule != "feedback-alignment":
        r, fresh, between = between.down(above.g[i], i)
        return r, r, fresh, between
    both, fresh, between = between.down(jnp.concatenate([above.gt[i], above.g[i]]), i)
    samples = len(both) // 2
    return both[samples:], both[:samples], None if fresh is None else fresh[:samples], between


def _pseudo(
    theory: Theory, signals: tuple[Array, Array, Array | None, Array], slope: Array, phi: Array
) -> Array:
    """gt (P, S) of z, W^T gt, feedback's own, Delta; phi' and phi."""
    z, v, fresh, delta = signals
    if fresh is None:
        return delta[:, None] * phi if theory.rule == "hebbian" else slope * z
    fresh = jnp.broadcast_to(fresh, slope.shape)
    if theory.rule == "direct-feedback-alignment":
        return slope * fresh
    return slope * (theory.rho * v + jnp.sqrt(1 - theory.rho**2) * fresh)


def _moment(theory: Theory, state: March, before: Moment, other: Array, i: Integer) -> Moment:
    """The kernels of these layers, and f by the trapezium rule, implicitly."""
    now = [(layer.phi[i], layer.g[i], layer.gt[i]) for layer in state.layers]
    top = jnp.ones_like(theory.gram)
    mean = lambda a, b: a @ b.T / a.shape[1]  # noqa: E731
    features = jnp.stack([theory.gram, *(mean(phi, phi) for phi, _, _ in now)])
    gradients = jnp.stack([*(mean(g, g) for _, g, _ in now), top])
    alignments = jnp.stack([*(mean(g, gt) for _, g, gt in now), top])
    pseudo = jnp.stack([*(mean(gt, gt) for _, _, gt in now), top])
    tangent = jnp.sum(alignments * features, axis=0)
    half = 0.5 * (theory.ts[i] - theory.ts[jnp.maximum(i - 1, 0)])
    known = before.outputs + half * before.tangent @ before.delta
    gap = lambda f: f - known - half * tangent @ _delta(theory, f)  # noqa: E731
    newton = lambda _, f: f - jnp.linalg.solve(jax.jacfwd(gap)(f), gap(f))  # noqa: E731
    f = jax.lax.fori_loop(0, NEWTON, newton, known)
    return Moment(
        f, other, _delta(theory, f), features, gradients, alignments, pseudo, tangent
    )  # fmt: skip


def _delta(theory: Theory, outputs: Array) -> Array:
    """-dLoss/df (P,), 0 at test points."""
    learnt = theory.data.inputs.shape[0]
    error = theory.data.error(outputs[:learnt, None])[:, 0]
    return jnp.concatenate([-error, jnp.zeros(len(outputs) - learnt)])


def _root(gram: Matrix) -> Matrix:
    """Its symmetric root, also without full rank."""
    values, axes = jnp.linalg.eigh(gram)
    return axes @ (jnp.sqrt(jnp.maximum(values, 0.0))[:, None] * axes.T)


def _trapezium(ts: Array) -> Matrix:
    """w[i, j]: of the value at t_j in int_0^{t_i}; any steps."""
    steps = jnp.diff(ts)
    i, j = jnp.arange(len(ts))[:, None], jnp.arange(len(ts))[None]
    left = jnp.concatenate([jnp.zeros(1), steps])[None]  # before t_j
    right = jnp.concatenate([steps, jnp.zeros(1)])[None]
    return 0.5 * (jnp.where(j <= i, left, 0.0) + jnp.where(j < i, right, 0.0))

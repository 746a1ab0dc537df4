"""Marcotte, Gribonval & Peyre 2025: under SGD laws drift as the square of the step.

A quadratic law Q of the gradient's field g gains tau^2 Q(g) in a step W -> W - tau g of any batch,
so that over equally many steps its change falls as tau^2. Beside it stands the flow of the same
batches, each for a time tau.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ...feedback import Feedback
from ...networks import Model
from ...networks.models import Attention, Chain, ConvolutionPair
from ...plots.panel import Panel
from ...rules import Gradient
from ...tasks import Data, Squared
from ..check import Reading
from ..claim import Findings
from ..picture import curves, over
from ..session import Session
from .by_hand import Law, both, channels, gram, grams

TAUS = np.geomspace(1e-3, 5e-3, 5)
STEPS, SAMPLES, BATCH, SEEDS = 50, 32, 4, 3
BETA, DECAY, SUBSTEPS, SCALE = 0.9, 0.1, 4, 0.3  # SCALE of the inputs
FLOWED, IDENTITY, SLOPE = 1e-2, 1e-6, 0.1


class Trained(NamedTuple):
    what: str
    module: eqx.Module
    sample: tuple[int, ...]
    law: Law


def settings() -> list[Trained]:
    key = jax.random.key(5)
    pair = Chain([ConvolutionPair((1, 3, 2), key=key)])
    head = Chain([Attention(3, 2, key=key)])
    own = both(grams("query", "key"), gram("value", "output"))
    return [Trained("convolutions 1-3-2", pair, (1, 4, 4), channels("conv1", "conv2")),
            Trained("attention, width 3", head, (4, 3), own)]  # fmt: skip


class Batches(NamedTuple):
    """One per step, stacked: inputs (steps, batch, ...), targets (steps, batch, outputs)."""

    inputs: Any
    targets: Any


class Training:
    """One setting under the squared loss, batches of 4 among 32 samples drawn anew for every step.
    Paths are (taus, steps + 1, weights), from one start."""

    def __init__(self, setting: Trained, seed: int):
        self.model, self.law = Model(setting.module), setting.law
        rng = np.random.default_rng(seed)
        x = SCALE * rng.standard_normal((SAMPLES, *setting.sample))
        outputs = jax.eval_shape(self.model, jnp.asarray(x[:1])).shape[1]
        y = rng.standard_normal((SAMPLES, outputs))
        flat, self.back = ravel_pytree(self.model)
        self.start = np.asarray(flat) + 0.3 * rng.standard_normal(flat.shape)
        chosen = np.stack([rng.choice(SAMPLES, BATCH, replace=False) for _ in range(STEPS)])
        self.batches = Batches(jnp.asarray(x[chosen]), jnp.asarray(y[chosen]))

    def sgd(self, beta: float = 0.0, decay: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """The path of m <- beta m + g, W <- (1 - tau decay) W + tau m, and g at every step."""
        given = map(jnp.asarray, (self.start, TAUS, beta, decay))
        paths, fields = _sgd(self.model, self.batches, *given)
        return self._from_start(paths), np.asarray(fields)

    def flow(self, decay: float = 0.0) -> np.ndarray:
        """The path of W' = g - decay W, every batch for a time tau."""
        given = map(jnp.asarray, (self.start, TAUS, decay))
        return self._from_start(_flow(self.model, self.batches, *given))

    def _from_start(self, paths: Any) -> np.ndarray:
        first = np.broadcast_to(self.start, (len(TAUS), 1, self.start.size))
        return np.concatenate([first, np.asarray(paths)], axis=1)

    def values(self, flat: np.ndarray) -> np.ndarray:
        """The law's entries at one state."""
        return np.ravel(np.sum(list(self.law(self._leaves(flat))), axis=0))

    def size(self) -> float:
        """The largest sum of the sizes of its terms at the start."""
        terms = list(self.law(self._leaves(self.start)))
        return float(np.max(np.sum(np.abs(terms), axis=0)))

    def ends(self, paths: np.ndarray) -> np.ndarray:
        """(taus, entries): the law at the end."""
        return np.array([self.values(path[-1]) for path in paths])

    def _leaves(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        leaves = map(np.asarray, jax.tree.leaves(self.back(jnp.asarray(flat))))
        names = (path.split(".")[-2] for path in self.model.paths)
        return dict(zip(names, leaves, strict=True))


def _field(model: Model, flat: Any, batch: Batches) -> Any:
    """g = -gradient, flat: faflow's own rule."""
    rule, none = Gradient(), Feedback()
    data = Data(*batch, Squared(), jnp.asarray(1 / batch.targets.size))
    net = ravel_pytree(model)[1](flat)
    return ravel_pytree(rule.velocity(jnp.zeros(()), net, none, data))[0]


@eqx.filter_jit
def _sgd(model: Model, batches: Batches, start: Any, taus: Any, beta: Any, decay: Any) -> Any:
    def run(tau: Any) -> Any:
        def step(now: Any, batch: Batches) -> Any:
            flat, push = now
            g = _field(model, flat, batch)
            push = beta * push + g
            flat = (1 - tau * decay) * flat + tau * push
            return (flat, push), (flat, g)

        return jax.lax.scan(step, (start, jnp.zeros_like(start)), batches)[1]

    return jax.lax.map(run, taus)


@eqx.filter_jit
def _flow(model: Model, batches: Batches, start: Any, taus: Any, decay: Any) -> Any:
    """By Runge & Kutta's steps of order 4."""

    def run(tau: Any) -> Any:
        h = tau / SUBSTEPS

        def part(flat: Any, batch: Batches) -> Any:
            def stage(sofar: Any, at: Any) -> Any:
                slope, end = sofar
                now = flat + at[0] * h * slope
                slope = _field(model, now, batch) - decay * now
                return (slope, end + at[1] * h * slope), None

            stages = jnp.array([[0, 1 / 6], [1 / 2, 1 / 3], [1 / 2, 1 / 3], [1, 1 / 6]])
            return jax.lax.scan(stage, (jnp.zeros_like(flat), flat), stages)[0][1]

        def step(flat: Any, batch: Batches) -> Any:
            flat = jax.lax.fori_loop(0, SUBSTEPS, lambda _, w: part(w, batch), flat)
            return flat, flat

        return jax.lax.scan(step, start, batches)[1]

    return jax.lax.map(run, taus)


def slope_of(drifts: Sequence[np.ndarray]) -> float:
    """Of log drift over log tau, by regression over all runs, each with a height of its own."""
    logs = np.log(TAUS) - np.mean(np.log(TAUS))
    heights = np.array([np.log(one) - np.mean(np.log(one)) for one in drifts])
    return float(np.sum(heights * logs) / (len(drifts) * np.sum(logs**2)))


KINDS = ("SGD", "with momentum", "with decay, to the flow", "with decay, to the start")


class Drifts(NamedTuple):
    """Of one run: (taus,) each; `identity`: how far SGD's change is from tau^2 sum Q(g)."""

    kinds: dict[str, np.ndarray]
    flow: np.ndarray
    identity: float


def drifts_of(setting: Trained, seed: int) -> Drifts:
    run = Training(setting, seed)
    first, size = run.values(run.start), run.size()
    far = lambda a, b: np.max(np.abs(a - b), axis=-1) / size  # noqa: E731
    paths, fields = run.sgd()
    plain = run.ends(paths)
    # The flow of decay has Q(t) = e^{-2 decay t} Q(0).
    decayed, flowed = run.ends(run.sgd(decay=DECAY)[0]), run.ends(run.flow(DECAY))
    told = np.exp(-2 * DECAY * STEPS * TAUS)[:, None] * first
    kinds = {
        KINDS[0]: far(plain, first),
        KINDS[1]: far(run.ends(run.sgd(BETA)[0]), first),
        KINDS[2]: far(decayed, flowed),
        KINDS[3]: far(decayed, first),
    }
    gained = np.array([np.sum([run.values(g) for g in some], axis=0) for some in fields])
    missed = np.max(np.abs(plain - first - TAUS[:, None] ** 2 * gained), axis=1)
    identity = float(np.max(missed / np.max(np.abs(plain - first), axis=1)))
    flow = np.max([far(run.ends(run.flow()), first), far(flowed, told)], axis=0)
    return Drifts(kinds, flow, identity)


def of_steps(session: Session) -> Findings:
    measures, panes = [], []
    for setting in settings():
        session.say(f"SGD on {setting.what}")
        runs = [drifts_of(setting, seed) for seed in range(SEEDS)]
        slopes = {kind: slope_of([run.kinds[kind] for run in runs]) for kind in KINDS}
        measures += [
            Reading(f"{setting.what}: slope of the drift over τ, {kind}", slopes[kind],
                    {"near": 2.0, "within": SLOPE})
            for kind in KINDS[:3]
        ]  # fmt: skip
        measures += [
            Reading(f"{setting.what}: the flow's own drift (decay: from e^(−2λt) Q(0)) over SGD's",
                    float(np.max([run.flow / run.kinds[KINDS[0]] for run in runs])),
                    {"max": FLOWED}),
            Reading(f"{setting.what}: SGD's Q − Q(0) against τ² Σ Q(g), relative",
                    float(np.max([run.identity for run in runs])), {"max": IDENTITY}),
            Reading(f"{setting.what}: slope {KINDS[3]}", slopes[KINDS[3]], {"max": 1.2}, True),
        ]  # fmt: skip
        named = {f"{kind}: slope {slopes[kind]:.3f}": runs[0].kinds[kind] for kind in KINDS}
        named["the flow of the same batches"] = runs[0].flow
        panel = Panel([f"{setting.what}: drift after {STEPS} steps"], "|Q − Q'| / scale",
                      curves(named, floor=1e-17), scale="log")  # fmt: skip
        panes.append((panel, over("step τ", TAUS.tolist())))
    title = "Laws drift as τ² over equally many steps of SGD"
    return Findings(measures, session.draw("sgd", title, panes))

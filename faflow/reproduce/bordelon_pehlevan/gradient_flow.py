"""The gradient paper: Fig. 2's linear networks, and the equation that lacks a factor 2."""

from functools import cache

import jax.numpy as jnp
import numpy as np

from ..._compiling import LONG, compiled
from ..._types import Array, Scalar
from ...plots.frame import Frame
from ...plots.panel import Panel
from ...tasks import Data, make_data
from ...wide import gradient_limit, gradient_on_grid
from ..check import Reading
from ..claim import Findings
from ..picture import curves
from ..session import Session
from .compared import along_targets, fall_readings, far, near
from .nets import Dynamics, flows_of, networks, of_gradient

HIDDEN, SAMPLES, FEATURES, RICHNESS = 5, 20, 50, 1.0
END, STEPS = 1.0, 16
WIDTHS, SEEDS = (64, 320), 20
WHITE_RICHNESS, WHITE_WIDTH, WHITE_SEEDS = 1.5, 1024, 16


def deep_task() -> Data:
    """Random vectors, targets of norm 1."""
    rng = np.random.default_rng(6)
    inputs = rng.standard_normal((SAMPLES, FEATURES))
    targets = rng.choice([-1.0, 1.0], SAMPLES)
    return make_data(inputs, targets / np.linalg.norm(targets))


@cache
def deep_limit(hidden: int) -> tuple[np.ndarray, Dynamics, float]:
    """Times, kernels, and the largest distance of the two routes to f."""
    found = gradient_limit(deep_task(), hidden, RICHNESS, END, times=STEPS)
    apart = float(np.max(np.abs(found.outputs - found.other_outputs)))
    return np.asarray(found.ts), of_gradient(found, deep_task()), apart


@compiled(LONG)
def _deaf(data: Data, richness: Scalar, t1: Scalar) -> Array:
    """f without responses, on a grid of 2 STEPS."""
    times = 2 * STEPS + 1
    return gradient_on_grid(data, HIDDEN, richness, t1, times, responses=False).outputs[::2]


@cache
def deep_networks(width: int) -> Dynamics:
    data = deep_task()
    starts = networks("gradient", "linear", data, (HIDDEN, width), range(SEEDS), richness=RICHNESS)
    return flows_of(starts, data, deep_limit(HIDDEN)[0], step=END / STEPS)


def deep_outputs(session: Session) -> Findings:
    ts, told, apart = deep_limit(HIDDEN)
    nets, targets = (
        {width: deep_networks(width) for width in WIDTHS},
        np.asarray(deep_task().targets)[:, 0],
    )
    wide = nets[WIDTHS[-1]]
    deaf = np.asarray(_deaf(deep_task(), jnp.asarray(RICHNESS), jnp.asarray(END)))
    measures = [
        Reading("the limit's f by two routes, largest distance", apart, {"max": 1e-4}),
        near("mean f of networks to the limit", wide.outputs, told.outputs),
        near("mean H^1, …, H^5 to the limit", wide.features[:, :, 1:], told.features[:, 1:]),
        near("mean G^1, …, G^5 to the limit", wide.signals[:, :, :-1], told.signals[:, :-1]),
        *fall_readings("f", {n: each.outputs for n, each in nets.items()}, told.outputs),
        far("networks to the equations without responses: y'f",
            wide.outputs @ targets, deaf @ targets),
        far("networks to the limit of four layers: y'f",
            wide.outputs @ targets, deep_limit(HIDDEN - 1)[1].outputs @ targets),
    ]  # fmt: skip
    loss = lambda f: 0.5 * np.sum((f - targets) ** 2, axis=-1)  # noqa: E731
    lines = {"limit": loss(told.outputs), "without responses": loss(deaf)}
    dots = {f"networks, N = {WIDTHS[-1]}": loss(wide.outputs.mean(axis=0))}
    frame = Frame("flows", ts)
    panels = [Panel(["the loss"], "½|f − y|²",
                    [*curves(lines), *curves(dots, look="markers")], scale="log")]  # fmt: skip
    mean = wide.features.mean(axis=0), wide.signals.mean(axis=0)
    for name, mine, theirs in (
        (
            "y'H^l y / |y|²",
            along_targets(told.features, targets)[:, 1:],
            along_targets(mean[0], targets)[:, 1:],
        ),
        ("G^l", told.signals[:, :-1, 0, 0], mean[1][:, :-1, 0, 0]),
    ):
        layers = {f"layer {l + 1}": mine[:, l] for l in range(HIDDEN)}
        points = {f"layer {l + 1}, networks": theirs[:, l] for l in range(HIDDEN)}
        panels.append(Panel([f"{name}: limit and networks"], name,
                            [*curves(layers), *curves(points, look="markers")],
                            scale="linear"))  # fmt: skip
    title = f"Gradient paper, Fig. 2: {HIDDEN} hidden linear layers, P = {SAMPLES}, γ₀ = 1"
    figure = session.draw("gradient-linear", title, [(panel, frame) for panel in panels])
    return Findings(measures, figure)


def factor_two(session: Session) -> Findings:
    """Whitened data, one hidden layer: Delta' = -2 sqrt(1 + g (y - Delta)^2) Delta."""
    data = make_data(2**0.5 * np.eye(2), np.array([0.6, 0.8]))
    targets = np.asarray(data.targets)[:, 0]
    found = gradient_limit(data, 1, WHITE_RICHNESS, 1.0, times=16)
    ts = np.asarray(found.ts)
    gap = 1 - np.asarray(found.outputs) @ targets
    starts = networks("gradient", "linear", data, (1, WHITE_WIDTH), range(WHITE_SEEDS),
                      richness=WHITE_RICHNESS)  # fmt: skip
    nets = flows_of(starts, data, ts, rtol=1e-8, atol=1e-10)
    gaps = 1 - nets.outputs @ targets
    right, printed = whitened_gap(ts, 2.0), whitened_gap(ts, 1.0)
    measures = [
        Reading("matrix equations to the closed flow with the factor 2, largest",
                float(np.max(np.abs(gap - right))), {"max": 1e-6}),
        near("mean of networks to the closed flow with the factor 2", gaps, right),
        Reading("matrix equations to the printed flow, largest",
                float(np.max(np.abs(gap - printed))), {"min": 0.1}, True),
        far("mean of networks to the printed flow", gaps, printed),
    ]  # fmt: skip
    lines = {"with the factor 2": right, "as printed": printed}
    dots = {"matrix equations": gap, f"networks, N = {WHITE_WIDTH}": gaps.mean(axis=0)}
    panel = Panel(["the error along y, |y| = 1, γ₀ = 1.5"], "Δ",
                  [*curves(lines), *curves(dots, look="markers", first=2)],
                  scale="linear")  # fmt: skip
    title = "The printed equation of one linear layer on whitened data lacks a factor 2"
    return Findings(measures, session.draw("factor-2", title, [(panel, Frame("flows", ts))]))


def whitened_gap(ts: np.ndarray, factor_: float, steps: int = 200) -> np.ndarray:
    """Delta over time from 1, by the classical Runge-Kutta rule, `steps` per save."""

    def rate(gap: float) -> float:
        return -factor_ * (1 + WHITE_RICHNESS**2 * (1 - gap) ** 2) ** 0.5 * gap

    found = [1.0]
    for step in np.diff(ts) / steps:
        gap = found[-1]
        for _ in range(steps):
            one = rate(gap)
            two = rate(gap + 0.5 * step * one)
            three = rate(gap + 0.5 * step * two)
            gap += step * (one + 2 * two + 2 * three + rate(gap + step * three)) / 6
        found.append(gap)
    return np.array(found)

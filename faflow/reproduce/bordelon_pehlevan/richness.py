"""Fig. 5 of the rules paper: from lazy to rich, and the powers of gamma_0."""

from functools import cache

import jax.numpy as jnp
import numpy as np

from ...analysis import lazy_kernel
from ...networks import ACTIVATIONS
from ...plots.frame import Frame
from ...plots.panel import Guide, Panel, brief
from ...plots.style import BLACK, DOTTED
from ...tasks import Data, make_data
from ...wide import deep_linear, root
from ..check import Reading
from ..claim import Findings
from ..picture import curves, over
from ..session import Session
from .nets import batches, flows_of, of_linear

LAZY = 0.003
TIMES = np.linspace(0.0, 6.0, 13)
SAMPLES, FEATURES = 4, 6
POWERS = {1: 2 / 3, 2: 6 / 7, 3: 14 / 15}
RICH = np.array([0.01, 0.02, 0.1, 0.5, 2.0, 10.0, 50.0, 100.0])
SMALL, LARGE = (1e-4, 2e-4), (1e13, 1e14)
NEURONS = 512


def small_task() -> Data:
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((SAMPLES, FEATURES))
    return make_data(inputs, np.array([1.0, -0.7, 0.5, -0.9]))


def frozen(kernel: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """f(t) = (1 - e^{-Kt}) y of a kernel that stays."""
    rates, axes = np.linalg.eigh(kernel)
    decay = np.exp(-TIMES[:, None] * rates)
    return (1 - decay) * (axes.T @ targets) @ axes.T


def lazy(session: Session) -> Findings:
    """At gamma_0 = 0.003: changes of order gamma_0^2, Hebb's of order gamma_0, and the neurons' own
    error, below 1 %."""
    data, phi = small_task(), ACTIVATIONS["relu"]()
    targets, measures, lines, dots = np.asarray(data.targets)[:, 0], [], {}, {}

    def told(rule: str, hidden: int, rho: float, linear: bool = False) -> np.ndarray:
        chosen = ACTIVATIONS["linear"]() if linear else phi
        return frozen(np.asarray(lazy_kernel(rule, chosen, data.inputs, hidden, rho)), targets)

    for name, rule, rho in (
        ("gradient", "gradient", 0.0),
        ("FA, ρ = 0.6", "feedback-alignment", 0.6),
        ("FA, ρ = 0", "feedback-alignment", 0.0),
        ("Hebb", "hebbian", 0.0),
    ):
        starts = batches(rule, "relu", data, 4 * NEURONS, range(2), rho=rho, richness=LAZY)
        found = flows_of(starts, data, TIMES, step=0.1).outputs.mean(axis=0)
        lazy_ = told(rule, 1, rho)
        measures.append(Reading(f"{name}, ReLU: f to (1 − exp(−Kt))y, relative, largest",
                                _gap(found, lazy_), {"max": 0.01}))  # fmt: skip
        dots[f"{name}, flow"], lines[f"{name}, lazy"] = _rest(found, targets), _rest(lazy_, targets)
        if rho:
            wrong = _gap(found, told(rule, 1, 1.0))
            measures.append(Reading(f"{name}: the same without ρ's power", wrong, {"min": 0.03},
                                    True))  # fmt: skip
    deep = of_linear(deep_linear(3, 0.5, LAZY), data, TIMES).outputs
    measures += [
        Reading("FA, ρ = 0.5, three linear layers: the same",
                _gap(deep, told("feedback-alignment", 3, 0.5, True)), {"max": 0.01}),
        Reading("three linear layers: without ρ's powers",
                _gap(deep, told("feedback-alignment", 3, 1.0, True)), {"min": 0.03}, True),
        Reading("FA, ρ = 0 against Hebb: both learn by the read-out alone",
                float(np.max(np.abs(dots["FA, ρ = 0, flow"] - dots["Hebb, flow"]))), {"max": 0.01}),
    ]  # fmt: skip
    panel = Panel([f"γ₀ = {LAZY:g}: flows (markers) and frozen kernels (lines)"], "|f − y| / |y|",
                  [*curves(lines), *curves(dots, look="markers")], scale="log")  # fmt: skip
    title = "Fig. 5: the lazy limit; FA with ρ = 0 and Hebb learn the read-out alone"
    figure = session.draw("fig5-lazy", title, [(panel, Frame("flows", TIMES))])
    return Findings(measures, figure)


def exponents(session: Session) -> Findings:
    """Of the change of y^T H^L y, one whitened direction, |y| = 1."""
    measures, panes = [], []
    grid = np.concatenate([np.logspace(-4, 6, 11), LARGE])
    named, guides = {}, []
    for hidden, power in POWERS.items():
        small, large = (_slope(_change(hidden, a), _change(hidden, b), a, b)
                        for a, b in (SMALL, LARGE))  # fmt: skip
        measures += [
            Reading(f"FA, L = {hidden}: power at γ₀ = 1e-4", small, {"near": 2.0, "within": 1e-3}),
            Reading(f"FA, L = {hidden}: power at γ₀ = 1e13 ({brief(power, 3)} told)", large,
                    {"near": power, "within": 2e-3}),
        ]  # fmt: skip
        named[f"FA, L = {hidden}"] = np.array([_change(hidden, g) for g in grid])
        last = named[f"FA, L = {hidden}"][-1]
        guides.append(Guide(grid[6:], last * (grid[6:] / grid[-1]) ** power,
                            f"γ₀ to the {brief(power, 3)}", BLACK, DOTTED))  # fmt: skip
    found = {rule: sampled(rule) for rule in ("gradient", "feedback-alignment")}
    closed = {
        "gradient": np.sqrt(1 + RICH**2) - 1,
        "feedback-alignment": np.array([float(_at_end(1, g)) for g in RICH]),
    }
    for rule, what in (("gradient", "gradient"), ("feedback-alignment", "FA")):
        off = float(np.max(np.abs(found[rule] / closed[rule] - 1)))
        measures.append(Reading(f"{what}, L = 1: {NEURONS} neurons to the closed end, relative",
                                off, {"max": 0.02}))  # fmt: skip
    ends = {name: _slope(*found[name][pair], *RICH[pair]) for name, pair in
            (("gradient", slice(-2, None)), ("feedback-alignment", slice(-2, None)))}  # fmt: skip
    start = _slope(*found["gradient"][:2], *RICH[:2])
    measures += [
        Reading("gradient, L = 1: power at γ₀ = 50 to 100", ends["gradient"],
                {"near": 1.0, "within": 0.02}),
        Reading("gradient, L = 1: power at γ₀ = 0.01", start, {"near": 2.0, "within": 0.02}),
        Reading("FA to the gradient's power, there", abs(ends["feedback-alignment"] - 1),
                {"min": 0.2}, True),
    ]  # fmt: skip
    left = Panel(["closed flows, ρ = 0"], "y'H^L y − 1", curves(named), scale="log", guides=guides)
    both = {"gradient, neurons": found["gradient"], "FA, neurons": found["feedback-alignment"]}
    lines = {"gradient, √(1 + γ₀²) − 1": closed["gradient"],
             "FA, root of x³γ₀²/2 + x = 1": closed["feedback-alignment"]}  # fmt: skip
    right = Panel(["L = 1: neurons (markers) and closed ends"], "y'H y − 1",
                  [*curves(lines), *curves(both, look="markers")], scale="log")  # fmt: skip
    axis = "γ₀"
    panes = [(left, over(axis, [float(g) for g in grid])),
             (right, over(axis, [float(g) for g in RICH]))]  # fmt: skip
    title = "Fig. 5: how far features move: γ₀² when lazy, γ₀ to the 1, 2/3, 6/7, 14/15 when rich"
    return Findings(measures, session.draw("fig5-exponents", title, panes))


def _direction() -> Data:
    return make_data(np.ones((1, 1)), np.ones(1))


@cache
def _change(hidden: int, richness: float) -> float:
    """Integrated to 30 of the flow's own times, the root x."""
    limit, data = deep_linear(hidden, 0.0, richness), _direction()
    size = float(root(limit, 1.0))
    ts = 30 * size * np.array([0.0, 0.5, 1.0])
    return float(of_linear(limit, data, ts, atol=1e-9 * size).features[-1, -1, 0, 0] - 1)


def _at_end(hidden: int, richness: float) -> float:
    """By the root x of kappa x = |y|, growths x^2."""
    limit = deep_linear(hidden, 0.0, richness)
    x = root(limit, 1.0)
    return float(limit.growths(0.5 * x * x)[-1] * x * x)


@cache
def sampled(rule: str) -> np.ndarray:
    """(gamma_0s,): the change at the end, of quasi-random neurons."""
    data, found = _direction(), []
    for richness in RICH:
        starts = batches(rule, "linear", data, NEURONS, range(2), richness=float(richness))
        ts = jnp.linspace(0.0, 25.0, 3)
        flow = flows_of(starts, data, ts, rtol=1e-6, atol=1e-9)
        ends = flow.features[:, [0, -1], 1, 0, 0]
        found.append(np.mean(ends[:, 1] - ends[:, 0]))
    return np.array(found)


def _slope(first: float, second: float, low: float, high: float) -> float:
    return float(np.log(second / first) / np.log(high / low))


def _gap(found: np.ndarray, told: np.ndarray) -> float:
    return float(np.max(np.abs(found - told)) / np.max(np.abs(told)))


def _rest(found: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found - targets, axis=-1) / np.linalg.norm(targets)

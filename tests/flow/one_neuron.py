"""One hidden unit, event by event with SciPy's DOP853: an oracle for surfaces that coincide.

Independent of faflow: samples on one line through 0 are a `Surface`, its state is a side of its
first sample or a gate, and every event ends one call of `solve_ivp`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.integrate import solve_ivp

TIGHT = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-13}


@dataclass(frozen=True)
class Neuron:
    """f(x) = v phi(w . x), squared loss summed; `feedback` None: the gradient."""

    inputs: np.ndarray
    targets: np.ndarray
    feedback: float | None
    below: float = 0.0
    above: float = 1.0

    @cached_property
    def surfaces(self) -> list[tuple[int, np.ndarray]]:
        """The first sample of each line, and every sample's direction along it (0: not on it)."""
        found, seen = [], np.all(self.inputs == 0, axis=1)
        for first in range(len(self.inputs)):
            if seen[first]:
                continue
            x = self.inputs[first]
            along = self.inputs @ x
            on = np.isclose(along**2, (x @ x) * np.sum(self.inputs**2, axis=1)) & ~seen
            found.append((first, np.sign(along) * on))
            seen |= on
        return found

    @cached_property
    def opening(self) -> tuple[np.ndarray, np.ndarray]:
        """(samples,) and (samples, surfaces): by how much a sample is open is the first and the
        second times `shares`. One whose direction is -1 is open by 1 - share."""
        directions = np.stack([direction for _, direction in self.surfaces], axis=1)
        return (directions < 0).sum(axis=1), directions

    def slopes(self, shares: list[float]) -> np.ndarray:
        """phi' of every sample, the surfaces being open by `shares` in [0, 1]."""
        closed, directions = self.opening
        return self.below + (self.above - self.below) * (closed + directions @ np.array(shares))

    def field(self, z: np.ndarray, shares: list[float]) -> np.ndarray:
        w, v, slopes = z[:-1], z[-1], self.slopes(shares)
        a = slopes * (self.inputs @ w)
        error = v * a - self.targets
        back = v if self.feedback is None else self.feedback
        return -np.append(self.inputs.T @ (slopes * back * error), error @ a)

    def speed(self, z, shares: list[float], k: int) -> float:
        return self.inputs[self.surfaces[k][0]] @ self.field(z, shares)[:-1]

    def held(self, z, shares: list[float], k: int) -> float:
        """The share that keeps surface k where it is."""
        closed, opened = (self.speed(z, [*shares[:k], s, *shares[k + 1 :]], k) for s in (0.0, 1.0))
        return closed / (closed - opened)


def event_by_event(neuron: Neuron, z: np.ndarray, t_end: float):
    """The state at t_end and the events (time, surface, what became of it)."""
    surfaces, t, events = neuron.surfaces, 0.0, []
    shares = [float(neuron.inputs[first] @ z[:-1] > 0) for first, _ in surfaces]
    slides: int | None = None
    while True:

        def now(z, slides=slides, shares=shares):
            if slides is None:
                return shares
            held = neuron.held(z, shares, slides)
            return [*shares[:slides], held, *shares[slides + 1 :]]

        def leaving(k, slides=slides, shares=shares, now=now):
            def margin(_, at):
                if k == slides:
                    share = now(at)[k]
                    return min(share, 1 - share)
                return (2 * shares[k] - 1) * (neuron.inputs[surfaces[k][0]] @ at[:-1])

            margin.terminal, margin.direction = True, -1
            return margin

        watch = [leaving(k) for k in range(len(surfaces))]
        run = solve_ivp(lambda t, z: neuron.field(z, now(z)), (t, t_end), z, events=watch, **TIGHT)
        t, z = float(run.t[-1]), run.y[:, -1]
        if run.status == 0:
            return z, events
        k = next(i for i, times in enumerate(run.t_events) if times.size)
        if k == slides:
            shares = [*shares[:k], float(now(z)[k] > 0.5), *shares[k + 1 :]]
            slides = None
            events.append((t, k, "left"))
            continue
        assert slides is None  # one surface at a time
        other = [*shares[:k], 1 - shares[k], *shares[k + 1 :]]
        if neuron.speed(z, shares, k) * neuron.speed(z, other, k) > 0:
            shares = other
            events.append((t, k, "crossed"))
        else:
            slides = k
            events.append((t, k, "landed"))

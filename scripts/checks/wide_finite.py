"""Nonlinear nets at infinite width beside finite networks in plain numpy.

`python scripts/checks/wide_finite.py deep [RULE ...]`: tanh, three hidden layers, N = 1000, beside
`dmft`. `... shallow`: one hidden layer, ReLU and tanh, beside `neurons`. `... hebb`: the power of N
that Hebb's learning rate needs. Networks are explicit weight matrices, moved by RK4 with
the equations as printed (theory of Bordelon & Pehlevan 2022); none of faflow is in them. Prints
means and distances in standard errors.
"""

import sys
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from faflow import FlowProblem
from faflow.flow import Numerics, integrate
from faflow.networks import ACTIVATIONS
from faflow.tasks import make_data
from faflow.wide import OutputsAt, dmft, neurons

jax.config.update("jax_enable_x64", True)

RULES = ("gradient", "feedback-alignment", "direct-feedback-alignment", "hebbian")
PHI = {"tanh": np.tanh, "relu": lambda h: np.maximum(h, 0)}
SLOPE = {"tanh": lambda h: 1 - np.tanh(h) ** 2, "relu": lambda h: (h > 0).astype(h.dtype)}
inputs = np.random.default_rng(7).normal(size=(3, 5))
targets = np.array([1.0, -0.7, 0.5])


class Net:
    """h^1 = W^0 x / sqrt D, h^{l+1} = W^l phi(h^l) / sqrt N, f = w . phi(h^L) / (g0 N)."""

    def __init__(
        self, rule: str, phi: str, hidden: int, width: int, rho: float, richness: float, seed: int,
        hebbian_rate: float = 1.0,
    ) -> None:  # fmt: skip
        draw = partial(np.random.default_rng((seed, width)).standard_normal, dtype=np.float32)
        shapes = [(width, inputs.shape[1]), *[(width, width)] * (hidden - 1), (1, width)]
        self.weights = [draw(shape) for shape in shapes]
        self.rule, self.phi, self.slope = rule, PHI[phi], SLOPE[phi]
        self.width, self.richness, self.rate = width, richness, hebbian_rate
        own = np.float32((1 - rho**2) ** 0.5)
        self.back = [np.float32(rho) * w + own * draw(w.shape) for w in self.weights[1:]]
        self.direct = [draw((width, 1)) for _ in range(hidden)]
        self.x = inputs.T.astype(np.float32) / np.float32(inputs.shape[1] ** 0.5)

    def forward(self, weights: Sequence[np.ndarray]) -> tuple[list, np.ndarray]:
        h = [weights[0] @ self.x]
        for weight in weights[1:-1]:
            h.append(weight @ self.phi(h[-1]) / np.float32(self.width**0.5))
        return h, (weights[-1] @ self.phi(h[-1]))[0] / (self.richness * self.width)

    def backward(self, matrices: Sequence[np.ndarray], h: list) -> list:
        g = [self.slope(h[-1]) * matrices[-1].T]
        for matrix, below in zip(matrices[-2::-1], h[-2::-1], strict=True):
            g.insert(0, self.slope(below) * (matrix.T @ g[0] / np.float32(self.width**0.5)))
        return g

    def signals(self, weights: Sequence[np.ndarray], h: list, delta: np.ndarray) -> list:
        if self.rule == "gradient":
            return self.backward(weights[1:], h)
        if self.rule == "feedback-alignment":
            return self.backward(self.back, h)
        if self.rule == "direct-feedback-alignment":
            return [self.slope(a) * b for a, b in zip(h, self.direct, strict=True)]
        return [self.rate * delta * self.phi(a) for a in h]

    def field(self, weights: Sequence[np.ndarray]) -> list:
        h, f = self.forward(weights)
        delta = (targets - f).astype(np.float32)
        below = [self.x, *(self.phi(a) for a in h)]
        gt = [*self.signals(weights, h, delta), np.ones((1, len(delta)), np.float32)]
        moves = []
        for signal, source in zip(gt, below, strict=True):
            fan = 1.0 if source is self.x else self.width**0.5
            scale = 1.0 if signal is gt[-1] else fan
            moves.append(np.float32(self.richness / scale) * (delta * signal) @ source.T)
        return moves

    def run(self, ts: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """f (T, P) and cos(g^l, gt^l) (T, L) at `ts`, equal steps of which each is cut in more."""
        weights, found, dt = self.weights, [], np.float32((ts[1] - ts[0]) / steps)
        for _ in ts:
            h, f = self.forward(weights)
            g, gt = self.backward(weights[1:], h), self.signals(weights, h, targets - f)
            cos = [
                np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b) + 1e-30)
                for a, b in zip(g, gt, strict=True)
            ]
            found.append((f, cos))
            for _ in range(steps):
                total = one = self.field(weights)
                for size, share in ((0.5, 2), (0.5, 2), (1, 1)):
                    one = self.field(shifted(weights, np.float32(size) * dt, one))
                    total = [a + share * b for a, b in zip(total, one, strict=True)]
                weights = shifted(weights, dt / 6, total)
        f, cos = zip(*found, strict=True)
        return np.array(f, float), np.array(cos, float)


def shifted(weights: Sequence[np.ndarray], size: np.float32, moves: Sequence[np.ndarray]) -> list:
    return [weight + size * move for weight, move in zip(weights, moves, strict=True)]


def told(label: str, ours: np.ndarray, error: np.ndarray, nets: np.ndarray) -> None:
    """Means of the last time and the largest distance of all times in standard errors."""
    spread = np.hypot(nets.std(axis=0, ddof=1) / len(nets) ** 0.5, error)
    gap = np.abs(nets.mean(axis=0) - ours)[1:]
    print(
        f"{label:44} limit {np.round(ours[-1], 4)} nets {np.round(nets.mean(axis=0)[-1], 4)} "
        f"+- {np.round(spread[-1], 4)}, {np.max(gap / spread[1:]):.1f} standard errors at most",
        flush=True,
    )


def deep(rules: Sequence[str], seeds: int = 24, width: int = 1000) -> None:
    """tanh, L = 3. The trapezium rule's error is taken away by a grid twice as fine."""
    ts = np.linspace(0, 2, 11)
    for rule in rules:
        rho = 0.5 if rule == "feedback-alignment" else 0.0
        given = (inputs, targets)
        more = {"rho": rho, "richness": 1.5, "particles": 4096, "batches": 4}
        coarse = dmft(*given, ts, 3, "tanh", rule, **more)
        fine = dmft(*given, np.linspace(0, 2, 21), 3, "tanh", rule, **more)
        better = lambda a, b, axis: (4 * np.take(b, range(0, 21, 2), axis) - a) / 3  # noqa: E731
        f = better(coarse.mean.outputs, fine.mean.outputs, 0)
        corr = better(coarse.mean.correlation, fine.mean.correlation, 1).T
        print(f"{rule}: halving the step changed f by {np.abs(f - coarse.mean.outputs).max():.4f}")
        runs = [Net(rule, "tanh", 3, width, rho, 1.5, seed).run(ts, 2) for seed in range(seeds)]
        nets = [np.array(each) for each in zip(*runs, strict=True)]
        told(f"{rule}, f", f, np.asarray(coarse.error.outputs), nets[0])
        if rule != "gradient":
            told(f"{rule}, cos(g, gt)", corr, np.asarray(coarse.error.correlation).T, nets[1])


def shallow(seeds: int = 100, width: int = 1000) -> None:
    """One hidden layer."""
    ts = np.linspace(0, 2, 11)
    data = make_data(inputs, targets)
    for rule in RULES[1:]:
        for phi in ("relu", "tanh"):
            rho = 0.5 if rule == "feedback-alignment" else 0.0
            outputs = []
            for seed in range(8):
                each = neurons(rule, ACTIVATIONS[phi](), jnp.asarray(inputs), 2048, rho=rho,
                               richness=1.5, seed=seed)  # fmt: skip
                problem = FlowProblem(each.rule, each.network, each.feedback, data)
                see = {"f": OutputsAt(data.inputs)}
                flow = integrate(problem, ts, see, Numerics(**each.tolerances))
                outputs.append(np.asarray(flow.records["f"]))
            error = np.std(outputs, axis=0, ddof=1) / 8**0.5
            runs = [Net(rule, phi, 1, width, rho, 1.5, seed).run(ts, 2)[0] for seed in range(seeds)]
            told(f"{rule}, {phi}", np.mean(outputs, axis=0), error, np.array(runs))


def hebb(seeds: int = 40) -> None:
    """What f comes to if the hidden layers' rate is multiplied by a power of N."""
    ts = np.linspace(0, 2, 3)
    print(
        "N, then |f(2)| - its value without Hebb's moves of the hidden layer, of the mean over nets"
    )
    for power in (-0.5, 0.0, 0.5):
        row = []
        for width in (250, 1000, 4000):
            ends = []
            for rate in (width**power, 0.0):
                runs = [
                    Net("hebbian", "tanh", 1, width, 0.0, 1.5, seed, rate).run(ts, 10)[0][-1]
                    for seed in range(seeds)
                ]
                ends.append(np.mean(runs, axis=0))
            row.append(np.linalg.norm(ends[0] - ends[1]))
        print(f"rate N^{power}: " + "  ".join(f"{x:.4f}" for x in row), flush=True)


if __name__ == "__main__":
    what, *rest = sys.argv[1:] or ["deep"]
    if what == "deep":
        deep(rest or RULES)
    else:
        {"shallow": shallow, "hebb": hebb}[what]()

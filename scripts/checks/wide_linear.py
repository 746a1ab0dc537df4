"""Deep linear nets under rho-aligned feedback: the flow of P numbers beside finite networks.

`python scripts/checks/wide_linear.py [SEEDS [L ...]]`. L = 1..5, N = 250, 500, 1000, 2000, random
data. All weights move by rank one a layer, as the pseudo-signals of a linear net are constant, so
that the flow of a finite network is one of its vectors' inner products: exact, by RK4 in numpy.
Prints the relative square error over time of f, H^L and K times N, its power of N with a standard
error, and how far the mean is from the limit once its 1/N part is fitted and taken away.
"""

import sys
from functools import partial

import jax
import numpy as np

from faflow import FlowProblem, integrate
from faflow.feedback import Feedback
from faflow.tasks import make_data
from faflow.wide import OutputsAt, WideFeedbackAlignment, WideKernelsObserved, deep_linear

jax.config.update("jax_enable_x64", True)

rho, richness, steps = 0.5, 1.0, 40
rng = np.random.default_rng(1)
inputs, targets = rng.normal(size=(3, 5)), np.array([1.0, -0.7, 0.5])
ts = np.linspace(0, 3, steps + 1)
gram = inputs @ inputs.T / inputs.shape[1]


def finite(hidden: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f (T, P), H^L and K (T, P, P) of one network. At layer l all vectors are combinations of
    the columns of `basis`: W ... W^0 X^T, and the pseudo-signals of layers <= l pushed forward."""
    draw, samples = np.random.default_rng((seed, width, hidden)), len(inputs)
    first = draw.standard_normal((width, inputs.shape[1])) @ inputs.T / inputs.shape[1] ** 0.5
    normal = partial(draw.standard_normal, (width, width), np.float32)
    between = [normal() for _ in range(hidden - 1)]
    readout = draw.standard_normal(width)
    pseudo = [rho * readout + (1 - rho**2) ** 0.5 * draw.standard_normal(width)]
    for weight in reversed(between):
        mixed = rho * weight + np.float32((1 - rho**2) ** 0.5) * normal()
        pseudo.insert(0, mixed.T @ pseudo[0].astype(np.float32) / width**0.5)
    basis = np.column_stack([first, pseudo[0]])
    inner = [basis.T @ basis / width]
    for weight, signal in zip(between, pseudo[1:], strict=True):
        basis = np.column_stack([weight @ basis.astype(np.float32) / width**0.5, signal])
        inner.append(basis.T @ basis / width)
    seen = readout @ basis / width

    def features(state: list[np.ndarray]) -> list[np.ndarray]:
        """Coefficients of h^1..h^L (P + l, P); state: eta, then those of int sum Delta h^l."""
        found = [np.vstack([np.eye(samples), richness * (gram @ state[0])[None]])]
        for moved, products in zip(state[1:-1], inner[:-1], strict=True):
            found.append(np.vstack([found[-1], richness * (moved @ products @ found[-1])[None]]))
        return found

    def outputs(state: list[np.ndarray], h: list[np.ndarray]) -> np.ndarray:
        return (seen / richness + state[-1] @ inner[-1]) @ h[-1]

    def field(state: list[np.ndarray]) -> list[np.ndarray]:
        h = features(state)
        delta = targets - outputs(state, h)
        return [delta, *(each @ delta for each in h)]

    def kernels(state: list[np.ndarray], h: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        aligned = [1.0]  # Gt^{L+1}, Gt^L, ..., Gt^1
        for l in reversed(range(hidden)):  # pseudo[l] is column P + l of all bases from its layer
            place = samples + l
            value = (seen + richness * state[-1] @ inner[-1])[place]
            for m in range(l, hidden - 1):
                value += richness * aligned[hidden - 1 - m] * (state[1 + m] @ inner[m])[place]
            aligned.append(value)
        each = [gram, *(a.T @ g @ a for a, g in zip(h, inner, strict=True))]
        return each[-1], sum(a * b for a, b in zip(aligned[::-1], each, strict=True))

    state = [np.zeros(samples), *(np.zeros(len(each)) for each in inner)]
    add = lambda x, size, dx: [a + size * b for a, b in zip(x, dx, strict=True)]  # noqa: E731
    saved, dt = [], ts[1]
    for _ in ts:
        h = features(state)
        saved.append((outputs(state, h), *kernels(state, h)))
        one = field(state)
        two = field(add(state, dt / 2, one))
        three = field(add(state, dt / 2, two))
        four = field(add(state, dt, three))
        for size, slope in zip((1, 2, 2, 1), (one, two, three, four), strict=True):
            state = add(state, dt * size / 6, slope)
    f, last, tangent = zip(*saved, strict=True)
    return np.array(f), np.array(last), np.array(tangent)


def limit(hidden: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    wide, data = deep_linear(hidden, rho, richness), make_data(inputs, targets)
    problem = FlowProblem(WideFeedbackAlignment(wide), wide.start(5), Feedback(), data)
    see = {"f": OutputsAt(data.inputs), "kernels": WideKernelsObserved()}
    records = integrate(problem, ts, see).records
    kernels = records["kernels"]
    return tuple(np.asarray(x) for x in (records["f"], kernels.features[:, -1], kernels.tangent))


def line(x: np.ndarray, y: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercept and slope by weighted least squares, and their standard errors."""
    design = np.stack([np.ones_like(x), x], axis=1) / errors[:, None]
    covariance = np.linalg.inv(design.T @ design)
    return covariance @ design.T @ (y / errors), np.sqrt(np.diag(covariance))


widths, seeds = np.array([250, 500, 1000, 2000]), int([*sys.argv, 100][1])
depths = [int(l) for l in sys.argv[2:]] or [1, 2, 3, 4, 5]
powers, offsets = {}, {}
print(f"rho {rho}, gamma_0 {richness}, P = 3, D = 5, {seeds} seeds a width")
print("L  of   square error times N at N = 250..2000   power of N        mean - limit, 1/N removed")
for hidden in depths:
    theory = limit(hidden)
    runs = {n: [finite(hidden, int(n), seed) for seed in range(seeds)] for n in widths}
    for which, name in enumerate(("f", "H^L", "K")):
        wide, size = theory[which], np.sum(theory[which] ** 2)
        gaps = [np.array([run[which] - wide for run in runs[n]]) for n in widths]
        squares = [np.sum(gap.reshape(seeds, -1) ** 2, axis=1) / size for gap in gaps]
        mean = np.array([x.mean() for x in squares])
        error = np.array([x.std(ddof=1) for x in squares]) / seeds**0.5
        fit, fit_error = line(np.log(widths), np.log(mean), error / mean)
        powers[hidden, name] = fit[1], fit_error[1]
        # Along the limit itself: the relative excess of every run, one number.
        excess = [np.sum(gap * wide, axis=tuple(range(1, gap.ndim))) / size for gap in gaps]
        means = np.array([x.mean() for x in excess])
        spread = np.array([x.std(ddof=1) for x in excess]) / seeds**0.5
        off, off_error = line(1 / widths, means, spread)
        offsets[hidden, name] = off[0], off_error[0]
        times_width = "  ".join(f"{n * m:7.2f}" for n, m in zip(widths, mean, strict=True))
        power = f"{fit[1]:6.3f} +- {fit_error[1]:.3f}"
        print(
            f"{hidden}  {name:4} {times_width}      {power}   {off[0]:8.4f} +- {off_error[0]:.4f}"
        )

"""Linear regression in context: every sample is a prompt of examples and a query."""

import numpy as np

from ._host import Drawn, Key, Real, generators, non_negative, positive


def in_context_regression(
    *, key: Key, samples: int, dimension: int, length: int, noise: Real = 0.0
) -> Drawn:
    """Prompts (x_1, y_1) .. (x_n, y_n), (x, 0) of y_i = w . x_i + noise * N(0, 1); target w . x.

    x_i, x, w ~ N(0, I_d), d = `dimension`, n = `length`, w anew for every sample: X (samples,
    n + 1, d + 1), targets (samples, 1). The best answer is `bayes_prediction`. One step of gradient
    descent on the prompt from w = 0, `one_step_prediction`, is the best that one layer of linear
    attention can do; without noise its squared loss is 1/2 d (d + 1) / (n + d + 1) in the mean,
    where least squares has max(d - n, 0) / 2. The facts `best_loss` and `one_step_loss` are the
    means of 1/2 (f - y)^2 over these samples. Garg et al. 2022 (the task); von Oswald et al. 2023
    (the step); Ahn et al. 2023, Theorem 1 (its optimum). ValueError if a size is < 1 or the noise
    is negative.
    """
    shape = (
        positive("samples", samples),
        positive("length", length),
        positive("dimension", dimension),
    )
    scale = non_negative("noise", noise)
    inputs_rng, weights_rng, noise_rng = generators(key, 3)
    x = inputs_rng.standard_normal((shape[0], length + 1, dimension))
    w = weights_rng.standard_normal((shape[0], dimension, 1))
    y = x @ w
    target = y[:, -1].copy()
    y[:, :-1] += scale * noise_rng.standard_normal((shape[0], length, 1))
    y[:, -1] = 0.0
    prompts = np.concatenate([x, y], axis=-1)
    facts = {
        f"{name}_loss": float(np.mean((f - target) ** 2) / 2)
        for name, f in (
            ("best", bayes_prediction(prompts, scale)),
            ("one_step", one_step_prediction(prompts)),
        )
    }
    return Drawn(prompts, target, facts=facts)


def bayes_prediction(prompts: np.ndarray, noise: Real = 0.0) -> np.ndarray:
    """E[w . x | prompt] = x . A^T (A A^T + noise^2 I)^+ y (samples, 1), A (n, d) the x_i: ridge
    regression, and least squares of least norm without noise."""
    a, y, query = _parts(prompts)
    transposed = np.swapaxes(a, 1, 2)
    if noise == 0:
        w = np.linalg.pinv(a) @ y
    else:
        w = transposed @ np.linalg.solve(a @ transposed + noise**2 * np.eye(a.shape[1]), y)
    return (query @ w)[:, 0]


def one_step_prediction(prompts: np.ndarray, step: Real | None = None) -> np.ndarray:
    """step / n * x . sum_i y_i x_i (samples, 1); by default n / (n + d + 1), the best for prompts
    without noise (Ahn et al. 2023, Theorem 1)."""
    a, y, query = _parts(prompts)
    length, dimension = a.shape[1:]
    rate = length / (length + dimension + 1) if step is None else step
    return rate / length * (query @ (np.swapaxes(a, 1, 2) @ y))[:, 0]


def _parts(prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The x_i (samples, n, d), y_i (samples, n, 1) and the query (samples, 1, d)."""
    array = np.asarray(prompts, np.float64)
    if array.ndim != 3 or min(array.shape[1:]) < 2:
        raise ValueError(
            "Argument `prompts` must have shape (samples, length + 1, dimension + 1), but has "
            f"shape {array.shape}."
        )
    return array[:, :-1, :-1], array[:, :-1, -1:], array[:, -1:, :-1]

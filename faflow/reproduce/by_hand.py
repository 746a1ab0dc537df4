"""The papers' equations in plain numpy, on stored weights: nothing of faflow's own laws or fits.

Weights W_l (saves, n_l, n_{l-1}) over time, feedback F_l of the shape of W_l, samples as rows of X.
"""

from collections.abc import Sequence

import numpy as np

Arrays = Sequence[np.ndarray]


def balance_terms(
    weights: Arrays, feedback: Arrays, degree: float = 1.0, biases: Arrays = ()
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per hidden layer: 1/2 ||W_l||^2 (+ 1/2 ||b_l||^2) and k <W_{l+1}, F_{l+1}>, (saves,) each.

    Robertson & Koyejo 2023, Theorem 1: their difference is constant, k the activation's degree.
    """
    found = []
    for l, matrix in enumerate(feedback):
        squares = 0.5 * np.sum(weights[l] ** 2, axis=(1, 2))
        if biases:
            squares = squares + 0.5 * np.sum(biases[l] ** 2, axis=1)
        found.append((squares, degree * np.sum(weights[l + 1] * matrix, axis=(1, 2))))
    return found


def drifts(terms: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """|Q(t) - Q(0)| over the largest sum of the sizes of its two terms."""
    found = []
    for squares, inner in terms:
        value = squares - inner
        found.append(np.abs(value - value[0]) / np.max(np.abs(squares) + np.abs(inner)))
    return found


def peak(series: Sequence[np.ndarray]) -> float:
    """The largest value of all; nan stays nan."""
    return float(np.max([np.max(values) for values in series]))


def residual_rates(x: np.ndarray, w1: np.ndarray, w2: np.ndarray, f2: np.ndarray) -> np.ndarray:
    """Eigenvalues of H = (b.w_2) X X^T + X W_1^T W_1 X^T, ascending: e' = -H e in two linear layers
    with one output, b = F_2."""
    h = np.sum(w2 * f2) * x @ x.T + x @ w1.T @ w1 @ x.T
    return np.linalg.eigvalsh(h)


def outside_span(x: np.ndarray) -> np.ndarray:
    """I - X^+ X, the projector on what the data do not see."""
    return np.eye(x.shape[1]) - np.linalg.pinv(x) @ x


def slope(times: np.ndarray, values: np.ndarray, low: float, high: float) -> float:
    """-d log(values) / dt by least squares over low < values / values[0] < high; nan if fewer than
    eight points lie there."""
    share = values / values[0]
    use = (share > low) & (share < high)
    if np.sum(use) < 8:
        return float("nan")
    return -float(np.polyfit(times[use], np.log(values[use]), 1)[0])


def sketch(y: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Y P_BY, P_BY the projector on the row space of B Y."""
    by = b @ y
    return y @ np.linalg.pinv(by) @ by


def factor_rate(y: np.ndarray, w: np.ndarray, z: np.ndarray, b: np.ndarray) -> float:
    """The rate of E = Y - Z W at the end: the least Re of E -> Z B E + E W^T W, as far as E gets.

    W, Z over time. E stays in (columns of Y and Z(0)) x (rows of Y and W(0)); the directions that
    neither Z nor W reaches, where the operator is 0, E = -dZ W - Z dW does not enter.
    """
    left, right = span(np.hstack([y, z[0]])), span(np.hstack([y.T, w[0].T]))
    ours = np.linalg.eigvals(left.T @ z[-1] @ b @ left)
    theirs = np.linalg.eigvalsh(right.T @ w[-1].T @ w[-1] @ right)
    sums = ours[:, None] + theirs[None, :]
    return float(sums[np.abs(sums) > 1e-6 * np.abs(sums).max()].real.min())


def span(matrix: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span a matrix's."""
    left, singular, _ = np.linalg.svd(matrix, full_matrices=False)
    return left[:, singular > 1e-10 * singular[0]]


def best_error(y: np.ndarray, rank: int) -> float:
    """The smallest ||Y - Z W||_F of a rank (Eckart & Young): the root of the tail's squares."""
    return float(np.linalg.norm(np.linalg.svd(y, compute_uv=False)[rank:]))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """||P Q||_F^2 / r of the row spaces of two (r, m) matrices: the mean squared cosine of the
    principal angles between them."""
    p, q = (np.linalg.qr(matrix.T)[0] for matrix in (first, second))
    return float(np.sum((p.T @ q) ** 2)) / len(first)


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The angle between matrices, over the leading axis of `a`."""
    inner = np.sum(a * b, axis=(-2, -1))
    size = np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.degrees(np.arccos(np.clip(inner / size, -1.0, 1.0)))


def average_gap(ranks: Sequence[int], draws: int, energy: float) -> tuple[list[float], list[float]]:
    """Mean error^2 / optimum^2 of the limit Y P_BY over draws of B, and of 1 + sum 1/(K + s_i^2).

    Y is diagonal: r singular values 1 and N of sqrt(K / N), K = `energy`. s_i: singular values of
    the first r columns of the gaussian B.
    """
    tail = 400
    means, formula = [], []
    for rank in ranks:
        values = np.concatenate([np.ones(rank), np.full(tail, (energy / tail) ** 0.5)])
        found, told = [], []
        for seed in range(draws):
            b = np.random.default_rng(seed).standard_normal((rank, len(values)))
            by = np.linalg.qr((b * values).T)[0]  # columns span the row space of B Y
            error = np.sum(values**2) - np.sum((values[:, None] * by) ** 2)
            found.append(error / energy)
            s = np.linalg.svd(b[:, :rank], compute_uv=False)
            told.append(1 + np.sum(1 / (energy + s**2)))
        means.append(float(np.mean(found)))
        formula.append(float(np.mean(told)))
    return means, formula

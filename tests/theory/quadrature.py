"""Gaussian means by quadrature of their definitions, in numpy and scipy.

Smooth integrands: the trapezoidal rule on standard normal axes, h = L z with L a root of C, which
converges exponentially for integrands of this kind. ReLU: fields of at most two directions that
matter, in polar coordinates, by adaptive quadrature between the angles where a field changes sign.
"""

from itertools import pairwise

import numpy as np
from scipy.integrate import quad
from scipy.special import erf

IN_4D, REACH = 36, 8.0  # points per axis, and where the axis ends in standard deviations

FUNCTIONS = {
    "erf": (lambda h: erf(h / np.sqrt(2)), lambda h: np.sqrt(2 / np.pi) * np.exp(-(h**2) / 2)),
    "linear": (lambda h: h, np.ones_like),
}


def root(c):
    """L with L L^T = C, also of singular C."""
    values, axes = np.linalg.eigh(c)
    return axes * np.sqrt(np.maximum(values, 0))


def erf_mean(c, integrand, activation, points=IN_4D):
    """E integrand(g, g', h_1, ..., h_n) over h ~ N(0, C)."""
    nodes = np.linspace(-REACH, REACH, points)
    density = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * (nodes[1] - nodes[0])
    size = len(c)
    axes = np.meshgrid(*[nodes] * size, indexing="ij", sparse=True)
    weights = np.meshgrid(*[density] * size, indexing="ij", sparse=True)
    fields = [sum(row[i] * axes[i] for i in range(size)) for row in root(c)]
    values = integrand(*FUNCTIONS[activation], *fields)
    for weight in weights:
        values = values * weight
    return values.sum()


def angular(name, c):
    """I2, I3 or J2 of ReLU. In I3 the field b enters linearly: only what lies in the plane of a and
    c survives, so with rows L_a, L_b, L_c of a root whose first two directions span a and c,
    h = r (L_. . (cos, sin)) and the mean is int r^p e^{-r^2/2} r dr / 2 pi times an angular one."""
    order = [0, 2, 1] if name == "i3" else [0, 1]
    axes = _triangle(c[np.ix_(order, order)])[:, :2]
    a, other = axes[0], axes[1]
    power = {"i2": 2, "i3": 2, "j2": 0}[name]
    radial = {0: 1.0, 2: 2.0}[power]  # int r^{p+1} e^{-r^2/2} dr

    def around(angle):
        way = np.array([np.cos(angle), np.sin(angle)])
        first, second = a @ way, other @ way
        if name == "i2":
            return max(first, 0) * max(second, 0)
        if name == "j2":
            return float(first > 0) * float(second > 0)
        return float(first > 0) * (axes[2] @ way) * max(second, 0)

    turns = [np.arctan2(-row[0], row[1]) for row in (a, other)]
    cuts = np.unique(np.mod([0.0, *turns, *(turn + np.pi for turn in turns)], 2 * np.pi))
    cuts = [*cuts, 2 * np.pi]
    pieces = [quad(around, *ends, epsabs=1e-13)[0] for ends in pairwise(cuts)]
    return radial * sum(pieces) / (2 * np.pi)


def _triangle(c):
    """Lower triangular root of C, fields that add no direction of their own having none."""
    lower = np.zeros_like(c)
    for i in range(len(c)):
        rest = c[i].copy()
        for j in range(i):
            rest[j] -= lower[i, :j] @ lower[j, :j]
            lower[i, j] = rest[j] / lower[j, j] if lower[j, j] > 0 else 0.0
        left = c[i, i] - lower[i, :i] @ lower[i, :i]
        lower[i, i] = np.sqrt(left) if left > 1e-14 * c[i, i] else 0.0
    return lower

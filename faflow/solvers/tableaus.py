"""Explicit Runge-Kutta methods as data: Butcher tableaus by name.

k_i = f(t + c_i h, z + h sum_{j<i} a_ij k_j),  c_i = sum_j a_ij,  z_{n+1} = z_n + h sum_i b_i k_i.
"""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import numpy as np

from .._types import Array


class ExplicitTableau(NamedTuple):
    """`a` (stages, stages), strictly lower triangular, and `b` (stages,), of sum 1."""

    a: np.ndarray | Array
    b: np.ndarray | Array


def _rows(*rows: tuple[float, ...], b: tuple[float, ...]) -> Callable[[], ExplicitTableau]:
    """The tableau whose stages 2, 3, ... have these entries of `a`."""

    def make() -> ExplicitTableau:
        a = np.zeros((len(b), len(b)))
        for stage, row in enumerate(rows, start=1):
            a[stage, : len(row)] = row
        return ExplicitTableau(a, np.array(b))

    return make


def _from_diffrax(tableau: diffrax.ButcherTableau) -> ExplicitTableau:
    """Without the last stage of first-same-as-last methods, which is the next step's first."""
    b = np.asarray(tableau.b_sol, float)
    a = np.zeros((len(b), len(b)))
    for stage, row in enumerate(tableau.a_lower, start=1):
        a[stage, : len(row)] = row
    stages = len(b) - 1 if b[-1] == 0 else len(b)
    return ExplicitTableau(a[:stages, :stages], b[:stages])


TABLEAUX: dict[str, Callable[[], ExplicitTableau]] = {
    "euler": _rows(b=(1.0,)),
    "midpoint": _rows((1 / 2,), b=(0.0, 1.0)),
    "heun": _rows((1.0,), b=(1 / 2, 1 / 2)),
    "ralston": _rows((2 / 3,), b=(1 / 4, 3 / 4)),
    "kutta3": _rows((1 / 2,), (-1.0, 2.0), b=(1 / 6, 2 / 3, 1 / 6)),
    "rk4": _rows((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0), b=(1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    "bosh3": lambda: _from_diffrax(diffrax.Bosh3.tableau),
    "tsit5": lambda: _from_diffrax(diffrax.Tsit5.tableau),
    "dopri5": lambda: _from_diffrax(diffrax.Dopri5.tableau),
}


def as_tableau(method: str | ExplicitTableau | diffrax.ButcherTableau) -> ExplicitTableau:
    """The tableau of a name, of diffrax, or as it is given.

    ValueError for an unknown name, shapes that don't fit, a method that is implicit or of which
    sum b is not 1 (its time would not be the flow's).
    """
    if isinstance(method, str):
        if method not in TABLEAUX:
            names = ", ".join(TABLEAUX)
            raise ValueError(f"Argument `method` must be one of {names}, but is {method!r}.")
        return TABLEAUX[method]()
    if isinstance(method, diffrax.ButcherTableau):
        return _from_diffrax(method)
    a, b = np.asarray(method.a, float), np.asarray(method.b, float)
    if b.ndim != 1 or a.shape != (len(b), len(b)):
        shapes = f"a {a.shape} and b {b.shape}"
        raise ValueError(
            f"Argument `method` must hold a (stages, stages) and b (stages,), but has {shapes}."
        )
    if np.any(np.triu(a)):
        raise ValueError("Argument `method` must be explicit: a strictly lower triangular.")
    if abs(b.sum() - 1) > 1e-6:
        raise ValueError(f"Argument `method` must have sum b = 1, but it is {b.sum():g}.")
    return ExplicitTableau(a, b)

"""An activation: its derivative, its degree, its kinks."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ...networks import AbstractActivation
from .finding import CLOSE, Finding, distance, is_finite, normal_numbers, shape_text, tried

REACH, POINTS, HALVINGS = 4.0, 400, 40
JUMP = 1e-6  # of the derivative, between numbers that rounding hardly tells apart


def try_activation(phi: AbstractActivation) -> list[Finding]:
    looks: dict[str, Any] = {
        "shapes": _shapes, "finite": _finite, "derivative": _derivative,
        "degree": _degree, "kinks": _kinks,
    }  # fmt: skip
    return [tried(what, lambda look=look: look(phi)) for what, look in looks.items()]


def _shapes(phi: AbstractActivation) -> Finding:
    h = normal_numbers(0, 3, 2)
    both = [jax.eval_shape(each, h) for each in (phi, phi.derivative)]
    fit = [getattr(one, "shape", None) == h.shape and one.dtype == h.dtype for one in both]
    value, slope, given = map(shape_text, (*both, h))
    told = f"phi(h) is {value}, derivative(h) {slope}, for h {given}"
    return Finding("shapes", told, all(fit))


def _finite(phi: AbstractActivation) -> Finding:
    h = np.concatenate([np.linspace(-50, 50, 101), [0.0]])
    return Finding("finite", "for h in [-50, 50]", is_finite(_both(phi)(h)))


def _both(phi: AbstractActivation) -> Callable[[Any], tuple[jax.Array, jax.Array]]:
    """phi(h) and its derivative, as one program."""
    return jax.jit(lambda h: (phi(h), phi.derivative(h)))


def _derivative(phi: AbstractActivation) -> Finding:
    h = REACH * normal_numbers(3, POINTS)
    truth = jax.jit(jax.vmap(jax.grad(lambda x: phi(x[None])[0])))(h)
    away = distance(_both(phi)(h)[1], truth)
    told = f"{away:.1e} from automatic differentiation"
    if not phi.exact:
        return Finding("derivative", f"{told}; a surrogate (exact = False), so none is claimed")
    return Finding("derivative", told, away < CLOSE)


def _degree(phi: AbstractActivation) -> Finding:
    h = REACH * normal_numbers(4, POINTS)
    value, slope = map(np.asarray, _both(phi)(h))
    slope = slope * np.asarray(h)
    if phi.degree is None:
        known = np.abs(value) > CLOSE
        ratios = slope[known] / value[known]
        if (
            known.any()
            and np.ptp(ratios) < CLOSE
            and distance(slope, ratios.mean() * value) < CLOSE
        ):
            return Finding("degree", f"None, but phi'(h) h = {ratios.mean():.4g} phi(h): claim it")
        return Finding("degree", "None, and phi'(h) h = k phi(h) holds for no k: it has no law")
    away = distance(slope, phi.degree * value)
    told = f"phi'(h) h = {phi.degree:g} phi(h) to {away:.1e}"
    return Finding("degree", told, away < CLOSE)


def _kinks(phi: AbstractActivation) -> Finding:
    """The derivative's largest jump, hunted by halving where it changes most."""
    grid = np.sort(np.append(np.linspace(-REACH, REACH, POINTS + 1), 0.0))
    derivative = jax.jit(phi.derivative)
    slopes = np.asarray(derivative(grid))
    place = int(np.argmax(np.abs(np.diff(slopes))))
    low, high = grid[place], grid[place + 1]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        at = np.asarray(derivative(np.array([low, middle, high])))
        low, high = (low, middle) if abs(at[1] - at[0]) > abs(at[2] - at[1]) else (middle, high)
    first, _, last = np.asarray(derivative(np.array([low, low, high])))
    jump = float(abs(last - first))
    found = f"the derivative jumps by {jump:.3g} at h = {high:.3g}" if jump > JUMP else "none found"
    claimed = "kinked = " + ("True" if phi.kinked else "False")
    return Finding("kinks", f"{found}; {claimed}", (jump > JUMP) == bool(phi.kinked))

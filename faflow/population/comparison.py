"""Simulations at finite size beside the flow of infinitely many samples."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Simulation(NamedTuple):
    """`losses` (seeds, saves): population losses of online learning on `inputs` inputs; their
    `mean`, its `standard_error` and (mean - flow) / standard_error, nan at t = 0 (saves,)."""

    inputs: int
    losses: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray
    deviation: np.ndarray


def compared(inputs: int, losses: np.ndarray, flow: np.ndarray) -> Simulation:
    """Mean, standard error and deviation of `losses` (seeds, saves) from `flow` (saves,)."""
    mean, spread = losses.mean(axis=0), losses.std(axis=0, ddof=1)
    error = spread / len(losses) ** 0.5
    with np.errstate(all="ignore"):
        deviation = np.where(np.arange(len(flow)) > 0, (mean - flow) / error, np.nan)
    return Simulation(inputs, losses, mean, error, deviation)


def student_tails(size: float, freedom: int) -> float:
    """P(|t| > size) of Student's t: the incomplete beta function I_x(n / 2, 1 / 2) at
    x = n / (n + t^2)."""
    share = jnp.asarray(freedom / (freedom + size**2), float)
    half = jnp.asarray(freedom / 2, float)
    return float(jax.scipy.special.betainc(half, jnp.asarray(0.5, float), share))

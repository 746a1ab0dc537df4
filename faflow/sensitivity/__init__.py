"""Derivatives of where flows end: `jax.jvp` and `jax.grad` through limits."""

from .limit import Limit as Limit
from .limit import limit as limit

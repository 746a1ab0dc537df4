"""Flows of one weight, whose answers are closed forms."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from faflow.feedback import Feedback
from faflow.flow import FlowProblem
from faflow.networks import MLP
from faflow.rules import AbstractWeightRule
from faflow.tasks import make_data

DATA = make_data([[1.0]], [[0.0]])


def unseen(w):
    """Nobody looks."""


class Scalar(AbstractWeightRule):
    """w' = a + b w + c w^power below `wall`, `beyond` from there on, for a one-by-one network. The
    numbers are arrays: one program serves them all. `met` is shown every w that is traced."""

    a: Any = 0.0
    b: Any = 0.0
    c: Any = 0.0
    power: Any = 2.0
    wall: Any = np.inf
    beyond: Any = np.nan
    met: Callable[[Any], None] = eqx.field(static=True, default=unseen)
    equation: ClassVar[str] = "w' = a + b w + c w^power"
    source: ClassVar[str] = "tests"
    form: ClassVar[str] = "none"

    def field(self, w):
        self.met(w)
        return jnp.where(w < self.wall, self.a + self.b * w + self.c * w**self.power, self.beyond)

    def vector_field(self, weights, feedback, data):
        return jax.tree.map(self.field, weights)

    def laws(self, weights):
        return {}


def scalar(start=1.0, **numbers):
    rule = jax.tree.map(lambda number: jnp.asarray(number, float), Scalar(**numbers))
    return FlowProblem(rule, MLP((jnp.full((1, 1), start),)), Feedback(), DATA)

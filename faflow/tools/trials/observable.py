"""An observable: what its record is, and whether the flow can make it."""

from typing import Any

import jax
import numpy as np

from ...config.choice import Choice
from ...flow import FlowProblem
from ...measures.recorded.own import own_observable
from ...rules import FeedbackAlignment
from .finding import (
    CLOSE,
    WIDTHS,
    Finding,
    distance,
    is_finite,
    shape_text,
    small_data,
    small_feedback,
    small_net,
    tried,
)


def try_observable(choice: Choice) -> list[Finding]:
    net, feedback, data = small_net(), small_feedback(), small_data()
    point = (net, feedback, data)
    problem = FlowProblem(FeedbackAlignment(), *point)
    held: list[Any] = []

    def record() -> Finding:
        held.append(own_observable(choice, problem))
        shapes = jax.tree.leaves(jax.eval_shape(held[0], *point))
        axes = f", axes {', '.join(held[0].axes)}" if held[0].axes else ""
        return Finding(
            "record", f"{', '.join(map(shape_text, shapes))}{axes}; it can be compiled", True
        )

    def finite() -> Finding:
        held.append(jax.jit(lambda *of: held[0](*of))(*point))
        told = f"at W(0) of a tanh net {'-'.join(map(str, WIDTHS))}"
        return Finding("finite", told, is_finite(held[1]))

    def same() -> Finding:
        away = _away(held[0](*point), held[1])
        again = _away(held[0](*point), held[0](*point))
        told = f"compiled and not, it is {away:.1e} apart; twice {again:.1e}"
        return Finding("same", told, max(away, again) < CLOSE)

    def batched() -> Finding:
        nets = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf]), net)
        both = jax.vmap(lambda one: held[0](one, feedback, data))(nets)
        away = _away(jax.tree.map(lambda leaf: leaf[0], both), held[1])
        return Finding("batches", f"by vmap it is {away:.1e} away", away < CLOSE)

    found = [tried("record", record)]
    if found[0].ok:
        found.append(tried("finite", finite))
        found += [tried("same", same), tried("batches", batched)] if len(held) > 1 else []
    return found


def _away(one: Any, other: Any) -> float:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max((distance(a, b) for a, b in pairs), default=0.0)

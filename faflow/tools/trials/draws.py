"""First weights and feedback: shapes, numbers, and what a seed does."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..._generator import drawn
from ...config.errors import told
from ...feedback import FEEDBACKS, Form, draw_feedback, feedback_shapes
from ...feedback.draw import AbstractDraw
from ...networks import AbstractInitialisation
from .finding import WIDTHS, Finding, is_finite, key, small_data, small_net, tried

TWO_LAYERS = (5, 4, 2)


def try_initialisation(init: AbstractInitialisation) -> list[Finding]:
    """On three layers; on two, if the kind says (ValueError) that it does not serve three."""
    inputs = small_data().inputs
    for widths in (WIDTHS, TWO_LAYERS):
        shapes = [(out, into) for into, out in itertools.pairwise(widths)]
        feedback = draw_feedback(FEEDBACKS["gaussian"](), key(2), widths, "layerwise").matrices

        def draw(seed: int, shapes: Any = shapes, feedback: Any = feedback) -> Any:
            return drawn(lambda of: init(of, shapes, feedback, inputs), key(seed))

        found = _drawn("W(0)", draw, shapes)
        if found[0].ok is not None:
            break
    return found


def try_feedback(draw: AbstractDraw) -> list[Finding]:
    found = []
    for form in ("layerwise", "direct"):

        def of(seed: int, form: Form = form) -> Any:
            return draw_feedback(draw, key(seed), WIDTHS, form, small_net()).matrices

        found += _drawn("F" if form == "layerwise" else "D", of, feedback_shapes(WIDTHS, form))
    return found


def _drawn(name: str, draw: Callable[[int], Any], shapes: Sequence[Any]) -> list[Finding]:
    """Not at fault (`ok` None) where it says by a ValueError that it does not serve this."""
    held: list[Any] = []

    def look() -> Finding:
        try:
            held.append(draw(3))
        except ValueError as error:
            return Finding(f"{name}: shapes", f"not served: {told(error)}")
        given = [np.shape(one) for one in held[0]]
        return Finding(f"{name}: shapes", f"{given}", given == list(shapes))

    found = [tried(f"{name}: shapes", look)]
    if not found[0].ok:
        return found
    sizes = [np.sqrt(np.mean(np.square(one))) * np.shape(one)[1] ** 0.5 for one in held[0]]
    spread = ", ".join(f"{size:.3g}" for size in sizes)
    again, other = draw(3), draw(4)
    same = all(np.array_equal(a, b) for a, b in zip(held[0], again, strict=True))
    moves = any(not np.array_equal(a, b) for a, b in zip(held[0], other, strict=True))
    return [
        *found,
        Finding(
            f"{name}: finite", f"root mean squares times sqrt(fan_in): {spread}", is_finite(held[0])
        ),
        Finding(f"{name}: seed", "one seed is one draw" if same else "one seed draws twice", same),
        Finding(f"{name}: other seed", "another draw" if moves else "the same: nothing is random"),
    ]

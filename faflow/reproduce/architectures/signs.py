"""Sign flow, W' = -sign(gradient): Adam without its memory (Marcotte, Gribonval & Peyre 2025)."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._types import Array
from ...discovery import AbstractFields, BlockFields, find_orbit
from ...discovery.fresh import FRESH
from ...discovery.orthants import orbit_everywhere, sign_planes
from ...feedback import Feedback
from ...networks import Model
from ...networks.models import TwoLayers
from ...networks.models.blocks import identity
from ...plots.panel import Level, Panel
from ...plots.style import DASHED, GREY
from ...rules import Gradient
from ..check import Reading
from ..claim import Findings
from ..picture import curves, over
from ..session import Session
from .case import BROKEN, FRESH_STATES, GAP, KEPT, SEED, counted

CANDIDATES, ORBITS = 8, 4


class SignFields(AbstractFields):
    """sign of another's fields, entry by entry."""

    inner: BlockFields
    counted: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, inner: BlockFields):
        self.inner, self.counted = inner, inner.counted

    @property
    def kinked(self) -> bool:
        return True  # it jumps wherever an entry of the gradient changes sign

    @property
    def speeds(self) -> tuple[int, ...]:
        return self.inner.speeds

    def random_states(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.inner.random_states(rng, count)

    def lessons(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
        return self.inner.lessons(rng, shape)

    def __call__(self, flat: Array, lesson: Any) -> Array:
        return jnp.sign(self.inner(flat, lesson))


def fields_of(widths: tuple[int, int, int]) -> tuple[BlockFields, SignFields]:
    net = Model(TwoLayers(*widths, key=jax.random.key(0), activation=identity))
    inner = BlockFields(Gradient(), net, Feedback(), widths[:1])
    return inner, SignFields(inner)


class Count(NamedTuple):
    """Laws inside one orthant of the signs that the fields jump at, and for all states; None where
    a rank is not clear, or (`everywhere`) a plane is not crossed by any chain."""

    inside: int | None
    everywhere: int | None
    gap: float


def count(fields: AbstractFields) -> Count:
    """From the largest of several orbits."""
    rng, size = np.random.default_rng(0), len(fields.counted)
    orbits = [find_orbit(fields, rng, CANDIDATES) for _ in range(ORBITS)]
    largest = orbits[int(np.argmax([orbit.rank.rank for orbit in orbits]))]
    if not (largest.closed and largest.rank.clear):
        return Count(None, None, largest.rank.gap)
    inside, planes = size - largest.rank.rank, sign_planes(fields, rng)
    if not planes:
        return Count(inside, inside, largest.rank.gap)
    across = orbit_everywhere(fields, largest, planes, rng)
    return Count(inside, size - across.rank.rank if across.closed else None, across.rank.gap)


def rates(fields: AbstractFields) -> dict[str, np.ndarray]:
    """d/dt (|U| - |V|) and d/dt (U^2 - V^2) of scalars at fresh states, over their terms."""
    rng = np.random.default_rng(SEED)
    states = fields.random_states(rng, FRESH)
    lessons = fields.lessons(rng, (FRESH,))
    moves = np.asarray(jax.vmap(fields)(jnp.asarray(states), lessons))
    slopes = {"|U| − |V|": np.sign(states), "U² − V²": 2 * states}
    found = {}
    for name, slope in slopes.items():
        terms = slope * moves * np.array([-1.0, 1.0])
        found[name] = np.abs(terms.sum(axis=1)) / np.abs(terms).sum(axis=1)
    return found


def sign_flow(session: Session) -> Findings:
    found = {}
    for widths in ((1, 1, 1), (2, 2, 1), (3, 2, 2)):
        name = "-".join(map(str, widths))
        session.say(f"sign flow {name}")
        found[name] = count(fields_of(widths)[1])
    inner, scalar = fields_of((1, 1, 1))
    told, gradient = rates(scalar), rates(inner)
    measures = [
        counted("1-1-1: laws inside a quadrant", found["1-1-1"].inside, 1),
        Reading("1-1-1: largest rate of |U| − |V| at fresh states of all quadrants",
                float(np.max(told["|U| − |V|"])), {"max": KEPT}),
        *(counted(f"{name}: laws for all states", found[name].everywhere, 0)
          for name in ("2-2-1", "3-2-2")),
        Reading("smallest gap of a rank", float(np.min([one.gap for one in found.values()])),
                {"min": GAP}),
        counted("2-2-1: laws inside one orthant of sign(U)", found["2-2-1"].inside, 2, True),
        Reading("1-1-1: smallest rate of U² − V² under it", float(np.min(told["U² − V²"])),
                {"min": BROKEN}, True),
        Reading("1-1-1: smallest rate of |U| − |V| under the gradient",
                float(np.min(gradient["|U| − |V|"])), {"min": BROKEN}, True),
    ]  # fmt: skip
    named = {f"sign flow: {name}": values for name, values in told.items()}
    named |= {f"gradient: {name}": values for name, values in gradient.items()}
    panel = Panel(["scalars: |U| − |V| under the sign flow, U² − V² under the gradient"],
                  "|dQ/dt| / terms", curves(named, look="markers", floor=1e-17), scale="log",
                  levels=[Level(KEPT, f"at most {KEPT:g}", GREY, DASHED)])  # fmt: skip
    title = "The sign flow keeps nothing, but for scalars"
    frame = over("fresh state", FRESH_STATES)
    return Findings(measures, session.draw("sign-flow", title, [(panel, frame)]))

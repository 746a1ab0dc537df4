"""What a rule conserves on a network, over all data and losses."""

from typing import NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from .._compiling import ONCE, compiled
from .._types import Array
from ..feedback import Feedback
from ..networks import AbstractNetwork
from ..observables import AbstractConservationLaw
from ..rules import AbstractLearningRule
from .fields import Fields
from .fresh import FreshPlaces
from .lie import Orbit, find_orbits, independent_laws, rank_of
from .names import feedback_entries, variable_names, write_polynomial
from .orthants import orbit_everywhere, sign_planes
from .polynomials import PolynomialLaws, check_monomials, confirmed, find_polynomials, gradients

MOST_WEIGHTS = 400  # directions are matrices of this height, and several times as wide
KEPT = 1e-9  # of a law's gradient, along directions of the orbit
ACROSS = 1e-5  # the same, along tangents that were carried across orthants

Laws = dict[str, AbstractConservationLaw]


class KnownLaw(NamedTuple):
    """A law the rule names: the largest share of its gradient along the orbit (0: conserved), its
    largest rate at fresh states (`FreshPlaces.rates`), how many independent quantities it is, and
    whether the polynomials found hold it (None: not searched, or it is no polynomial of that
    degree). `elsewhere`: the share where orthants are crossed, None if the rule looks at no signs.
    """

    name: str
    share: float
    rate: float
    independent: int
    found: bool | None
    elsewhere: float | None = None

    @property
    def kept(self) -> bool:
        return self.share < KEPT and self.rate < KEPT

    @property
    def everywhere(self) -> bool:
        """Whether it is kept for all states, and not inside one orthant alone."""
        return self.kept and (self.elsewhere is None or self.elsewhere < ACROSS)


class Discovery(NamedTuple):
    """`independent` = D - rank laws, of which the known ones `explain` some and the polynomials
    `found` some; None where a rank has no clear gap. `state`: D; `orbits`: of two states that agree
    (or of all that were looked at and don't).

    A rule that looks at the signs of weights (`signs`: of which, "W2"; "" for none) has all that
    inside one orthant of them; `across` is then the orbit of a state among all."""

    state: int
    orbits: tuple[Orbit, ...]
    independent: int | None
    known: list[KnownLaw]
    explained: int
    polynomials: PolynomialLaws | None
    found: int
    texts: list[str]
    signs: str = ""
    across: Orbit | None = None

    @property
    def everywhere(self) -> int | None:
        """The independent laws for all states; None where a rank has no clear gap."""
        if self.across is None:
            return self.independent
        return self.state - self.across.rank.rank if self.across.closed else None

    @property
    def unexplained(self) -> int | None:
        return None if self.independent is None else self.independent - self.explained

    @property
    def gap(self) -> float:
        return min(orbit.rank.gap for orbit in self.orbits)


def discover(
    rule: AbstractLearningRule,
    weights: AbstractNetwork,
    feedback: Feedback,
    *,
    degree: int | None = 2,
    seed: int = 0,
) -> Discovery:
    """The laws of a rule on a network of this shape with this feedback; see `discover_in`."""
    return discover_in(Fields(rule, weights, feedback), degree=degree, seed=seed)


def discover_in(fields: Fields, *, degree: int | None = 2, seed: int = 0) -> Discovery:
    """What none of these fields changes.

    The count is taken at two generic states, which must agree. With kinks states lie in regions,
    and in some (a neuron that no input wakes moves no weight) more functions stay; a law has to
    hold in all of them, so the largest orbit counts once two states have it. `degree`: up to which
    polynomial laws are searched (None: not at all). ValueError for a state of more than
    MOST_WEIGHTS entries, too many monomials, or a rule that serves no random data.
    """
    rng = np.random.default_rng(seed)
    size = len(fields.counted)
    if size > MOST_WEIGHTS:
        raise ValueError(
            f"The state has {size} entries; the rank of a Lie algebra is computed for "
            f"{MOST_WEIGHTS} at most."
        )
    if degree is not None:
        check_monomials(size, degree)
    orbits = find_orbits(fields, rng)
    other = np.random.default_rng([seed, 1])
    planes = sign_planes(fields, other)
    across = orbit_everywhere(fields, orbits[0], planes, other) if planes else None
    fresh = FreshPlaces(fields, seed)
    laws = None
    if degree is not None:
        laws = confirmed(find_polynomials(fields, orbits[0].point, rng, degree), fields, fresh)
    known, explained = _known(fields, orbits[0], laws, across, fresh)
    found, texts = _written(fields, orbits[0], laws)
    return Discovery(
        size, orbits, independent_laws(size, orbits), known, explained, laws, found, texts,
        _signs(fields, planes), across,
    )  # fmt: skip


def _signs(fields: Fields, planes: tuple[int, ...]) -> str:
    """The arrays that these counted entries are of, by name."""
    names = variable_names(fields)
    return ", ".join(dict.fromkeys(names[plane].split("[")[0] for plane in planes))


def _known(
    fields: Fields,
    orbit: Orbit,
    laws: PolynomialLaws | None,
    across: Orbit | None,
    fresh: FreshPlaces,
) -> tuple[list[KnownLaw], int]:
    known, kept = [], np.zeros((0, len(fields.counted)))
    stated = {  # what decays at a known rate is no conservation law
        name: law
        for name, law in fields.rule.laws(fields.weights).items()
        if not np.any(np.asarray(law.decay) != 0)
    }
    at_orbit = _slopes(fields, stated, orbit.point)
    beyond = None if across is None else _slopes(fields, stated, across.point)
    at_fresh = [_slopes(fields, stated, point) for point in fresh.points]
    held = {} if laws is None else _held(fields, stated, laws)
    for name in stated:
        slopes, share = _share(at_orbit[name], orbit)
        elsewhere = None if across is None or beyond is None else _share(beyond[name], across)[1]
        independent = rank_of(np.linalg.svd(slopes)[1]).rank
        rate = float(np.max(fresh.rates([one[name] for one in at_fresh]), initial=0.0))
        known.append(KnownLaw(name, share, rate, independent, held.get(name), elsewhere))
        if known[-1].kept:
            kept = np.vstack([kept, slopes])
    explained = rank_of(np.linalg.svd(kept)[1]).rank if len(kept) else 0
    return known, explained


def _share(slopes: np.ndarray, orbit: Orbit) -> tuple[np.ndarray, float]:
    """A law's unit gradients at the orbit's state, and the largest share of one along the orbit."""
    sizes = np.linalg.norm(slopes, axis=1, keepdims=True)
    slopes = slopes / np.where(sizes > 0, sizes, 1.0)
    return slopes, float(np.max(np.linalg.norm(slopes @ orbit.frame, axis=1), initial=0.0))


def _values(fields: Fields, laws: Laws, flat: Array) -> dict[str, Array]:
    """The laws' values, flat, at a flat state."""
    data = fields.data(fields.one_lesson(), fields.losses[-1])
    read = fields.read(flat, data)
    return {name: ravel_pytree(law(*read, data))[0] for name, law in laws.items()}


@compiled(ONCE)
def _values_at(fields: Fields, laws: Laws, states: Array) -> dict[str, Array]:
    return jax.vmap(lambda flat: _values(fields, laws, flat))(states)


@compiled(ONCE)
def _slopes_at(fields: Fields, laws: Laws, flat: Array) -> dict[str, Array]:
    return jax.jacrev(lambda flat: _values(fields, laws, flat))(flat)


def _slopes(fields: Fields, laws: Laws, point: np.ndarray) -> dict[str, np.ndarray]:
    """The laws' gradients by the counted entries of a state."""
    found = _slopes_at(fields, laws, jax.device_put(point)) if laws else {}
    return {name: np.asarray(slopes)[:, list(fields.counted)] for name, slopes in found.items()}


def _held(fields: Fields, stated: Laws, laws: PolynomialLaws) -> dict[str, bool | None]:
    """Whether each of them, up to a constant, is among the polynomials found."""
    if not stated:
        return {}
    states = fields.random_states(np.random.default_rng(1), len(laws.monomials) + 41)
    values = _values_at(fields, stated, jax.device_put(states))
    counted = states[:, list(fields.counted)]
    return {name: _holds(laws, counted, np.asarray(some)) for name, some in values.items()}


def _holds(laws: PolynomialLaws, states: np.ndarray, values: np.ndarray) -> bool | None:
    """The same of one that has these values at these states."""
    table = np.prod(np.append(states, np.ones((len(states), 1)), axis=1)[:, laws.monomials], axis=2)
    table, values = table[1:] - table[0], values[1:] - values[0]
    fit, *_ = np.linalg.lstsq(table, values, rcond=None)
    scale = np.max(np.abs(values))
    if np.max(np.abs(table @ fit - values)) > 1e-8 * scale:
        return None
    outside = fit - laws.space.T @ (laws.space @ fit)
    return bool(np.max(np.abs(outside)) < 1e-7 * np.max(np.abs(fit)))


def _written(fields: Fields, orbit: Orbit, laws: PolynomialLaws | None) -> tuple[int, list[str]]:
    if laws is None:
        return 0, []
    names, entries = variable_names(fields), feedback_entries(fields.feedback)
    texts = [write_polynomial(row, laws.monomials, names, entries) for row in laws.coefficients]
    point = orbit.point[list(fields.counted)]
    slopes = gradients(laws.monomials, laws.coefficients, point)
    found = rank_of(np.linalg.svd(slopes)[1]).rank if len(slopes) else 0
    return found, texts

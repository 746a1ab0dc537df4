"""How many of a block's laws have a name, and polynomials for the others."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array
from ..observables import AbstractConservationLaw
from .block_fields import BlockFields, BlockLesson
from .families import find_families
from .lie import rank_of
from .names import write_polynomial
from .polynomials import MOST_MONOMIALS

APART = 1e-12  # of a law's gradient: what is smaller outside the block is none


class Names(NamedTuple):
    """How many independent functions of the block alone are `named`, how many are known with those
    found (of this `degree` in the entries; 0: not searched), and what of these is new."""

    named: int
    known: int
    degree: int
    texts: tuple[str, ...]


def count_named(fields: BlockFields, laws: Iterable[AbstractConservationLaw]) -> int:
    """How many independent functions of the block alone these laws are, at a generic state."""
    return _rank(_named(fields, laws, _point(fields)))


def name_laws(
    fields: BlockFields, laws: Iterable[AbstractConservationLaw], wanted: int | None, seed: int = 0
) -> Names:
    """What these laws leave of `wanted` independent ones is looked for in the families of
    `find_families`."""
    flat = _point(fields)
    rows = _named(fields, laws, flat)
    named = _rank(rows)
    if wanted is None or named >= wanted or 3 * len(fields.counted) > MOST_MONOMIALS:
        return Names(named, named, 0, ())
    found, slopes, degree = find_families(fields, flat, seed)
    known, texts, entries = named, [], _feedback_entries(fields)
    plain = _entries(fields)
    names = [form.format(name) for form in ("{}", "log|{}|", "|{}|") for name in plain]
    for row, slope in zip(found.coefficients, slopes, strict=True):
        more = np.vstack([rows, _unit(slope[None])]) if np.any(slope) else rows
        if _rank(more) > known:
            rows, known = more, known + 1
            texts.append(write_polynomial(row, found.monomials, names, entries))
    return Names(named, known, degree, tuple(texts))


def _point(fields: BlockFields) -> np.ndarray:
    return fields.random_states(np.random.default_rng(5), 1)[0]


def _rank(rows: np.ndarray) -> int:
    return rank_of(np.linalg.svd(rows, compute_uv=False)).rank if len(rows) else 0


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _named(
    fields: BlockFields, laws: Iterable[AbstractConservationLaw], flat: np.ndarray
) -> np.ndarray:
    """Gradients of what depends on the block alone, of unit length."""
    rows, rng = np.zeros((0, len(fields.counted))), np.random.default_rng(6)
    lesson = jax.tree.map(lambda leaf: leaf[0], fields.lessons(rng, (1,)))
    for law in laws:
        inside, outside = _slopes(fields, law, jax.device_put(flat), lesson)
        sizes = np.linalg.norm(inside, axis=1)
        own = (sizes > 0) & (np.linalg.norm(outside, axis=1) <= APART * sizes)
        rows = np.vstack([rows, _unit(inside[own])])
    return rows


def _slopes(
    fields: BlockFields, law: AbstractConservationLaw, flat: Array, lesson: BlockLesson
) -> tuple[np.ndarray, np.ndarray]:
    """The law's gradients by the block's leaves and by those outside."""

    def values(inside: Array, others: Array) -> Array:
        some = lesson._replace(others=others)
        record = law(*fields.read(inside, some), fields.data(some))
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(record)])

    both = jax.jit(jax.jacrev(values, (0, 1)))(flat, lesson.others)
    return np.asarray(both[0]), np.asarray(both[1])


def _entries(fields: BlockFields) -> list[str]:
    """first[0,1] for every entry of the block."""
    return [
        f"{_short(leaf.name)}[{','.join(map(str, place))}]"
        for leaf in fields.leaves
        for place in np.ndindex(*leaf.shape)
    ]


def _short(name: str) -> str:
    return name.replace(".weight", "")


def _feedback_entries(fields: BlockFields) -> dict[str, float]:
    """The fixed numbers that a law may hold, by the leaf that they are the feedback of."""
    if fields.feedback.form != "layerwise":
        return {}
    two = jax.ShapeDtypeStruct((2, *fields.sample), jnp.result_type(float))
    paths = [fields.model.paths[leaf] for leaf in fields.model.program(two).met]
    return {
        f"F({_short(path)})[{','.join(map(str, place))}]": float(value)
        for path, matrix in zip(paths, fields.feedback.matrices, strict=True)
        for place, value in np.ndenumerate(np.asarray(matrix))
    }

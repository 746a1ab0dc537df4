"""Polynomials in the names of the weights: W1[0,2]^2 - 2 F2[0,0] W2[0,0]."""

import re
from collections.abc import Iterator
from fractions import Fraction

import jax
import numpy as np

from ..feedback import Feedback
from .fields import Fields

CLOSE = 1e-8  # relative distance at which a coefficient is taken for a feedback entry
PLAIN = tuple(Fraction(n, d) for d in (1, 2, 3, 4) for n in (1, 2, 3, 4, 6))


def variable_names(fields: Fields) -> list[str]:
    """W1[i,j], b1[i], F2[i,j] for every counted entry of the flat state; W1'[i,j] where the state
    holds such an array twice (a momentum's velocity)."""
    names, stems = [], []
    for path, leaf in jax.tree_util.tree_flatten_with_path(fields.shape())[0]:
        stem = _stem(jax.tree_util.keystr(path), leaf.shape, fields.feedback)
        stem += "'" * stems.count(stem)
        stems.append(stem.rstrip("'"))
        for place in np.ndindex(*leaf.shape):
            names.append(f"{stem}[{','.join(map(str, place))}]")
    return [names[entry] for entry in fields.counted]


def _stem(path: str, shape: tuple[int, ...], feedback: Feedback) -> str:
    number = re.search(r"\[(\d+)\]$", path)
    if number and path.endswith(f".weights{number[0]}"):
        return f"W{int(number[1]) + 1}"
    if number and path.endswith(f".biases{number[0]}"):
        return f"b{int(number[1]) + 1}"
    # A state that holds the feedback, layer by layer.
    if number and shape in [m.shape for m in feedback.matrices[int(number[1]) :][:1]]:
        letter, first = _letters(feedback)
        return f"{letter}{int(number[1]) + first}"
    return "state_" + re.sub(r"[^0-9A-Za-z]+", "_", path).strip("_")


def _letters(feedback: Feedback) -> tuple[str, int]:
    return ("F", 2) if feedback.form == "layerwise" else ("D", 1)


def feedback_entries(feedback: Feedback) -> dict[str, float]:
    """The fixed numbers a law may hold, by name."""
    letter, first = ("", 0) if feedback.form == "none" else _letters(feedback)
    return {
        f"{letter}{layer + first}[{i},{j}]": float(value)
        for layer, matrix in enumerate(feedback.matrices)
        for (i, j), value in np.ndenumerate(np.asarray(matrix))
    }


def write_polynomial(
    coefficients: np.ndarray, monomials: np.ndarray, names: list[str], entries: dict[str, float]
) -> str:
    """One law, with feedback entries (or quotients of two) in place of the numbers they are."""
    terms, used = [], np.flatnonzero(coefficients)
    # The highest powers first: norms before what balances them.
    for at in sorted(used, key=lambda at: -np.sum(monomials[at] < len(names))):
        sign, factor = coefficient(coefficients[at], entries)
        product = " ".join(filter(None, (factor, _monomial(monomials[at], names))))
        terms.append((sign, product))
    if not terms:
        return "0"
    first, *others = terms
    lead = ("-" if first[0] == "-" else "") + first[1]
    return lead + "".join(f" {sign} {product}" for sign, product in others)


def _monomial(variables: np.ndarray, names: list[str]) -> str:
    used = [int(v) for v in variables if v < len(names)]
    powers = {v: used.count(v) for v in used}
    return " ".join(names[v] + (f"^{n}" if n > 1 else "") for v, n in powers.items())


def coefficient(value: float, entries: dict[str, float]) -> tuple[str, str]:
    """Its sign, and its size in words: "" for 1, "2 F2[0,1]", "F2[0,1]/F2[0,0]", "0.61803399"."""
    for size, text in _candidates(entries):
        if size and abs(abs(value) - abs(size)) < CLOSE * abs(size):
            return ("-" if value < 0 else "+") if size > 0 else ("+" if value < 0 else "-"), text
    return "-" if value < 0 else "+", f"{abs(value):.8g}"


def _candidates(entries: dict[str, float]) -> Iterator[tuple[float, str]]:
    for number in PLAIN:
        yield float(number), "" if number == 1 else str(number)
    for name, entry in entries.items():
        for number in PLAIN:
            yield float(number) * entry, name if number == 1 else f"{number} {name}"
    for above, top in entries.items():
        for below, bottom in entries.items():
            if above != below and bottom:
                yield top / bottom, f"{above}/{below}"

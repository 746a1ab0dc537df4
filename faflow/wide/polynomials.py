"""The polynomials of deep linear nets under rho-aligned feedback at infinite width.

With q = 1/2 eta^T K^x eta (`linear.py`), g = gamma_0^2 and layers l = 1..L,

    kappa_1 = 1,   m_l(q) = int_0^q kappa_l
    kappa_{l+1} = 1 + rho kappa_l + g sum_{j<=l} m_j kappa_j

of degree 2^l - 1 in q. Derivation. Pseudo-signals are constant in time and of variance 1 in every
layer, so h^l = u^l + gamma_0 gt^l k^l with k^l = c^{l-1} + int H^{l-1} Delta ds. There c^l = rho
k^l is the response to what feedback and weights share, and H^l = K^x + g sum_{j<=l} k^j k^j^T.
Hence k^{l+1} = rho k^l + K^x eta + g sum_{j<=l} k^j int k^j . Delta ds, which makes every k^l a
multiple kappa_l(q) of K^x eta, since dq = (K^x eta) . Delta dt.
"""

from collections.abc import Sequence
from typing import Any

Polynomial = list[Any]  # coefficients, the constant first; of floats, fractions or traced numbers


def kappas(hidden: int, rho: Any, g: Any) -> list[Polynomial]:
    """[kappa_1, ..., kappa_{L+1}] for `hidden` = L >= 0 layers, in the arithmetic of `rho`, `g`."""
    if hidden < 0:
        raise ValueError(f"Argument `hidden` must be >= 0, but is {hidden}.")
    one, pulled = rho * 0 + 1, [rho * 0]  # pulled: sum_j m_j kappa_j
    found: list[Polynomial] = [[one]]
    for _ in range(hidden):
        last = found[-1]
        pulled = _sum(pulled, product(integral(last), last))
        found.append(_sum([one], _sum([rho * c for c in last], [g * c for c in pulled])))
    return found


def integral(polynomial: Polynomial) -> Polynomial:
    """int_0^q of it."""
    first = polynomial[0]
    return [first * 0, *(c / n for n, c in enumerate(polynomial, start=1))]


def product(one: Polynomial, other: Polynomial) -> Polynomial:
    """Of two polynomials, coefficient by coefficient."""
    found = [one[0] * 0] * (len(one) + len(other) - 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            found[i + j] = found[i + j] + a * b
    return found


def alignments(kappa: Sequence[Any], m: Sequence[Any], rho: Any, g: Any) -> list[Any]:
    """[Gt^1, ..., Gt^{L+1}] of the values m_1..m_L: Gt^{L+1} = 1,
    Gt^l = rho Gt^{l+1} + g m_l sum_{j>l} Gt^j."""
    found = [kappa[0] * 0 + 1]
    for pull in reversed(m):
        found.insert(0, rho * found[0] + g * pull * sum(found[1:], start=found[0]))
    return found


def _sum(one: Polynomial, other: Polynomial) -> Polynomial:
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return [a + b for a, b in zip(longer, shorter, strict=False)] + longer[len(shorter) :]

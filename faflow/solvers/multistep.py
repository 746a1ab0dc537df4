"""Multistep methods by their options; `flow.multistep` steps them."""

from typing import Literal

import equinox as eqx

LARGEST_DENSE = 1000  # weights up to which a factored Jacobian beats products with it


class BDF(eqx.Module):
    """Backward differentiation in variable steps and orders 1 to 5 (Shampine & Reichelt 1997).

    `linear`: "dense" takes the Jacobian and factors it, "krylov" only multiplies by it (GMRES),
    "auto" chooses by the number of weights. `drift`: the factor of 1 - c J serves until c has
    changed by this share. `keep`: when it is renewed, the Jacobian is too if it has served for
    more than this many steps.
    """

    linear: Literal["auto", "dense", "krylov"] = eqx.field(static=True, default="auto")
    drift: float = 0.25
    keep: int = 20

    def is_dense(self, size: int) -> bool:
        return self.linear == "dense" or (self.linear == "auto" and size <= LARGEST_DENSE)

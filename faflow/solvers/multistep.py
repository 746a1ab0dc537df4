"""Multistep methods by their options; `flow.multistep` steps them."""

from typing import Literal

import equinox as eqx

Linear = Literal["auto", "dense", "krylov"]
SMALL = 128  # weights up to which a Jacobian costs less than the products it saves
LARGE = 1500  # weights above which factors cost more than they can save


class Adams(eqx.Module):
    """Adams' methods in variable steps and orders 1 to 12 (`solvers.adams`)."""


class BDF(eqx.Module):
    """Backward differentiation in variable steps and orders 1 to 5 (Shampine & Reichelt 1997).

    `linear`: "dense" takes the Jacobian and factors 1 - c J, "krylov" only multiplies by it
    (GMRES). "auto" multiplies until GMRES needs more than `strained` products per system on
    average, and factors from there on; up to SMALL weights it factors at once, above LARGE never,
    and between them at once where `flow` counts that to be cheaper.
    `drift`: a factor serves until c has changed by this share. `keep`: when the factor is renewed,
    so is a Jacobian that has served for more than this many steps.
    """

    linear: Linear = eqx.field(static=True, default="auto")
    drift: float = 0.1
    keep: int = 40
    strained: float = 20.0

    def starts_dense(self, size: int) -> bool:
        return self.linear == "dense" or (self.linear == "auto" and size <= SMALL)

    def may_be_dense(self, size: int) -> bool:
        return self.linear == "dense" or (self.linear == "auto" and size <= LARGE)

"""The limit of infinite width: its kernels and outputs, errors, and finite networks beside it."""

from .measure import WIDE as WIDE

"""Infinite width: alignment, movement, kernels over time, and finite networks beside the limit."""

from .kernels import wide_kernel_panels as wide_kernel_panels
from .numbers import wide_panels as wide_panels

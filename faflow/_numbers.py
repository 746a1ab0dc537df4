"""What readers of stored results take, who load no JAX."""

from typing import Any

Numbers = Any  # whatever numpy makes an array of: arrays, JAX's too, lists, a number
Values = Any  # of a law: an array over layers, or one per layer

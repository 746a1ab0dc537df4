"""The summary's numbers, as JSON has them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

SCHEMA = 1  # of `summary.json`


def plain(value: Any) -> Any:
    """JSON's types only: arrays as lists, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "__array__"):  # NumPy's and JAX's
        return plain(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

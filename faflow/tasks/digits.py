"""Handwritten digits, 8 x 8 pixels (UCI, as shipped by scikit-learn)."""

from collections.abc import Sequence

import numpy as np

from ._host import Key, Raw, require
from .selection import select


def digits(
    *,
    key: Key,
    samples: int | None = None,
    classes: Sequence[int] | None = None,
    target: str = "one-hot",
    balanced: bool = True,
    image: bool = False,
) -> Raw:
    """1,797 images, X (samples, 64) in [0, 1] (grey values / 16), labels 0 to 9.

    target: "one-hot" (samples, classes, in the order given), "sign" (two classes: the first is -1,
    the second +1) or "value" (the digit as a number). `samples` rows are drawn from `key`, equally
    many per class if `balanced`. `image`: X is (samples, 1, 8, 8), the same pixels. Source:
    Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits", through
    `sklearn.datasets.load_digits` (offline).
    ValueError if a class does not exist or there are fewer rows than asked for.
    """
    images, labels = require("sklearn.datasets", "scikit-learn").load_digits(return_X_y=True)
    x = np.asarray(images, np.float64) / 16
    return select(
        x.reshape(-1, 1, 8, 8) if image else x,
        labels,
        key=key,
        samples=samples,
        classes=classes,
        target=target,
        balanced=balanced,
    )

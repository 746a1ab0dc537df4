"""Which rows of a real data set are used, and how labels become targets."""

from collections.abc import Sequence

import numpy as np

from ._host import Key, Raw, generators, lookup, positive

MOST_COUNTED = 10_000  # classes, where only the labels tell how many


def select(
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    key: Key,
    samples: int | None,
    classes: Sequence[int] | None,
    target: str,
    balanced: bool,
) -> Raw:
    """Rows of the wanted classes with targets by a name in CLASS_TARGETS.

    `samples` = None keeps every row in the data set's order; otherwise rows are drawn without
    repetition, equally many per class if `balanced` (the first classes get one more where the
    numbers do not divide), and shuffled. ValueError if a class does not exist or is listed twice,
    or if there are fewer rows than asked for.
    """
    wanted = _wanted_classes(labels, classes)
    encode = lookup("target", target, CLASS_TARGETS)
    (rng,) = generators(key, 1)
    pools = [np.flatnonzero(labels == label) for label in wanted]
    if samples is None:
        chosen = np.sort(np.concatenate(pools))
    elif balanced:
        chosen = rng.permutation(_draw_balanced(rng, pools, wanted, samples))
    else:
        chosen = draw_rows(rng, np.concatenate(pools), samples)
    return inputs[chosen], encode(labels[chosen], wanted)


def draw_rows(rng: np.random.Generator, pool: np.ndarray, samples: int) -> np.ndarray:
    """`samples` entries of `pool` without repetition, in random order."""
    if positive("samples", samples) > len(pool):
        raise ValueError(
            f"Argument `samples` must be at most {len(pool)}, the rows there are, but is {samples}."
        )
    return rng.permutation(pool)[:samples]


def _wanted_classes(labels: np.ndarray, classes: Sequence[int] | None) -> list[int]:
    present = sorted({int(label) for label in labels})
    if classes is None:
        return present
    wanted = list(classes)
    if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(present):
        raise ValueError(
            f"Argument `classes` must list distinct classes out of {present}, but is {wanted}."
        )
    return wanted


def _draw_balanced(
    rng: np.random.Generator, pools: list[np.ndarray], wanted: list[int], samples: int
) -> np.ndarray:
    share, extra = divmod(positive("samples", samples), len(pools))
    counts = [share + (position < extra) for position in range(len(pools))]
    for label, pool, count in zip(wanted, pools, counts, strict=True):
        if count > len(pool):
            raise ValueError(
                f"Argument `samples` = {samples} needs {count} rows of class {label}, but there "
                f"are {len(pool)}; ask for fewer or set balanced = false."
            )
    draws = [rng.permutation(pool)[:n] for pool, n in zip(pools, counts, strict=True)]
    return np.concatenate(draws)


def are_labels(targets: np.ndarray) -> bool:
    """Whether targets (samples, outputs) are one column of whole numbers."""
    return targets.shape[1:] == (1,) and bool(np.all(targets == np.round(targets)))


def encoded(
    targets: np.ndarray, classes: int | None, outputs: int | None, counted: bool
) -> tuple[np.ndarray, list[int] | None]:
    """Targets with labels as one-hot rows, and the label of every column; as they are, and None,
    where they are no labels.

    Labels are whole numbers of any shape (samples, ...) where `classes` says so, one column of them
    where the network has several `outputs`; and, if nothing says how many there are and they are
    `counted`, 0 to the largest, where they can't be probabilities, signs or several hot ones.
    ValueError if they do not fit.
    """
    labels = targets[..., 0] if targets.shape[-1] == 1 else targets
    fractions = np.argwhere(labels != np.round(labels))
    if classes is not None:
        if len(fractions):
            at = tuple(int(i) for i in fractions[0])
            raise ValueError(
                f"Argument `targets` must be labels (whole numbers) for {classes} classes, but is "
                f"{labels[at]} at {list(at)}; leave `classes` out for targets that are numbers."
            )
        return one_hot(labels, classes, f"`classes` is {classes}")
    if outputs is not None:
        column = outputs > 1 and are_labels(targets)
        return one_hot(targets[:, 0], outputs) if column else (targets, None)
    if not counted or len(fractions) or labels.min() < 0 or _said_otherwise(targets):
        return targets, None
    largest = int(labels.max())
    if largest >= MOST_COUNTED:
        raise ValueError(
            f"Argument `targets` holds the label {largest}, which would make {largest + 1} "
            "classes; number the labels from 0, or say how many there are (`classes`)."
        )
    return one_hot(labels, largest + 1)


def _said_otherwise(targets: np.ndarray) -> bool:
    """Whether whole numbers >= 0 are what cross-entropy takes as they are, or several hot ones."""
    return bool(targets.max() <= (0 if targets.shape[-1] == 1 else 1)) or bool(np.all(targets == 1))


def one_hot(labels: np.ndarray, outputs: int, said: str = "") -> tuple[np.ndarray, list[int]]:
    """One-hot rows (samples, ..., outputs) of labels (samples, ...), and the label of every
    column: 0, 1, ... if the labels are among these, else the labels that there are, in order.

    ValueError if there are more or fewer of them than `outputs`, which `said` says.
    """
    found = [int(label) for label in np.unique(labels)]
    classes = list(range(outputs)) if set(found) <= set(range(outputs)) else found
    if len(classes) != outputs:
        listed = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
        raise ValueError(
            f"Argument `targets` holds {len(found)} labels ({listed}), but "
            f"{said or f'the network has {outputs} outputs'}; make it one per class, or number the "
            "labels from 0."
        )
    return _one_hot(labels.astype(int), classes), classes


def _one_hot(labels: np.ndarray, classes: list[int]) -> np.ndarray:
    return (labels[..., None] == np.array(classes)).astype(np.float64)


def _sign(labels: np.ndarray, classes: list[int]) -> np.ndarray:
    if len(classes) != 2:
        raise ValueError(
            f"Argument `target` = 'sign' needs exactly two classes, but there are {len(classes)}; "
            "set classes = [first, second] (first becomes -1, second +1)."
        )
    return np.where(labels == classes[1], 1.0, -1.0)[:, None]


def _value(labels: np.ndarray, classes: list[int]) -> np.ndarray:
    return labels.astype(np.float64)[:, None]


CLASS_TARGETS = {"one-hot": _one_hot, "sign": _sign, "value": _value}

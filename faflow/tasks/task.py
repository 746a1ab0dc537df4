"""From a task's name and options to data: draw, preprocess, label, check."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ._host import Key, Raw, Real, lookup, numerical_rank, one_of
from .arrays import arrays
from .data import Data, check_arrays, make_data, real_matrix
from .diabetes import diabetes
from .digits import digits
from .factorisation import (
    matrix_factorisation,
    near_identity_factorisation,
    separating_factorisation,
)
from .gaussian import gaussian
from .losses import AbstractLoss
from .mnist import mnist
from .preprocess import preprocess
from .selection import are_labels, one_hot
from .teacher import Teacher, TeacherLabels, teacher

TASKS: dict[str, Callable[..., Raw]] = {
    "gaussian": gaussian,
    "teacher": teacher,
    "matrix-factorisation": matrix_factorisation,
    "separating-factorisation": separating_factorisation,
    "near-identity-factorisation": near_identity_factorisation,
    "digits": digits,
    "diabetes": diabetes,
    "mnist": mnist,
    "arrays": arrays,
}

_SHOWN_SINGULAR_VALUES = 8


class Task(NamedTuple):
    """Data with its name and the plain numbers worth printing.

    `facts`: samples, features, outputs; rank, singular_largest, singular_smallest (of the
    min(samples, features) singular values of X), condition (largest over smallest non-zero, absent
    for X = 0); target_rank and target_spectrum (the largest singular values of Y); labels (of the
    one-hot columns, where Y was labels); dropped_features if standardised. `teacher`: what labelled
    the inputs, if a network did. `preparation`: which options of `make_task` changed the inputs.
    """

    data: Data
    name: str
    facts: dict[str, float | int | str]
    teacher: Teacher | None = None
    preparation: tuple[str, ...] = ()


def make_task(
    kind: str | Callable[..., Raw],
    *,
    key: Key,
    loss: str | AbstractLoss = "squared",
    reduction: str = "sum",
    standardise: bool = False,
    whiten: str = "none",
    scale: Real = 1.0,
    labels_for: int | None = None,
    **options: Any,
) -> Task:
    """Draw a task and prepare it: X -> scale * whiten(standardise(X)), in numpy float64.

    `kind` is a name in TASKS or a function `kind(*, key, **options) -> (X, Y)` of numpy arrays,
    where Y may be a function of the prepared X. `labels_for`: how many outputs the network has; if
    they are several and Y is one column of whole numbers, these are labels and become one-hot rows.
    The rest: `make_data`, `preprocess`, and the kind's own docstring for `options`. ValueError in
    one line for a bad name or value.
    """
    draw = lookup("kind", kind, TASKS) if isinstance(kind, str) else kind
    name = kind if isinstance(kind, str) else _name_of(kind)
    _check_options(name, draw, options)
    raw, targets = draw(key=key, **options)
    x = real_matrix("inputs", raw)
    x, dropped = preprocess(x, standardise=standardise, whiten=whiten, scale=scale)
    known = targets.teacher if isinstance(targets, TeacherLabels) else None
    x, y = check_arrays(x, targets(x) if callable(targets) else targets)
    if labels_for is not None and labels_for > 1 and are_labels(y):
        y, classes = one_hot(y[:, 0], labels_for)
        dropped |= {"labels": ", ".join(map(str, classes))}
    data = make_data(x, y, loss, reduction)
    asked = {"standardise": standardise, "whiten": whiten != "none", "scale": scale != 1}
    prepared = tuple(option for option, changes in asked.items() if changes)
    return Task(data, name, {**task_facts(x, y), **dropped}, known, prepared)


def task_facts(inputs: np.ndarray, targets: np.ndarray) -> dict[str, float | int | str]:
    """The facts of a task: sizes, rank and singular values of two matrices (see `Task`)."""
    of_x = np.linalg.svd(inputs, compute_uv=False)
    of_y = np.linalg.svd(targets, compute_uv=False)
    rank = numerical_rank(of_x, inputs.shape)
    facts: dict[str, float | int | str] = {
        "samples": inputs.shape[0],
        "features": inputs.shape[1],
        "outputs": targets.shape[1],
        "rank": rank,
        "singular_largest": float(of_x[0]),
        "singular_smallest": float(of_x[-1]),
        "target_rank": numerical_rank(of_y, targets.shape),
        "target_spectrum": _shorten(of_y),
    }
    if rank:
        facts["condition"] = float(of_x[0] / of_x[rank - 1])
    return facts


def _shorten(singular: np.ndarray) -> str:
    shown = ", ".join(f"{value:.6g}" for value in singular[:_SHOWN_SINGULAR_VALUES])
    return shown if len(singular) <= _SHOWN_SINGULAR_VALUES else f"{shown}, ..."


def _name_of(kind: Callable[..., Raw]) -> str:
    function = getattr(kind, "func", kind)
    return getattr(function, "__name__", type(function).__name__).replace("_", "-")


def _check_options(name: str, draw: Callable[..., Raw], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(draw).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [option for option in parameters if option != "key"]
    for option in options:
        if option not in known:
            raise ValueError(f"Task '{name}': an option must be {one_of(option, known)}.")
    for option in known:
        if parameters[option].default is inspect.Parameter.empty and option not in options:
            raise ValueError(f"Task '{name}': option `{option}` must be given, but is missing.")

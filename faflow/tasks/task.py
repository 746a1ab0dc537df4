"""From a task's name and options to data: draw, preprocess, label, check."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ._host import Drawn, Key, Raw, Real, lookup, numerical_rank, one_of
from .arrays import arrays
from .data import Data, check_arrays, make_data, real_samples
from .diabetes import diabetes
from .digits import digits
from .factorisation import (
    matrix_factorisation,
    near_identity_factorisation,
    separating_factorisation,
)
from .gaussian import gaussian
from .in_context import in_context_regression
from .losses import LOSSES, AbstractLoss, CrossEntropy
from .mnist import mnist
from .modular import modular_addition
from .preprocess import preprocess
from .selection import encoded
from .signals import signals
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
    "signals": signals,
    "in-context-regression": in_context_regression,
    "modular-addition": modular_addition,
    "arrays": arrays,
}

_SHOWN_SINGULAR_VALUES = 8


class Task(NamedTuple):
    """Data with its name and the plain numbers worth printing.

    `facts`: samples, features, outputs; rank, singular_largest, singular_smallest (of the
    min(samples, features) singular values of X), condition (largest over smallest non-zero, absent
    for X = 0); target_rank and target_spectrum (the largest singular values of Y); labels (of the
    one-hot columns, where Y was labels); dropped_features if standardised; sample_shape and
    target_shape where these are no vectors (X and Y are flattened for the others); tokens, how many
    there are, instead of what X is as a matrix; total_weight of weighted samples; what the kind has
    besides, of the inputs before they were prepared. `teacher`: what labelled
    the inputs, if a network did. `preparation`: which options of `make_task` changed the inputs.
    """

    data: Data
    name: str
    facts: dict[str, float | int | str]
    teacher: Teacher | None = None
    preparation: tuple[str, ...] = ()
    test: Data | None = None


def held_out(task: Task, count: int, reduction: str = "sum") -> Task:
    """The task without its last `count` samples, which become its `test`. ValueError if none would
    be left, or if samples have weights."""
    data, samples = task.data, task.data.inputs.shape[0]
    if not 0 < count < samples:
        raise ValueError(
            f"Argument `test` must leave samples to learn from, but is {count} of {samples}; "
            f"lower it to at most {samples - 1}."
        )
    if data.sample_weights is not None:
        raise ValueError("Argument `test` must be 0 where samples have weights; leave it out.")
    x, y = np.asarray(data.inputs), np.asarray(data.targets)
    tokens = "tokens" in task.facts
    learned, test = (
        make_data(x[part], y[part], data.loss, reduction, tokens=tokens)
        for part in (slice(None, -count), slice(-count, None))
    )
    facts = {**task.facts, **task_facts(x[:-count], y[:-count], tokens), "test_samples": count}
    return task._replace(data=learned, facts=facts, test=test)


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
    where Y may be a function of the prepared X, or -> `Drawn`. `labels_for`: how many outputs the
    network has; if they are several and Y is one column of whole numbers, these are labels and
    become one-hot rows. Tokens can't be prepared.
    The rest: `make_data`, `preprocess`, and the kind's own docstring for `options`. ValueError in
    one line for a bad name or value.
    """
    draw = lookup("kind", kind, TASKS) if isinstance(kind, str) else kind
    name = kind if isinstance(kind, str) else _name_of(kind)
    _check_options(name, draw, options)
    raw, targets, *more = draw(key=key, **options)
    drawn = Drawn(raw, targets, *more)
    x = real_samples("inputs", raw)
    asked = {"standardise": standardise, "whiten": whiten != "none", "scale": scale != 1}
    prepared = tuple(option for option, changes in asked.items() if changes)
    if drawn.tokens and prepared:
        raise ValueError(
            f"Argument `{prepared[0]}` changes numbers, but the inputs are tokens; leave it out."
        )
    x, found = preprocess(x, standardise=standardise, whiten=whiten, scale=scale)
    known = targets.teacher if isinstance(targets, TeacherLabels) else None
    x, y = check_arrays(x, targets(x) if callable(targets) else targets)
    rule = lookup("loss", loss, LOSSES)() if isinstance(loss, str) else loss
    counted = drawn.labels and isinstance(rule, CrossEntropy)
    y, classes = encoded(y, drawn.classes, labels_for, counted)
    facts = {**task_facts(x, y, drawn.tokens), **found, **drawn.facts}
    if classes is not None:
        facts["labels"] = ", ".join(map(str, classes))
    if drawn.weights is not None:
        facts["total_weight"] = float(np.sum(drawn.weights))
    data = make_data(x, y, rule, reduction, tokens=drawn.tokens, sample_weights=drawn.weights)
    task = Task(data, name, facts, known, prepared)
    return held_out(task, drawn.test, reduction) if drawn.test else task


def task_facts(
    inputs: np.ndarray, targets: np.ndarray, tokens: bool = False
) -> dict[str, float | int | str]:
    """The facts of a task: sizes, rank and singular values of X and Y as matrices (see `Task`)."""
    x, y = inputs.reshape(len(inputs), -1), targets.reshape(len(targets), -1)
    facts: dict[str, float | int | str] = {
        "samples": x.shape[0],
        "features": x.shape[1],
        "outputs": targets.shape[-1],
    }
    for name, array in (("sample_shape", inputs), ("target_shape", targets)):
        if array.ndim > 2:
            facts[name] = " x ".join(map(str, array.shape[1:]))
    if tokens:
        facts["tokens"] = int(x.max()) + 1
    else:
        facts |= _matrix_facts(x)
    of_y = np.linalg.svd(y, compute_uv=False)
    return facts | {
        "target_rank": numerical_rank(of_y, y.shape),
        "target_spectrum": _shorten(of_y),
    }


def _matrix_facts(x: np.ndarray) -> dict[str, float | int | str]:
    singular = np.linalg.svd(x, compute_uv=False)
    rank = numerical_rank(singular, x.shape)
    facts: dict[str, float | int | str] = {
        "rank": rank,
        "singular_largest": float(singular[0]),
        "singular_smallest": float(singular[-1]),
    }
    if rank:
        facts["condition"] = float(singular[0] / singular[rank - 1])
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

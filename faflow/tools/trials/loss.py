"""A loss: its gradient, and whether it is convex."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...config.errors import told
from ...tasks import AbstractLoss
from .finding import CLOSE, SAMPLES, Finding, distance, is_finite, normal_numbers, shape_text, tried

OUTPUTS = 3
TARGETS: dict[str, Callable[[], np.ndarray]] = {
    "numbers": lambda: np.asarray(normal_numbers(5, SAMPLES, OUTPUTS)),
    "one-hot labels": lambda: np.eye(OUTPUTS)[np.arange(SAMPLES) % OUTPUTS],
    "signs": lambda: np.sign(np.asarray(normal_numbers(5, SAMPLES, 1))),
}


def try_loss(loss: AbstractLoss) -> list[Finding]:
    takes, refused = [], []
    for name, make in TARGETS.items():
        try:
            loss.check(make())
            takes.append(name)
        except ValueError as error:
            refused.append(f"{name}: {told(error)}")
        except (Exception, SystemExit) as error:
            return [Finding("targets", f"check raised {told(error)} for {name}", False)]
    if not takes:
        return [Finding("targets", f"none is taken ({refused[0]})", False)]
    target = jnp.asarray(TARGETS[takes[0]]())
    outputs = normal_numbers(6, *target.shape)
    looks: dict[str, Any] = {
        "shapes": _shapes, "gradient": _gradient, "convex": _convex, "places": _places,
    }  # fmt: skip
    found = [
        tried(what, lambda look=look: look(loss, outputs, target)) for what, look in looks.items()
    ]
    return [Finding("targets", f"takes {', '.join(takes)}"), *found]


def _shapes(loss: AbstractLoss, outputs: jax.Array, target: jax.Array) -> Finding:
    value, error = loss.value(outputs, target), loss.error(outputs, target)
    fit = getattr(value, "shape", None) == target.shape[:1]
    fit = fit and getattr(error, "shape", None) == target.shape and is_finite((value, error))
    told = f"value {shape_text(value)}, error {shape_text(error)}, for outputs {shape_text(target)}"
    return Finding("shapes", told, fit)


def _gradient(loss: AbstractLoss, outputs: jax.Array, target: jax.Array) -> Finding:
    truth = jax.jit(jax.grad(lambda f: jnp.sum(loss.value(f, target))))(outputs)
    away = distance(jax.jit(loss.error)(outputs, target), truth)
    return Finding("gradient", f"error is {away:.1e} from the derivative of value", away < CLOSE)


def _convex(loss: AbstractLoss, outputs: jax.Array, target: jax.Array) -> Finding:
    """In the outputs of a sample, at 3 scales of these; nothing claims it."""
    one = lambda f, y: loss.value(f[None], y[None])[0]  # noqa: E731
    second = jax.jit(jax.vmap(jax.hessian(one)))
    least = min(
        float(np.linalg.eigvalsh(np.asarray(second(s * outputs, target))).min())
        for s in (0.1, 1.0, 10.0)
    )
    what = "convex where it was tried" if least > -CLOSE else "not convex"
    return Finding("convex", f"{what}: smallest second derivative {least:.2g}")


def _places(loss: AbstractLoss, outputs: jax.Array, target: jax.Array) -> Finding:
    """Targets at two places of a sequence: their sum."""
    both = jnp.stack([outputs, 2 * outputs], 1), jnp.stack([target, target], 1)
    alone = loss.value(outputs, target) + loss.value(2 * outputs, target)
    try:
        value = loss.value(*both)
        holds = value.shape == alone.shape and distance(value, alone) < CLOSE
    except Exception:  # of whatever kind: it is not asked for
        holds = False
    return Finding(
        "places", "served" if holds else "targets at places of a sequence are not served"
    )

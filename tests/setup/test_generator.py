"""One seed is one experiment: whatever JAX's settings, and in float32 the same numbers, rounded."""

from contextlib import contextmanager
from functools import cache

import jax
import numpy as np
import pytest

from faflow.config.resolve import resolve_path
from faflow.measures.experiment import build
from faflow.setup.programs import in_precision
from faflow.setup.weights import INIT

TABLE = {
    "name": "seeded",
    "seed": 3,
    "network": {"widths": [3, 4, 2], "activation": "tanh", "bias": True, "bias_scale": 0.5},
    "task": {"kind": "gaussian", "samples": 5, "features": 3, "outputs": 2},
    "rule": {"kind": "feedback-alignment"},
    "flow": {"t1": 1.0, "saves": 2},
    "observe": {"names": ["loss"]},
}
INITS = ("gaussian", "orthogonal", "mean-field", "balanced", "feedback", "data-span")


@contextmanager
def seed_offset(value: int):
    before = jax.config.jax_random_seed_offset
    jax.config.update("jax_random_seed_offset", value)
    try:
        yield
    finally:
        jax.config.update("jax_random_seed_offset", before)


SETTINGS = {
    "offset": lambda: seed_offset(7),
    "generator": lambda: jax.default_prng_impl("rbg"),
    "partitionable": lambda: jax.threefry_partitionable(False),
}


def sections_of(kind: str) -> dict[str, dict]:
    activation = "relu" if kind == "gated" else "tanh"
    network = {**TABLE["network"], "kind": kind, "activation": activation}
    return {"network": network, "init": {"kind": "orthogonal" if kind == "mlp" else "gaussian"}}


def drawn(**sections) -> list[np.ndarray]:
    """All numbers that a config's flow starts from, the gates of a gated net among them."""
    experiment = build(resolve_path({**TABLE, **sections}))
    problem = experiment.problem
    found = [problem.weights, problem.feedback, problem.data.inputs, problem.data.targets]
    gates = problem.weights.trace(problem.data.inputs).slopes
    return [np.asarray(leaf) for leaf in jax.tree.leaves((found, gates))]


@cache
def drawn_plainly(kind: str) -> list[np.ndarray]:
    return drawn(**sections_of(kind))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", ["mlp", "gated"])
def test_no_setting_of_jax_changes_a_draw(setting: str, kind: str) -> None:
    plain = drawn_plainly(kind)
    with SETTINGS[setting]():
        changed = drawn(**sections_of(kind))
    assert len(plain) == len(changed)
    for before, after in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(before, after)


def test_draws_are_those_of_jax_as_it_comes() -> None:
    """By JAX's own functions, or every stored result would be one of other weights."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), INIT), 0)
    first = build(resolve_path(TABLE)).problem.weights.weights[0]
    expected = jax.random.normal(key, (4, 3)) / 3**0.5
    np.testing.assert_array_equal(first, expected)
    key = jax.random.fold_in(jax.random.key(3), 1)
    network = {**TABLE["network"], "kind": "gated", "activation": "relu", "bias": False}
    problem = build(resolve_path({**TABLE, "network": network})).problem
    mix = jax.random.normal(key, (3, 4))
    gates = problem.weights.trace(problem.data.inputs).slopes[0]
    np.testing.assert_array_equal(gates, np.asarray(problem.data.inputs @ mix > 0, float))


@pytest.mark.parametrize("init", INITS)
def test_float32_draws_the_numbers_of_float64_rounded(init: str) -> None:
    network = {**TABLE["network"], "bias": init != "balanced"}
    exact = drawn(init={"kind": init}, network=network)
    with in_precision("float32"):
        single = drawn(init={"kind": init}, network=network, precision="float32")
    for one, other in zip(exact, single, strict=True):
        assert other.dtype == np.float32
        # Those made from feedback and data that are rounded themselves differ in their last digit.
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7)


def test_gates_are_the_same_in_float32() -> None:
    network = {**TABLE["network"], "kind": "gated", "activation": "relu"}
    exact = drawn(network=network)
    with in_precision("float32"):
        single = drawn(network=network, precision="float32")
    for one, other in zip(exact, single, strict=True):
        np.testing.assert_array_equal(other, one.astype(np.float32))

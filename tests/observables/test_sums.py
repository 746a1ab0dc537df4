"""Sums of several arrays, side by side or one by one: numpy's of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback
from faflow.networks import MLP
from faflow.observables import Norms, alignment_table, sums
from faflow.tasks import make_data

SHAPES = [(3, 2), (4, 3), (1, 4)]  # of a network


@pytest.mark.parametrize("small", [2**16, 0])  # all of one matrix, each of its own
def test_arrays_of_different_sizes(monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    monkeypatch.setattr(sums, "SMALL", small)
    rng = np.random.default_rng(3)
    first, second = ([rng.standard_normal(shape) for shape in SHAPES] for _ in range(2))
    second[1] = np.zeros(SHAPES[1])  # no direction, so no angle: zeros behind others tell nothing

    found = jax.jit(alignment_table)([*map(jnp.asarray, first)], [*map(jnp.asarray, second)])
    inner = np.array([np.sum(a * b) for a, b in zip(first, second, strict=True)])
    lengths = np.array([[np.linalg.norm(a) for a in some] for some in (first, second)])
    cosine = inner[[0, 2]] / np.prod(lengths, axis=0)[[0, 2]]
    np.testing.assert_allclose(found["inner"], inner, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(found["cosine"][np.array([0, 2])], cosine, rtol=1e-13)
    np.testing.assert_allclose(
        found["degrees"][np.array([0, 2])], np.degrees(np.arccos(cosine)), rtol=1e-12
    )
    assert np.isnan(found["cosine"][1]) and np.isnan(found["degrees"][1])

    network = MLP(tuple(map(jnp.asarray, first)))
    data = make_data(jnp.zeros((1, 2)), jnp.zeros((1, 1)))
    norms = Norms()(network, Feedback((), "none"), data)
    np.testing.assert_allclose(norms, lengths[0], rtol=1e-14)

"""NumPy moves data as JAX's programs do, bit for bit, and leaves the rest to them."""

import eager
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import compiler

TYPES = (np.float64, np.float32, np.int64, np.int32, np.uint32, bool)


def moved(x):
    """All that is taken over, and some of what is not."""
    a = jnp.asarray(x)
    yield from (a, a.T, a.reshape(2, 6), a[None], jnp.squeeze(a[None]), jnp.expand_dims(a, 1))
    yield from (jnp.zeros((2, 3), a.dtype), jnp.full(5, a[0, 0]), jnp.broadcast_to(a, (2, 3, 4)))
    yield from (a.astype(kind) for kind in TYPES)
    yield from (jnp.asarray(1.0), jnp.asarray([1, 2.5]), jnp.asarray(x.ravel()[0]))
    yield from (jax.device_put(a, jax.devices()[0]).T, a.astype(jnp.bfloat16).T)
    with jax.enable_x64(False):
        yield from (jnp.asarray(x), jnp.zeros(3))
    yield jax.vmap(lambda row: jnp.zeros(4, row.dtype) + row)(a)


def about(array):
    return array.shape, array.dtype, array.weak_type, array.committed, array.sharding


@pytest.mark.parametrize("kind", TYPES)
def test_the_same_bits(kind):
    x = (3 * np.random.default_rng(0).normal(size=(3, 4))).astype(kind)
    if np.issubdtype(kind, np.floating):
        x[0] = np.nan, np.inf, -0.0, 1e-310
    with eager.left_to_jax():
        wanted = list(moved(x))
    for one, two in zip(moved(x), wanted, strict=True):
        assert about(one) == about(two)
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()


def test_by_no_program(monkeypatch):
    programs, compile_anew = [], compiler.backend_compile_and_load

    def noted(backend, module, *more):
        programs.append(module.operation.attributes["sym_name"].value)
        return compile_anew(backend, module, *more)

    monkeypatch.setattr(compiler, "backend_compile_and_load", noted)
    x = np.ones((7, 11, 13))  # a shape of this test alone
    move = lambda: jnp.asarray(x).reshape(77, 13)[None]  # noqa: E731
    move()
    assert programs == []
    with eager.left_to_jax():  # the control
        move()
    assert len(programs) == 3


def test_nothing_is_shared_with_the_array_that_was_given():
    x = np.ones((64, 64))
    taken = jnp.asarray(x)
    x[:] = 0
    assert float(taken.sum()) == 64 * 64

"""Kinks found in a model's program, against slopes on both sides of them, and their signs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.feedback import Feedback
from faflow.flow import FlowProblem, Numerics, integrate
from faflow.networks import MLP, Model, is_kinked, kink_signs
from faflow.networks.activations import LeakyReLU
from faflow.networks.models import CNN, ResNet, Transformer
from faflow.rules import Gradient
from faflow.tasks import make_data

KEY = jax.random.key(0)


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


class Unit(eqx.Module):
    """phi(w x), with a slope that moves as well."""

    weight: jax.Array
    slope: jax.Array
    phi: object = eqx.field(static=True)

    def __call__(self, x):
        return self.phi(self.weight @ x, self.slope)


def plain(phi):
    return lambda h, slope: phi(h) + 0 * slope


def guarded_root(h, slope):
    """A square root kept from what it can't take; smooth where it is used, and 0 with slope 0."""
    return jnp.where(h > 0, jnp.where(h > 0, h, 1.0) ** 2, 0.0) + 0 * slope


def normed(h, slope):
    return h / jnp.sqrt(jnp.maximum(0.0, jnp.var(h)) + 1.0) + 0 * slope


def looped(h, slope):
    return jax.lax.fori_loop(0, 2, lambda _, h: jax.nn.relu(h) - 0.5 * slope, h)


# The activation, and where its derivative jumps.
KINKED = {
    "relu": (plain(jax.nn.relu), [0.0]),
    "leaky_relu": (plain(jax.nn.leaky_relu), [0.0]),
    "abs": (plain(jnp.abs), [0.0]),
    "prelu": (lambda h, slope: jnp.where(h > 0, h, slope * h), [0.0]),
    "relu6": (plain(jax.nn.relu6), [0.0, 6.0]),
    "hard_tanh": (plain(jax.nn.hard_tanh), [-1.0, 1.0]),
    "clip": (plain(lambda h: jnp.clip(h, -1, 2)), [-1.0, 2.0]),
    "clamp": (plain(lambda h: jax.lax.clamp(-1.0, h, 2.0)), [-1.0, 2.0]),
    "hard_sigmoid": (plain(jax.nn.hard_sigmoid), [-3.0, 3.0]),
    "by hand": (plain(lambda h: jnp.where(h < 0.5, 0.5, h)), [0.5]),
    "shifted": (plain(lambda h: jax.nn.relu(h - 1.0)), [1.0]),
    "jitted": (plain(jax.jit(jax.checkpoint(jax.nn.leaky_relu))), [0.0]),
}
SMOOTH = {
    "tanh": plain(jnp.tanh),
    "softplus": plain(jax.nn.softplus),
    "gelu": plain(jax.nn.gelu),
    "silu": plain(jax.nn.silu),
    "elu": plain(jax.nn.elu),
    "softmax": plain(jax.nn.softmax),
    "square where": plain(lambda h: jnp.where(h > 0, h**2, 0.0)),
    "guarded": guarded_root,
    "normed": normed,
    "masked": plain(lambda h: jnp.where(jnp.arange(2) > 0, h, 0.0)),
    "stopped": plain(lambda h: h * jax.lax.stop_gradient(jax.nn.relu(h))),
}


def unit(phi):
    return Model(Unit(jnp.asarray(drawn(0, 2, 3)), jnp.asarray(0.3), phi))


@pytest.mark.parametrize("name", KINKED)
def test_kinks_are_seen_and_their_sides_told(name):
    phi, places = KINKED[name]
    model = unit(phi)
    inputs = 4 * drawn(1, 20, 3)
    assert is_kinked(model, inputs)
    slope = jax.jit(jax.grad(phi))
    for place in places:  # the oracle: slopes on both sides differ
        left, right = slope(place - 1e-6, 0.3), slope(place + 1e-6, 0.3)
        assert abs(left - right) > 0.1
    h = inputs @ np.asarray(model.module.weight).T
    expected = {tuple(np.ravel(h > place)) for place in places}
    flipped = {tuple(np.ravel(h < place)) for place in places}
    found = {tuple(np.ravel(signs)) for signs in jax.jit(kink_signs)(model, inputs)}
    assert len(found) == len(places)
    assert all(one in expected | flipped for one in found)


@pytest.mark.parametrize("name", SMOOTH)
def test_what_is_smooth_is_taken_for_it(name):
    model, inputs = unit(SMOOTH[name]), drawn(1, 3, 3)
    assert not is_kinked(model, inputs)
    assert jax.eval_shape(kink_signs, model, inputs) == ()


def test_loops_have_the_sides_of_every_turn():
    model, inputs = unit(looped), drawn(1, 4, 3)
    (signs,) = jax.jit(kink_signs)(model, inputs)
    h = inputs @ np.asarray(model.module.weight).T
    both = [h > 0, np.maximum(h, 0) - 0.15 > 0]
    np.testing.assert_array_equal(signs, np.concatenate(both, axis=1))


def test_shipped_models_are_kinked_just_where_they_have_kinks():
    image, sequence = np.zeros((2, 1, 4, 4)), np.zeros((2, 3, 3))
    options = {"key": KEY, "width": 4, "depth": 1, "hidden": 3, "norm": True}
    models = {
        False: [
            (CNN((1, 4, 4), 2, key=KEY, channels=(2,), activation="tanh"), image),
            (ResNet((1, 4, 4), 2, key=KEY, norm=True, activation="gelu"), image),
            (Transformer(3, 2, unit="swiglu", **options), sequence),
        ],
        True: [
            (CNN((1, 4, 4), 2, key=KEY, channels=(2,), activation="tanh", pooling="max"), image),
            (ResNet((1, 4, 4), 2, key=KEY, norm=True), image),
            (Transformer(3, 2, unit="relu", **options), sequence),
        ],
    }
    for kinked, given in models.items():
        assert [is_kinked(Model(net), inputs) for net, inputs in given] == [kinked] * 3
    signs = jax.eval_shape(kink_signs, Model(models[True][1][0]), image)
    assert [sign.shape for sign in signs] == [(2, 8 * 16)] * 4
    assert (
        jax.eval_shape(kink_signs, Model(models[True][0][0]), image) == ()
    )  # of pooling there are no sides


class Net(eqx.Module):
    layers: list[eqx.nn.Linear]
    batched: bool = eqx.field(static=True, default=False)

    def __call__(self, x):
        first, second = self.layers
        act = lambda h: jax.nn.leaky_relu(h, 0.1)  # noqa: E731
        if self.batched:
            return jax.vmap(second)(act(jax.vmap(first)(x)))
        return second(act(first(x)))


@pytest.mark.parametrize("batched", [False, True])
def test_a_flow_counts_the_kinks_of_a_model_as_those_of_an_mlp(batched):
    keys = jax.random.split(KEY)
    layers = [eqx.nn.Linear(3, 4, key=keys[0]), eqx.nn.Linear(4, 2, key=keys[1])]
    weights = tuple(layer.weight for layer in layers), tuple(layer.bias for layer in layers)
    data = make_data(drawn(1, 6, 3), 3 * drawn(2, 6, 2))
    found = [
        integrate(
            FlowProblem(Gradient(), net, Feedback(), data),
            np.array([0.0, 3.0]),
            {},
            Numerics(solver="heun", step=0.01),
        ).kinks
        for net in (Net(layers, batched), MLP(*weights, LeakyReLU(0.1)))
    ]
    assert int(found[1].changes.sum()) > 0
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)

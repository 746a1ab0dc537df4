"""Convolutions as matrix products: against `lax.conv_general_dilated`, alone and in fields."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from user_nets import KEY, drawn, far, field_of

import faflow.networks.model
from faflow.feedback import Feedback, model_feedback
from faflow.feedback.draw import Gaussian
from faflow.flow import FlowProblem, Numerics, integrate, memory
from faflow.networks import Model, convolutions, is_kinked, kink_signs, patches_of, units_of
from faflow.networks.convolutions import by_products
from faflow.networks.marks import bodies
from faflow.networks.models import CNN, ResNet
from faflow.rules import FeedbackAlignment, Gradient
from faflow.tasks import make_data

NHWC = ("NHWC", "HWIO", "NHWC")
ODD = [(2, -1), (0, 3)]  # a negative padding cuts off
# Shapes of image and weight, strides, padding, and what else is asked.
TABLE = {
    "plain": ((3, 4, 7, 6), (5, 4, 3, 2), (1, 1), "SAME", {}),
    "strides": ((3, 4, 7, 6), (5, 4, 3, 3), (2, 3), "VALID", {}),
    "dilated": ((3, 4, 7, 6), (5, 4, 3, 2), (2, 1), ODD, {"rhs_dilation": (2, 1)}),
    "transposed": ((3, 4, 5, 4), (5, 4, 3, 3), (1, 1), ODD, {"lhs_dilation": (2, 3)}),
    "groups": ((3, 4, 7, 6), (6, 2, 3, 2), (1, 2), "SAME", {"feature_group_count": 2}),
    "depthwise": ((3, 4, 7, 6), (8, 1, 3, 3), (1, 1), "SAME", {"feature_group_count": 4}),
    "batch groups": ((6, 4, 7, 6), (9, 4, 3, 2), (1, 2), "SAME", {"batch_group_count": 3}),
    "channels last": ((3, 7, 6, 4), (3, 2, 4, 5), (1, 2), "SAME", {"dimension_numbers": NHWC}),
    "odd order": (
        (7, 3, 6, 4), (3, 2, 4, 5), (2, 1), ODD, {"dimension_numbers": ("HNWC", "HWIO", "WCNH")},
    ),
    "one direction": ((3, 4, 9), (5, 4, 4), (2,), "SAME", {}),
    "three directions": ((2, 3, 4, 5, 4), (2, 3, 3, 2, 3), (1, 1, 2), "SAME", {}),
    "no direction": ((3, 4), (2, 4), (), [], {}),
    "window of one": ((3, 4, 5, 5), (2, 4, 1, 1), (2, 2), "VALID", {}),
    "large window": ((2, 3, 9, 8), (4, 3, 6, 5), (1, 2), "SAME", {}),
    "window as large as the image": ((3, 2, 9, 8), (4, 2, 9, 8), (1, 1), "VALID", {}),
    "few outputs": ((3, 2, 9, 9), (4, 2, 8, 2), (1, 1), "VALID", {}),
    "few outputs, dilated": ((2, 2, 30), (3, 2, 9), (2,), "VALID", {"rhs_dilation": (3,)}),
    "complex": ((3, 4, 7, 6), (5, 4, 3, 2), (1, 1), "SAME", {}),
}  # fmt: skip


def names_in(jaxpr):
    found = [eqn.primitive.name for eqn in jaxpr.eqns]
    inside = [body for eqn in jaxpr.eqns for body in bodies(eqn)]
    return found + [name for body in inside for name in names_in(body)]


def count(function, *given):
    """Convolutions in a program, all its loops and branches included."""
    return names_in(jax.make_jaxpr(function)(*given).jaxpr).count("conv_general_dilated")


def by_both(case):
    """The convolution of the table by `lax`, by products, and what it is of."""
    of_image, of_weight, strides, padding, more = TABLE[case]
    image, weight = drawn(1, *of_image), drawn(2, *of_weight)
    if case == "complex":
        image, weight = image + 1j * drawn(3, *of_image), weight - 1j * drawn(4, *of_weight)

    def plain(x, w):
        return lax.conv_general_dilated(x, w, strides, padding, **more)

    def made(x, w):
        return by_products(lambda x: plain(x, w))(x)

    return plain, made, (image, weight)


@pytest.mark.parametrize("case", TABLE)
def test_a_convolution_by_products_is_that_of_lax(case):
    """Its value, its change along a direction, and what goes back through it."""
    plain, made, point = by_both(case)
    image, weight = point
    ways = tuple(np.cos(7.0 * x) for x in point)

    def all_of(function, *point):
        (value, change) = jax.jvp(function, point, ways)
        _, back = jax.vjp(function, *point)
        return value, change, *back(jnp.sin(value))

    def both(*point):
        return all_of(made, *point), all_of(plain, *point)

    assert count(plain, *point) == 1
    assert count(lambda *point: all_of(made, *point), *point) == 0
    run = jax.jit(both)
    results = run(*point)
    for found, expected in zip(*results, strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert far(found, expected) < 1e-13
    assert far(run(image, (1 + 1e-9) * weight)[0][0], results[1][0]) > 1e-10


def test_few_slices_are_cut():
    """Fewer than the window has places: as many as outputs, or direction after direction."""
    for image, window, slices in [((9, 9), (9, 9), 1), ((9, 9), (8, 2), 4), ((20, 20), (7, 6), 13)]:
        x, w = jnp.ones((2, 1, *image)), jnp.ones((1, 1, *window))
        conv = by_products(lambda x, w=w: lax.conv(x, w, (1, 1), "VALID"))
        assert names_in(jax.make_jaxpr(conv)(x).jaxpr).count("slice") == slices
    # What would be cut into more stays as it is.
    most = convolutions.MOST
    for window, left in ((most, 0), (most + 1, 1)):
        x, w = jnp.ones((2, 1, 3 * most)), jnp.ones((1, 1, window))
        assert count(by_products(lambda x, w=w: lax.conv(x, w, (1,), "VALID")), x) == left


KERNEL = jnp.asarray(drawn(5, 2, 2, 3))


def convolved(x):
    return lax.conv(x[None], KERNEL, (1,), "SAME")[0]


@jax.custom_jvp
def with_own_derivative(x):
    return convolved(x)


with_own_derivative.defjvp(lambda x, dx: (with_own_derivative(*x), 2.0 * dx[0]))

INSIDE = {
    "jit": jax.jit(convolved),
    "remat": jax.checkpoint(lambda x: jnp.tanh(convolved(x))),
    "scan": lambda x: lax.scan(lambda h, _: (jnp.tanh(convolved(h)), None), x, None, 3)[0],
    "while": lambda x: lax.while_loop(
        lambda h: h[0] < 3, lambda h: (h[0] + 1, jnp.tanh(convolved(h[1]))), (0, x)
    )[1],
    "cond": lambda x: lax.cond(x[0, 0] > 0, convolved, lambda x: 2.0 * convolved(x), x),
    "jit in scan": lambda x: lax.scan(lambda h, _: (jax.jit(convolved)(h), None), x, None, 2)[0],
    "vmap": lambda x: jax.vmap(convolved)(jnp.stack([x, 2.0 * x])),
    "custom_jvp": with_own_derivative,
}


@pytest.mark.parametrize("inside", INSIDE)
def test_convolutions_in_programs_within_programs(inside):
    function, x = INSIDE[inside], drawn(6, 2, 5)
    made = by_products(function)
    assert count(function, x) > 0 == count(made, x)
    way = np.cos(x)
    pairs = jax.jit(lambda *given: [jax.jvp(f, *given) for f in (made, function)])((x,), (way,))
    for found, expected in zip(*pairs, strict=True):
        assert far(found, expected) < 1e-13
    if inside == "custom_jvp":  # its own derivative, which is not the convolution's
        assert far(pairs[0][1], 2.0 * way) == 0.0


class Several(eqx.Module):
    """Layers of the user's: along one direction, with strides, dilated, in groups, by `jnp`."""

    first: eqx.nn.Conv1d
    second: eqx.nn.Conv1d
    third: jax.Array
    last: jax.Array

    def __init__(self):
        keys = jax.random.split(KEY, 4)
        self.first = eqx.nn.Conv1d(2, 4, 3, stride=2, padding=1, key=keys[0])
        self.second = eqx.nn.Conv1d(4, 6, 2, groups=2, dilation=2, key=keys[1])
        self.third = jax.random.normal(keys[2], (3,))
        self.last = jax.random.normal(keys[3], (2, 6))

    def __call__(self, x):
        x = jax.nn.relu(self.second(jnp.tanh(self.first(x))))
        x = jax.vmap(lambda row: jnp.convolve(row, self.third, mode="same"))(x)
        return self.last @ jnp.max(x, axis=1)


MODELS = {
    "cnn": (CNN((1, 6, 6), 2, key=KEY, channels=(2, 3), activation="tanh", bias=True), (1, 6, 6)),
    "resnet": (ResNet((1, 4, 4), 2, key=KEY, channels=2, hidden=2, depth=1), (1, 4, 4)),
    "several": (Several(), (2, 12)),
}


@pytest.fixture
def plainly(monkeypatch):
    """A call, from which on convolutions stay what they are. What is traced is forgotten."""

    def begin():
        jax.clear_caches()
        monkeypatch.setattr(faflow.networks.model, "by_products", lambda function: function)

    yield begin
    jax.clear_caches()


@pytest.mark.parametrize("name", MODELS)
def test_fields_kinks_and_places_of_feedback_are_those_of_the_convolutions(name, plainly):
    net, shape = MODELS[name]
    data = make_data(drawn(2, 3, *shape), drawn(3, 3, 2))

    def look():
        model = Model(net)
        back = model_feedback(Gaussian(), KEY, model, data.inputs)
        uses = [use._replace(operations=()) for use in model.program(data.inputs).uses]
        fields = [
            field_of(rule, model, of, data)
            for rule, of in ((FeedbackAlignment(), back), (Gradient(), Feedback()))
        ]
        signs = jax.jit(kink_signs)(model, data.inputs)
        return uses, is_kinked(model, data.inputs), list(map(np.asarray, signs)), *fields

    convolves = lambda: "conv_general_dilated" in str(Model(net).program(data.inputs).closed)  # noqa: E731
    uses, kinked, signs, *fields = look()
    assert not convolves()
    plainly()
    assert convolves()
    expected_uses, expected_kinked, expected_signs, *expected = look()
    assert uses == expected_uses
    assert kinked == expected_kinked == (name != "cnn")
    assert len(signs) == len(expected_signs)
    assert all(map(np.array_equal, signs, expected_signs))
    for found, field in zip(fields, expected, strict=True):
        assert far(found, field) < 1e-13
    assert far(*fields) > 1e-2  # the rules differ


def steps_of(solver):
    net, shape = MODELS["cnn"]
    data = make_data(drawn(2, 3, *shape), drawn(3, 3, 2))
    back = model_feedback(Gaussian(), KEY, Model(net), data.inputs)
    problem = FlowProblem(FeedbackAlignment(), net, back, data)

    def end(scale):
        scaled = eqx.tree_at(lambda p: p.data.targets, problem, scale * data.targets)
        return integrate(scaled, np.array([0.0, 0.1]), {}, Numerics(solver=solver)).weights

    return end


@pytest.mark.parametrize("solver", ["tsit5", "adams", "bdf-krylov"])
def test_no_step_of_a_flow_has_a_convolution(solver, plainly):
    scale = jnp.ones(())
    assert count(steps_of(solver), scale) == 0
    plainly()
    assert count(steps_of(solver), scale) > 0


def test_flows_in_vmap_are_those_of_the_convolutions(plainly):
    scales = np.array([1.0, 2.0])
    found = jax.device_get(jax.jit(jax.vmap(steps_of("tsit5")))(scales))
    single = jax.jit(steps_of("tsit5"))(scales[1])
    plainly()
    expected = jax.jit(steps_of("tsit5"))(scales[1])
    assert far(single, expected) < 1e-12
    assert far(jax.tree.map(lambda leaf: leaf[1], found), expected) < 1e-12
    assert far(jax.tree.map(lambda leaf: leaf[0], found), expected) > 1e-3


def test_accelerators_keep_their_convolutions(monkeypatch):
    image, weight = jnp.ones((2, 1, 4)), jnp.ones((1, 1, 2))
    made = lambda: by_products(lambda x: lax.conv(x, weight, (1,), "VALID"))  # noqa: E731
    assert count(made(), image) == 0
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert count(made(), image) == 1  # another function, traced anew


def test_units_are_those_of_the_model_as_written_and_patches_are_counted_beside(monkeypatch):
    """So that a solver that goes by them is the same on every machine."""
    net, shape = MODELS["cnn"]
    inputs, model = jnp.ones((3, *shape)), Model(net)
    units, patches = units_of(model, inputs), patches_of(model, inputs)
    # Windows of 3 x 3 over one channel of 6 x 6, and over two of 3 x 3 after pooling.
    assert patches == 9 * 36 + 9 * 2 * 9
    several = Model(MODELS["several"][0])
    assert patches_of(several, jnp.ones((3, 2, 12))) == 6 * 6 + 8 * 4 + 3 * 6 * 4
    problem = FlowProblem(
        Gradient(), net, Feedback(), make_data(drawn(2, 3, *shape), drawn(3, 3, 2))
    )
    there = memory.estimate(problem, 2, {}, Numerics()).activations
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert (units_of(model, inputs), patches_of(model, inputs)) == (units, 0)
    fewer = there - memory.estimate(problem, 2, {}, Numerics()).activations
    assert fewer == memory.PER_UNIT * patches * 3 * inputs.dtype.itemsize

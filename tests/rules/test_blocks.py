"""Fields and outputs over blocks of samples: equal to those over all samples, to rounding.

The oracle is the same rule with all samples at once, which other tests compare with numpy and
SciPy; sums in another order differ by units in the last place of their largest term.
"""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from faflow.feedback import FEEDBACKS, draw_feedback
from faflow.networks import ACTIVATIONS, MLP, GatedMLP
from faflow.observables import KinkCounter, Loss, Residual
from faflow.rules import (
    MODIFIERS,
    RULES,
    AbstractLayerwiseRule,
    FeedbackAlignment,
    Gradient,
    forecast,
    rule_jacobian,
    sums_over_samples,
    weight_velocity,
)
from faflow.tasks import make_data

WIDTHS, SAMPLES = (5, 4, 3, 2), 12
SUMS = [name for name, rule in RULES.items() if sums_over_samples(rule)]


def setting(rule, *, reduction="sum", activation="tanh", bias=True, loss="squared", widths=WIDTHS):
    rng = np.random.default_rng(5)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape))  # noqa: E731
    weights = tuple(draw(out, into) for into, out in itertools.pairwise(widths))
    biases = tuple(draw(out) for out in widths[1:]) if bias else ()
    net = MLP(weights, biases, ACTIVATIONS[activation]())
    feedback = draw_feedback(FEEDBACKS["gaussian"](), jax.random.key(1), widths, rule.form)
    x, y = rng.standard_normal((SAMPLES, widths[0])), rng.standard_normal((SAMPLES, widths[-1]))
    if loss == "cross-entropy":
        y = np.eye(widths[-1])[rng.integers(0, widths[-1], SAMPLES)]
    return net, feedback, make_data(x, y, loss, reduction)


def close(found, wanted):
    one, two = (ravel_pytree(tree)[0] for tree in (found, wanted))
    assert np.linalg.norm(one - two) <= 1e-14 * np.linalg.norm(two)


@eqx.filter_jit
def field(rule, net, feedback, data):
    state = rule.init(net, feedback, data)
    return rule.velocity(jnp.asarray(0.3), state, feedback, data)


def test_who_is_a_sum_over_samples() -> None:
    layerwise = {name for name, rule in RULES.items() if issubclass(rule, AbstractLayerwiseRule)}
    assert layerwise == set(SUMS) - {"kolen-pollack", "weight-mirror"}
    assert {"fa-star", "hebbian", "align-ada", "monotone-direct-feedback"}.isdisjoint(SUMS)


@pytest.mark.parametrize("name", SUMS)
def test_every_field(name: str) -> None:
    """In blocks that do not divide the samples, summed and averaged."""
    rule = RULES[name]()
    for reduction in ("sum", "mean"):
        net, feedback, data = setting(rule, reduction=reduction)
        close(field(rule, net, feedback, data.in_blocks(5)), field(rule, net, feedback, data))


@pytest.mark.parametrize("block", [1, 4, 7, 11, 12, 50])
def test_every_block(block: int) -> None:
    """Of one sample, that divide the samples, that do not, of all and of more than there are."""
    net, feedback, data = setting(Gradient())
    close(field(Gradient(), net, feedback, data.in_blocks(block)),
          field(Gradient(), net, feedback, data))  # fmt: skip


@pytest.mark.parametrize("name", list(MODIFIERS))
def test_under_every_modifier(name: str) -> None:
    """The block sum is the innermost rule's; forecasts of laws ride on it."""
    rule = forecast(MODIFIERS[name](rule=FeedbackAlignment()), setting(FeedbackAlignment())[0])
    net, feedback, data = setting(rule, activation="linear", bias=False)
    close(field(rule, net, feedback, data.in_blocks(5)), field(rule, net, feedback, data))


@pytest.mark.parametrize("identity", [False, True])
def test_linear_nets_in_the_cheaper_order(identity: bool) -> None:
    rule, widths = Gradient(), (SAMPLES, 9, 1)
    net, feedback, data = setting(rule, activation="linear", bias=False, widths=widths)
    if identity:
        data = make_data(np.eye(SAMPLES), data.targets)
    wanted = field(rule, net, feedback, data)
    close(field(rule, net, feedback, data.in_blocks(5)), wanted)


def test_observables() -> None:
    net, feedback, data = setting(
        Gradient(), activation="relu", loss="cross-entropy", reduction="mean"
    )
    for see in (Loss(), Residual()):
        seen = eqx.filter_jit(see)
        close(seen(net, feedback, data.in_blocks(5)), seen(net, feedback, data))
    close(data.in_blocks(5).outputs(net), data.outputs(net))
    counter, moved = KinkCounter(), jax.tree.map(jnp.negative, net)
    counts = [
        counter.update(counter.init(net, some), moved, some) for some in (data, data.in_blocks(5))
    ]
    assert jax.tree.all(jax.tree.map(np.array_equal, *counts)) and counts[0].changes[0].any()


def test_gates_of_a_block_are_those_of_its_samples() -> None:
    net, feedback, data = setting(Gradient())
    gated = GatedMLP(net.weights, net.biases, gate=ACTIVATIONS["relu"](), seed=3)
    wanted = field(Gradient(), gated, feedback, data)
    close(field(Gradient(), gated, feedback, data.in_blocks(5)), wanted)


def test_derivatives_go_through_blocks() -> None:
    """Products with the linearised field, and the dense Jacobian, as the BDF takes them."""
    net, feedback, data = setting(Gradient())

    @eqx.filter_jit
    def pushed(some):
        return jax.linearize(lambda w: weight_velocity(Gradient(), w, feedback, some)[0], net)[1](
            net
        )

    close(pushed(data.in_blocks(5)), pushed(data))
    whole = eqx.filter_jit(rule_jacobian)
    given = (Gradient(), net, feedback)
    close(whole(*given, data.in_blocks(5)), whole(*given, data))


def test_rows_that_are_not_there_weigh_nothing() -> None:
    """What fills up a device: the loss, the residual and the field leave it out, in blocks too."""
    net, feedback, data = setting(Gradient(), reduction="mean")
    fill = lambda rows: jnp.concatenate([rows, jnp.ones((3, rows.shape[1]))])  # noqa: E731
    present = jnp.concatenate([jnp.ones((SAMPLES, 1)), jnp.zeros((3, 1))])
    rows = {"inputs": fill(data.inputs), "targets": fill(data.targets)}
    filled = dataclasses.replace(data, **rows, present=present)

    @eqx.filter_jit
    def seen(some):
        given = (net, feedback, some)
        return Gradient().vector_field(*given), Loss()(*given), Residual()(*given)

    wanted = seen(data)
    for some in (filled, filled.in_blocks(4)):
        for one, two in zip(seen(some), wanted, strict=True):
            close(one, two)
    # Control: without `present` they are heard.
    heard = seen(dataclasses.replace(filled, present=None))
    assert abs(heard[1] / wanted[1] - 1) > 1e-3


def test_what_is_alive_at_once_shrinks_with_the_block() -> None:
    """XLA's own count of the field's temporary memory, 2000 samples of 100 hidden units."""
    rng = np.random.default_rng(0)
    net = MLP(
        (jnp.asarray(rng.standard_normal((100, 5))), jnp.ones((1, 100))), (), ACTIVATIONS["tanh"]()
    )
    data = make_data(rng.standard_normal((2000, 5)), np.ones((2000, 1)))
    _, feedback, _ = setting(Gradient())

    def temporary(some) -> int:
        take = jax.jit(lambda net, d: Gradient().vector_field(net, feedback, d))
        return take.lower(net, some).compile().memory_analysis().temp_size_in_bytes

    assert temporary(data.in_blocks(50)) < temporary(data) / 20

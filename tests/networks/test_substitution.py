"""Backward weights put into any program: hand-written sweeps, `jax.grad` and refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.networks.substitution import program_of, pulled_back


def drawn(seed, *shapes):
    rng = np.random.default_rng(seed)
    found = [jnp.asarray(rng.standard_normal(shape)) for shape in shapes]
    return found[0] if len(found) == 1 else found


def pull(function, moving, backward, inputs, error):
    program = program_of(function, moving, inputs)

    @jax.jit
    def both(moving, backward, inputs, error):
        outputs, back = pulled_back(program, moving, jax.tree.leaves(backward), inputs)
        return outputs, back(error)

    return both(moving, backward, inputs, error)


def uses_of(function, moving, inputs):
    return program_of(function, moving, inputs).uses


def near(one, two, bound=1e-13):
    one, two = jax.device_get((one, two))
    apart = jax.tree.map(lambda a, b: np.max(np.abs(a - b)) / np.max(np.abs(b)), one, two)
    assert max(map(float, jax.tree.leaves(apart))) < bound, apart


WIDTHS = [(4, 3), (4, 4), (2, 4)]


def chain(weights, x):
    for weight in weights[:-1]:
        x = jnp.tanh(weight @ x)
    return weights[-1] @ x


def sweep(weights, matrices, x, error):
    """delta_l = phi'(h_l) . (M_{l+1}^T delta_{l+1}) and delta_l a_{l-1}^T, by hand."""
    posts = [x]
    for weight in weights[:-1]:
        posts.append(jnp.tanh(weight @ posts[-1]))
    delta, moves = error, []
    for layer in reversed(range(len(weights))):
        moves.append(jnp.outer(delta, posts[layer]))
        delta = (1 - posts[layer] ** 2) * (matrices[layer].T @ delta) if layer else delta
    return moves[::-1]


def transposed(weights, x):
    """W^T stored, with heads, broadcast and scaled: all linear images of the weights."""
    for weight in weights[:-1]:
        heads = jnp.reshape(weight.T, (weight.shape[1], 2, weight.shape[0] // 2))
        x = jnp.tanh((2.0 * jnp.einsum("ihd,i->hd", heads, x) / 2.0).reshape(-1))
    return jnp.squeeze(jnp.matmul(weights[-1][None], x[:, None]), (0, 2))


def fused(weights, x):
    """Two halves of one weight, multiplied apart and together."""
    x = jnp.tanh(weights[0] @ x)
    both = jnp.concatenate([weights[1][:2], weights[1][2:]])
    return weights[2] @ jnp.tanh(both @ x)


def remat(weights, x):
    for weight in weights[:-1]:
        x = jax.checkpoint(lambda w, y: jnp.tanh(w @ y))(weight, x)
    return jax.jit(jnp.matmul)(weights[-1], x)


def scanned(weights, x):
    def layer(x, weight):
        return jnp.tanh(weight @ x), None

    x, _ = jax.lax.scan(layer, jnp.tanh(weights[0] @ x), jnp.stack(weights[1:-1]))
    return weights[-1] @ x


def chosen(weights, x):
    x = jnp.tanh(weights[0] @ x)
    layer = lambda w, y: jnp.tanh(w @ y)  # noqa: E731
    x = jax.lax.cond(x[0] > -2, layer, lambda w, y: y, weights[1], x)
    return weights[-1] @ x


@pytest.mark.parametrize("program", [chain, transposed, fused, remat, scanned, chosen])
def test_backward_weights_take_the_place_of_the_weights_in_the_sweep(program):
    weights, matrices = drawn(0, *WIDTHS), drawn(1, *WIDTHS)
    x, error = drawn(2, (3,), (2,))

    @jax.jit
    def found(weights, matrices):
        return pull(program, weights, matrices, x, error)

    outputs, moves = found(weights, matrices)
    near(outputs, chain(weights, x))
    near(moves, sweep(weights, matrices, x, error))
    assert [use.fan_in for use in uses_of(program, weights, x)] == [None, 4, 4]


def test_a_carry_that_holds_the_weights_keeps_their_feedback():
    weights, matrices = drawn(0, *WIDTHS), drawn(1, *WIDTHS)
    x, error = drawn(2, (3,), (2,))

    def program(weights, x):
        def turn(_, carry):
            weight, x = carry
            return weight, jnp.tanh(weight @ x)

        _, x = jax.lax.fori_loop(0, 2, turn, (weights[1], jnp.tanh(weights[0] @ x)))
        return weights[2] @ x

    tied = lambda of: [of[0], of[1], of[1], of[2]]  # noqa: E731
    moves = sweep(tied(weights), tied(matrices), x, error)
    expected = [moves[0], moves[1] + moves[2], moves[3]]
    near(pull(program, weights, matrices, x, error)[1], expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_pass_the_signal_through_their_filters_of_m(stride):
    """Against jax.vjp of each convolution alone, chained by hand."""
    shapes = [(4, 2, 3), (2, 4, 3)]
    weights, matrices = drawn(3, *shapes), drawn(4, *shapes)
    x = drawn(5, (2, 9))

    def conv(weight, x):
        return jax.lax.conv_general_dilated(x[None], weight, (stride,), "SAME")[0]

    def program(weights, x):
        return conv(weights[1], jax.nn.relu(conv(weights[0], x)))

    h = conv(weights[0], x)
    outputs, of_last = jax.vjp(lambda w: conv(w, jax.nn.relu(h)), weights[1])
    error = drawn(6, outputs.shape)
    (signal,) = jax.vjp(lambda a: conv(matrices[1], a), h)[1](error)
    (first,) = jax.vjp(lambda w: conv(w, x), weights[0])[1](jnp.where(h > 0, signal, 0.0))
    near(pull(program, weights, matrices, x, error), (outputs, [first, of_last(error)[0]]))
    assert [use.fan_in for use in uses_of(program, weights, x)] == [None, 12]


class Gained(eqx.Module):
    weight: jax.Array
    gain: jax.Array
    bias: jax.Array


def normed(net, x):
    h = net.weight @ x + net.bias
    return h / jnp.sqrt(jnp.mean(h**2) + 1e-3) * net.gain


def gained(net, x):
    return net.weight.T @ jax.nn.silu(normed(net, x))


def test_a_tied_weight_has_one_m_and_gain_and_bias_have_none():
    net, back = (Gained(*drawn(seed, (4, 3), (4,), (4,))) for seed in (7, 8))
    x, error = drawn(9, (3,), (3,))
    uses = {use.path: use for use in uses_of(gained, net, x)}
    assert {path: use.fan_in for path, use in uses.items()} == {
        "weight": 4,
        "gain": None,
        "bias": None,
    }
    assert uses["gain"].operations == ("mul",)
    assert uses["bias"].operations == ("add",)
    moves = pull(gained, net, back, x, error)[1]
    others = eqx.tree_at(lambda net: (net.gain, net.bias), back, (net.gain, net.bias))
    near(moves, pull(gained, net, others, x, error)[1])  # their M is not looked at
    # M^T, then through the gain itself.
    h, through = jax.vjp(lambda net: normed(net, x), net)
    (signal,) = jax.vjp(lambda h: back.weight.T @ jax.nn.silu(h), h)[1](error)
    (expected,) = through(signal)
    top = jnp.outer(jax.nn.silu(h), error)
    near(moves, eqx.tree_at(lambda net: net.weight, expected, expected.weight + top))


def test_what_differentiates_the_field_meets_the_true_values():
    """The Jacobian of feedback alignment's field, against central differences of it."""
    weights, matrices = drawn(0, *WIDTHS), drawn(1, *WIDTHS)
    x, y = drawn(2, (3,), (2,))

    def field(weights):
        program = program_of(chain, weights, x)
        outputs, back = pulled_back(program, weights, matrices, x)
        return back(outputs - y)

    direction, step = drawn(3, *WIDTHS), 1e-5
    ahead, behind = (
        field([w + sign * step * d for w, d in zip(weights, direction, strict=True)])
        for sign in (1, -1)
    )
    slope = jax.tree.map(lambda a, b: (a - b) / (2 * step), ahead, behind)
    near(jax.jvp(field, (weights,), (direction,))[1], slope, 1e-8)


def spoilt(weights, x):
    return jax.nn.softplus(weights[1]) @ jnp.tanh(weights[0] @ x)


def multiplied(weights, x):
    return weights[1] @ weights[0] @ x


def summed_with_another(weights, x):
    return (weights[1] + 1.0) @ jnp.tanh(weights[0] @ x)


@jax.custom_jvp
def clipped(weight, x):
    return weight @ x


clipped.defjvp(lambda given, moves: (clipped(*given), jnp.tanh(given[0] @ moves[1])))


def own_derivative(weights, x):
    return clipped(weights[1], jnp.tanh(weights[0] @ x))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (spoilt, ["`1`", "dot_general", "freeze", "gradient"]),
        (multiplied, ["`0`", "`1`", "dot_general", "freeze one"]),
        (summed_with_another, ["`1`", "passes through add", "dot_general"]),
        (own_derivative, ["`1`", "custom_jvp_call", "derivative of its own"]),
    ],
)
def test_a_parameter_without_a_place_for_feedback_is_refused_in_one_line(program, words):
    weights = drawn(0, (4, 3), (2, 4))
    with pytest.raises(ValueError) as caught:
        uses_of(program, weights, drawn(2, (3,)))
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


def test_scores_of_attention_and_frozen_products_are_left_alone():
    """Products of two activations, and of a weight with what nothing moves."""
    fixed = drawn(4, (3, 3))

    def program(weights, x):
        query, key = weights[0] @ (fixed @ x), weights[1] @ x
        return jnp.einsum("i,j->ij", query, key)

    weights, x, error = drawn(0, (3, 3), (3, 3)), *drawn(2, (3,), (3, 3))
    assert all(use.fan_in is None for use in uses_of(program, weights, x))
    moves = pull(program, weights, weights, x, error)[1]
    near(moves, jax.vjp(lambda w: program(w, x), weights)[1](error)[0])


def test_the_forward_pass_is_made_once():
    """XLA's own count of the operations of the field: that of jax.grad of the same loss."""
    shapes = [(64, 64)] * 4
    weights, matrices = drawn(0, *shapes), drawn(1, *shapes)
    x, y = drawn(2, (32, 64), (32, 64))
    batched = lambda w, x: jax.vmap(lambda row: chain(w, row))(x)  # noqa: E731

    def field(weights, matrices):
        program = program_of(batched, weights, x)
        outputs, back = pulled_back(program, weights, matrices, x)
        return back(outputs - y)

    def loss(weights):
        return jnp.sum((batched(weights, x) - y) ** 2) / 2

    def flops(function, *given):
        return jax.jit(function).lower(*given).compile().cost_analysis()["flops"]

    assert flops(field, weights, matrices) < 1.02 * flops(jax.grad(loss), weights)

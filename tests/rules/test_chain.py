"""Networks that are no chains, and fields that are no sums over samples, are refused in a line."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.lax import conv_general_dilated as convolve

from faflow.config.errors import ConfigError
from faflow.feedback import Feedback
from faflow.flow import FlowProblem
from faflow.measures.experiment import build
from faflow.networks import (
    ACTIVATIONS,
    MLP,
    AbstractActivation,
    AbstractLayeredNetwork,
    GatedMLP,
    Trace,
)
from faflow.rules import (
    AbstractLayerwiseRule,
    AbstractWeightRule,
    FeedbackAlignment,
    Gradient,
    WeightDecay,
    backward_sweep,
)
from faflow.runs.run import resolve_path
from faflow.tasks import make_data

RNG = np.random.default_rng(0)
DATA = make_data(RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2)))
WIDTHS = ((4, 3), (4, 4), (2, 4))


class Layered(AbstractLayeredNetwork):
    weights: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...] = ()
    activation: AbstractActivation = eqx.field(static=True, default_factory=ACTIVATIONS["tanh"])

    def __call__(self, inputs):
        return self.trace(inputs).outputs


class Disguised(Layered):
    """A chain, written another way."""

    def trace(self, inputs):
        pre, post = [], [inputs]
        for weight in self.weights:
            pre.append(jnp.einsum("ij,nj->ni", weight, post[-1]))
            post.append(self.activation(pre[-1]))
        return Trace(tuple(pre), (*post[:-1], pre[-1]))


class Skip(Layered):
    """a_2 = phi(h_2) + a_1."""

    def trace(self, inputs):
        h1 = inputs @ self.weights[0].T
        a1 = self.activation(h1)
        h2 = a1 @ self.weights[1].T
        a2 = self.activation(h2) + a1
        h3 = a2 @ self.weights[2].T
        return Trace((h1, h2, h3), (inputs, a1, a2, h3))


class Offset(Layered):
    """A linear net and a fixed skip: the gradient is right, W_2 W_1 X is not the output."""

    def trace(self, inputs):
        h1 = inputs @ self.weights[0].T
        return Trace((h1, h2 := h1 @ self.weights[1].T + inputs[:, :2]), (inputs, h1, h2))


class Scaled(MLP):
    """An MLP whose call is not its trace."""

    def __call__(self, inputs):
        return 2 * self.trace(inputs).outputs


class Convolution(Layered):
    def trace(self, inputs):
        h1 = convolve(inputs[:, None, :], self.weights[0], (1,), "VALID")
        a1 = self.activation(h1).reshape(len(inputs), -1)
        h2 = a1 @ self.weights[1].T
        return Trace((h1, h2), (inputs, a1, h2))


def drawn(kind, shapes=WIDTHS, **fields):
    return kind(tuple(jnp.asarray(RNG.normal(size=shape)) for shape in shapes), **fields)


def layerwise(net):
    return Feedback(net.weights[1:], "layerwise")


@pytest.mark.parametrize("rule", [Gradient(), FeedbackAlignment(), WeightDecay(Gradient())])
def test_a_skip_is_refused(rule) -> None:
    net = drawn(Skip)
    back = layerwise(net) if rule.form == "layerwise" else Feedback()
    with pytest.raises(ValueError, match=r"Network Skip is no chain .* off jax.grad") as caught:
        FlowProblem(rule, net, back, DATA)
    assert "\n" not in str(caught.value)
    # Zero weights would hide it: what is asked is asked at random ones.
    with pytest.raises(ValueError, match="no chain"):
        FlowProblem(rule, jax.tree.map(jnp.zeros_like, net), back, DATA)


def test_a_skip_is_far_off_and_a_chain_is_not() -> None:
    """The control, by jax.grad at weights of this test's own."""
    for kind, most, least in ((Skip, 2.0, 0.1), (Disguised, 1e-12, 0.0)):
        net = drawn(kind)
        velocity = eqx.filter_jit(Gradient().vector_field)(net, Feedback(), DATA)
        gradient = eqx.filter_jit(jax.grad(lambda n: DATA.value(n(DATA.inputs))))(net)
        slope = np.asarray(gradient.weights[0])
        off = np.linalg.norm(np.asarray(velocity.weights[0]) + slope)
        assert least <= off / np.linalg.norm(slope) <= most


def test_a_chain_in_disguise_passes() -> None:
    FlowProblem(Gradient(), drawn(Disguised), Feedback(), DATA)
    surrogate = next(phi for phi in ACTIVATIONS.values() if not phi().exact)
    FlowProblem(Gradient(), drawn(Disguised, activation=surrogate()), Feedback(), DATA)
    skip = drawn(Skip, activation=surrogate())
    with pytest.raises(ValueError, match="h_2 or a_2 is another function of a_1"):
        FlowProblem(Gradient(), skip, Feedback(), DATA)


def test_an_offset_is_refused() -> None:
    """Linear nets are multiplied out (`linear_field`), which knows of no offset."""
    net = drawn(Offset, ((4, 3), (2, 4)), activation=ACTIVATIONS["linear"]())
    velocity = Gradient().vector_field(net, Feedback(), DATA).weights[0]
    gradient = jax.grad(lambda n: DATA.value(n(DATA.inputs)))(net).weights[0]
    assert jnp.linalg.norm(velocity + gradient) > 0.1 * jnp.linalg.norm(gradient)  # the control
    with pytest.raises(ValueError, match="h_2 or a_2 is another function of a_1"):
        FlowProblem(Gradient(), net, Feedback(), DATA)


def test_a_convolution_is_told_its_shapes() -> None:
    net = drawn(Convolution, ((2, 1, 2), (2, 4)))
    with pytest.raises(ValueError, match=r"W_1 has shape \(2, 1, 2\), not \(n_1, 3\)"):
        FlowProblem(Gradient(), net, Feedback(), DATA)


def test_a_call_that_is_not_the_trace_is_refused() -> None:
    with pytest.raises(ValueError, match="its trace does not end in what a call returns"):
        FlowProblem(Gradient(), drawn(Scaled), Feedback(), DATA)


def test_under_jit_and_vmap() -> None:
    def make(net):
        return FlowProblem(Gradient(), net, Feedback(), DATA).weights.weights[0].sum()

    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), (drawn(Skip), drawn(Disguised)))
    for way in (jax.jit(jax.vmap(make)), jax.vmap(make)):
        with pytest.raises(ValueError, match="no chain"):
            way(stacked[0])
        assert way(stacked[1]).shape == (2,)


def test_known_networks_cost_nothing(monkeypatch) -> None:
    monkeypatch.setattr("faflow.rules.chain._fault", lambda *_: pytest.fail("asked"))
    FlowProblem(Gradient(), drawn(MLP), Feedback(), DATA)
    gated = drawn(GatedMLP, gate=ACTIVATIONS["relu"]())
    FlowProblem(FeedbackAlignment(), gated, layerwise(gated), DATA)


class Autodiff(AbstractWeightRule):
    """A field of the user's own, right for any network."""

    equation = "W' = -grad"
    source = "none"
    form = "none"

    def vector_field(self, weights, feedback, data):
        return jax.tree.map(jnp.negative, jax.grad(lambda n: data.value(n(data.inputs)))(weights))

    def laws(self, weights):
        return {}


def test_a_field_of_ones_own_serves_any_network() -> None:
    FlowProblem(Autodiff(), drawn(Skip), Feedback(), DATA)


class Centred(AbstractLayerwiseRule):
    """The gradient of hidden deltas less their mean over samples: no sum over them."""

    equation = "delta_l - mean delta_l"
    source = "none"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        *hidden, last = backward_sweep(weights, weights.weights[1:], trace, error)
        return (*(delta - jnp.mean(delta, 0, keepdims=True) for delta in hidden), last)

    def laws(self, weights):
        return {}


class Twice(AbstractLayerwiseRule):
    """A sum, by a rule of the user's."""

    equation = "2 delta"
    source = "none"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        deltas = backward_sweep(weights, weights.weights[1:], trace, error)
        return (*(2 * delta for delta in deltas[:-1]), deltas[-1])

    def laws(self, weights):
        return {}


def test_blocks_of_what_is_no_sum_are_refused() -> None:
    net = drawn(MLP, activation=ACTIVATIONS["tanh"]())
    fields = [Centred().vector_field(net, Feedback(), data) for data in (DATA, DATA.in_blocks(2))]
    one, other = (field.weights[0] for field in fields)
    assert jnp.linalg.norm(one - other) > 1e-2 * jnp.linalg.norm(one)  # the control
    with pytest.raises(ValueError, match="The field of Centred is no sum over samples"):
        FlowProblem(WeightDecay(Centred()), net, Feedback(), DATA.in_blocks(2))
    FlowProblem(Centred(), net, Feedback(), DATA)
    FlowProblem(Twice(), net, Feedback(), DATA.in_blocks(2))


TABLE = {
    "name": "blocks",
    "network": {"widths": [3, 4, 2], "activation": "tanh"},
    "task": {"kind": "gaussian", "samples": 5, "features": 3, "outputs": 2},
    "flow": {"t1": 0.1, "saves": 2},
    "observe": {"names": ["loss"]},
}


@pytest.mark.parametrize("key", ["block", "devices"])
def test_a_config_that_asks_for_them_is_refused(key: str) -> None:
    table = TABLE | {"rule": {"kind": f"{__name__}:Centred"}}
    table["flow"] = TABLE["flow"] | {key: 2}
    with pytest.raises(ConfigError, match=rf"^flow.{key}: The field of Centred is no sum"):
        build(resolve_path(table))

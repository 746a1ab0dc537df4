"""`faflow.flow`: modules, rules and arrays as they are, measured as `faflow run` does it."""

import jax
import numpy as np
import pytest

import faflow
from faflow.config.errors import ConfigError
from faflow.networks.models import MLPModule
from faflow.rules import FeedbackAlignment

LIGHT = {"flow.solver": "heun", "flow.step": 0.05}


def arrays(*shape):
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, *shape)), rng.normal(size=(3, 2))


@pytest.fixture(scope="module")
def learned():
    net = MLPModule(4, 2, key=jax.random.key(0), hidden=(3,), activation="identity")
    return net, faflow.flow(
        net, FeedbackAlignment(), *arrays(4), t1=0.5, saves=3, feedback="equal", settings=LIGHT
    )


def test_a_module_flows_from_its_own_weights(learned):
    """Euler's method in numpy with small steps ends near; the module comes back."""
    net, flow = learned
    x, y = arrays(4)
    first, second = (np.asarray(layer.weight) for layer in net.layers)
    back = second.copy()
    for _ in range(5000):
        error = x @ first.T @ second.T - y
        moves = -(error @ back).T @ x, -error.T @ (x @ first.T)
        first, second = first + 1e-4 * moves[0], second + 1e-4 * moves[1]
    ends = [np.asarray(layer.weight) for layer in flow.model.layers]
    np.testing.assert_allclose(ends[0], first, atol=3e-3)
    np.testing.assert_allclose(ends[1], second, atol=3e-3)
    assert type(flow.model) is MLPModule
    assert np.max(np.abs(ends[1] - back)) > 0.05


def test_it_is_measured_as_a_config_is(learned):
    _, flow = learned
    assert flow.laws["matrix-balance"]["kept"]
    assert max(flow.laws["matrix-balance"]["rate_at_start"]) < 1e-13
    assert "layers.0 -> layers.1" in flow.text
    assert repr(flow) == flow.text
    assert flow.series["loss"].shape == (3,)
    assert flow.plot().axes
    assert flow.summary["alignment"]["places"] == ["layers.1.weight"]


def test_widths_and_names_will_do():
    flow = faflow.flow(
        [4, 3, 2], "feedback-alignment", *arrays(4), t1=0.5, saves=3, settings=LIGHT,
        activation="linear", observe=["loss", "laws", "norms"],
    )  # fmt: skip
    assert flow.laws["layer-balance"]["kept"]
    assert set(flow.model) == {"W1", "W2"}
    table = flow.to_pandas()
    np.testing.assert_array_equal(table["loss"], flow.series["loss"])
    np.testing.assert_array_equal(table["norms 2"], flow.series["norms"][:, 1])
    np.testing.assert_array_equal(table.index, flow.series["time"])
    assert set(flow.to_xarray()) >= {"records", "start", "final"}
    shown = flow._repr_html_()
    assert shown.startswith("<pre>status ") and shown.count("data:image/png;base64,iVBOR") == 1


def test_the_room_is_still_one():
    from faflow.flow import FlowProblem

    assert faflow.flow.FlowProblem is FlowProblem is faflow.FlowProblem


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"network": 3}, "must be an equinox Module"),
        ({"network": MLPModule}, "is the class MLPModule; give an instance"),
        ({"rule": "gradien"}, "rule.kind: is 'gradien'; did you mean 'gradient'?"),
        ({"inputs": np.ones((3, 5))}, "fails on a sample of shape (5,)"),
        ({"targets": np.ones((3, 4))}, "makes outputs of shape (2,)"),
        ({"targets": np.ones((2, 2))}, "must have one row per sample"),
        ({"loss": "square"}, "task.loss: is 'square'; did you mean 'squared'?"),
        (
            {"settings": {"flow.sovler": "heun"}},
            "flow.sovler: is not a key",
        ),
        ({"settings": {"loss": 1}}, "loss: is not a key"),
        ({"activation": "tanh"}, "Argument `activation` must be left out"),
        ({"network": [4, 2], "activation": "tnh"}, "network.activation: is 'tnh'; did you mean"),
    ],
)
def test_misuse_names_what_is_wrong(change, told):
    net = MLPModule(4, 2, key=jax.random.key(0), hidden=(3,))
    x, y = arrays(4)
    given = {"network": net, "rule": "gradient", "inputs": x, "targets": y, "t1": 1.0, **change}
    with pytest.raises((ConfigError, ValueError)) as refused:
        faflow.flow(**given)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)

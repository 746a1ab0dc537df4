"""`faflow.flow`: modules, rules and arrays as they are, measured as `faflow run` does it."""

import io
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import faflow
from faflow.cli.printing import Bar, patient_bar
from faflow.config.errors import ConfigError
from faflow.networks import ACTIVATIONS
from faflow.networks.models import MLPModule
from faflow.observables import Norms
from faflow.rules import FeedbackAlignment
from faflow.solvers import GaussLegendre
from faflow.tasks import LOSSES

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
    with pytest.raises(KeyError, match="did you mean 'matrix-balance'"):
        flow.laws["matrixbalance"]
    with pytest.raises(ConfigError, match=r"Argument `out`: is .* lies in no folder"):
        flow.report("no/such/folder/page.html")
    with pytest.raises(ConfigError, match=r"the task \(the arrays given\) has 4 inputs"):
        faflow.flow([3, 2], "gradient", *arrays(4), t1=0.5, saves=3)
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


def size(weights, feedback, data):
    return jnp.sum(weights.weights[0] ** 2)


def test_objects_for_names(tmp_path):
    """Own observables, losses and activations; stored, they make a page and are open to all."""
    flow = faflow.flow(
        (4, 3, 2), FeedbackAlignment(), *arrays(4), t1=0.5, saves=3, settings=LIGHT, meter=False,
        activation=ACTIVATIONS["tanh"](), loss=LOSSES["squared"](), observe=["loss", size, Norms()],
    )  # fmt: skip
    np.testing.assert_allclose(flow.series["size"], flow.series["Norms"][:, 0] ** 2, rtol=1e-13)
    assert "size " in flow.text
    again = faflow.open(flow.save(tmp_path / "kept"))
    assert again.summary == flow.summary
    assert repr(again) == flow.text and again.plot().axes
    assert again.to_pandas().equals(flow.to_pandas()) and list(again.to_pandas())
    assert again.to_xarray()["records"].to_dataset()["loss"].shape == (3,)
    with pytest.raises(ConfigError, match="holds a result; give another folder"):
        flow.save(tmp_path / "kept")
    pytest.importorskip("jinja2")
    assert "faflow report" in again.report(tmp_path / "again.html").read_text()
    page = flow.report(tmp_path / "page.html").read_text()
    assert "faflow report" in page and str(tmp_path) not in page


def test_run_takes_arrays_and_objects(config, tmp_path):
    """In place of a file's task; the same arrays are found again, others are another run."""
    x, y = arrays(3)
    given = {"X": x, "y": y[:, :1], "out": tmp_path / "out"}
    more = {"expect": {}, "rule.kind": FeedbackAlignment(), "observe.names": ["loss", size]}
    more |= LIGHT
    first = faflow.run(config, overrides=more, **given)
    loss = (
        0.5
        * (
            (
                x @ first.records["start"]["W1"].values.T @ first.records["start"]["W2"].values.T
                - y[:, :1]
            )
            ** 2
        ).sum()
    )
    assert first.summary["loss"]["initial"] == pytest.approx(loss)
    assert not faflow.run(config, overrides=more, **given).fresh
    with pytest.raises(ConfigError, match="holds a different result"):
        faflow.run(config, overrides=more, **given | {"X": 2 * x})
    table = {"name": "t", "network": {"widths": [3, 1]}, "rule": FeedbackAlignment()}
    table |= {"task": {"X": x, "y": y[:, :1]}, "flow": {"t1": 0.1, "saves": 2}}
    for change, told in (
        ({"task": {"X": x}}, "task.y: is missing; give X and y, both"),
        ({"task": {"X": x, "y": y, "kind": "gaussian"}}, "task.X: is given beside task.kind"),
        (
            {"rule": FeedbackAlignment},
            "rule.kind: is the class FeedbackAlignment; give an instance",
        ),
        ({"rule": size}, "rule.kind: is a function, which is not an AbstractLearningRule"),
    ):
        with pytest.raises(ConfigError) as refused:
            faflow.run(table | change, store_result=False)
        assert told in str(refused.value)


def test_a_bar_only_where_it_takes_long(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    assert patient_bar() is None  # nobody watches
    quick, slow = Bar(patience=1.0), Bar(patience=1e-9)
    quick(0.5)
    quick(1.0)
    assert not said.getvalue()
    slow(0.5)
    assert " 50%" in said.getvalue()
    slow(1.0)
    assert said.getvalue().endswith("\r")  # and nothing is left of it


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
        ({"rule": FeedbackAlignment}, "Argument `rule`, rule.kind: is the class"),
        ({"rule": jnp.tanh}, "Argument `rule`, rule.kind: is a "),
        ({"rule": None}, "Argument `rule`, rule.kind: is a NoneType"),
        ({"network": None}, "Argument `network`: A model must be"),
        ({"network": [4]}, "Argument `network`, network.widths: is [4]"),
        ({"network": [3, 2]}, "Argument `network`, network.widths.0: is 3, but the task"),
        ({"network": [4, 2.5, 2]}, "Argument `network`, network.widths.1: is 2.5"),
        ({"loss": jnp.tanh}, "Argument `loss`, task.loss: is a "),
        ({"loss": "cross-entropy"}, "Argument `targets` must have rows"),
        ({"observe": [3]}, "Argument `observe`, observe.names.0: is 3"),
        ({"observe": "los"}, "Argument `observe`, observe.names.0: is 'los'; did you mean"),
        ({"observe": [lambda *of: 1]}, "which has no name for its record"),
        ({"t1": -1.0}, "Argument `t1`, flow.t1: is -1.0; it must be greater than 0"),
        ({"saves": 1}, "Argument `saves`, flow.saves: is 1"),
        ({"seed": -1}, "Argument `seed`, seed: is -1"),
        ({"feedback": "gaus"}, "Argument `feedback`, feedback.kind: is 'gaus'"),
        ({"inputs": np.ones(3)}, "Argument `inputs` must be a non-empty matrix"),
        ({"inputs": np.full((3, 4), np.nan)}, "Argument `inputs` must hold finite numbers"),
        ({"inputs": [[1, 2], [3]]}, "Argument `inputs` must have rows of one length"),
        ({"inputs": None}, "Argument `inputs`, task.X: is missing"),
        ({"meter": 3}, "Argument `meter` must be True, False or a function"),
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


LIGHT_TABLE = {
    "network": {"widths": [3, 2, 1], "activation": "tanh"},
    "task": {"kind": "gaussian", "samples": 2, "features": 3},
    "rule": {"kind": "feedback-alignment"},
    "flow": {"t1": 0.5, "saves": 3},
}


def test_another_solver_object_is_another_run(tmp_path):
    """Its numbers are static: they are in the flow's program alone."""
    given = {"flow.solver": GaussLegendre(1), "flow.step": 0.125}
    first = faflow.run(LIGHT_TABLE, overrides=given, out=tmp_path / "a")
    assert not faflow.run(LIGHT_TABLE, overrides=given, out=tmp_path / "a").fresh and first.fresh
    with pytest.raises(ConfigError, match="use --out DIR or --replace"):
        faflow.run(
            LIGHT_TABLE, overrides={**given, "flow.solver": GaussLegendre(2)}, out=tmp_path / "a"
        )

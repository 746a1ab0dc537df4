"""A model of the user's own through `faflow run` and `faflow sweep`, and what is refused there."""

import json

import numpy as np
import pytest
from complaints import complaint

import faflow
from faflow.cli import main
from faflow.config.kinds import model as kinds_of_models

NET = """
import equinox as eqx
import jax

class Net(eqx.Module):
    first: eqx.nn.Conv1d
    readout: eqx.nn.Linear

    def __init__(self, image, outputs, *, key, channels: int = 3):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Conv1d(image[0], channels, 3, use_bias=False, key=one)
        self.readout = eqx.nn.Linear(channels * (image[1] - 2), outputs, use_bias=False, key=two)

    def __call__(self, x):
        return self.readout(jax.nn.relu(self.first(x)).ravel())

class Words(eqx.Module):
    embed: eqx.nn.Embedding
    readout: eqx.nn.Linear

    def __init__(self, tokens, outputs, *, key):
        one, two = jax.random.split(key)
        self.embed = eqx.nn.Embedding(tokens, 3, key=one)
        self.readout = eqx.nn.Linear(3, outputs, key=two)

    def __call__(self, words):
        return self.readout(jax.numpy.mean(jax.vmap(self.embed)(words), axis=0))

class NoModule:
    def __init__(self, key):
        pass

class Asks(Net):
    def __call__(self, x):
        return self.readout(self.first(x).ravel()) if x.sum() > 0 else x.sum()

class Silent(Net):
    idle: jax.Array
    def __init__(self, image, outputs, *, key):
        super().__init__(image, outputs, key=key)
        self.idle = jax.numpy.ones(2)
"""
CONFIG = """
name = "own"
[network]
kind = "mynet.py:Net"
[task]
kind = "signals"
samples = 5
length = 9
[rule]
kind = "feedback-alignment"
[feedback]
kind = "equal"
[flow]
t1 = 0.3
saves = 4
"""
# A method of few operations, for tests that don't look at the flow: at 1e-9 every kink is hunted.
LIGHT = ("flow.solver=heun", "flow.step=0.05")


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "mynet.py").write_text(NET)
    (tmp_path / "own.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*overrides):
    return main(["run", "own.toml", "--no-figures", "--out", "out", *_set(overrides)])


def refused(capsys, *overrides):
    return complaint(capsys, "run", "own.toml", "--no-figures", "--out", "out", *_set(overrides))


def _set(overrides):
    return [word for one in overrides for word in ("--set", one)]


def test_a_file_of_ones_own(here, capsys):
    """Laws found and named, certificate, weights by paths; drawn as the constructor draws."""
    assert run() == 0
    told = capsys.readouterr().out
    assert "first -> readout" in told
    result = faflow.open("out")
    laws = result.summary["laws"]
    assert laws["layer-balance"]["places"] == ["first -> readout"]
    assert laws["neuron-balance"]["kept"]
    assert max(laws["neuron-balance"]["rate_at_start"]) < 1e-13
    assert result.summary["alignment"]["places"] == ["readout.weight"]
    assert list(result.series["place_of_layer-balance"].values) == ["first -> readout"]
    start = result.records["start"]
    assert set(start.data_vars) == {
        "first.weight", "readout.weight", "feedback.readout.weight",
    }  # fmt: skip
    np.testing.assert_array_equal(start["feedback.readout.weight"], start["readout.weight"])
    # The balance at the end, from the stored arrays, by hand.
    final = {
        name: result.records["final"][name].values for name in ("first.weight", "readout.weight")
    }
    back = start["feedback.readout.weight"].values
    own = (final["first.weight"] ** 2).sum((1, 2)) / 2
    by_hand = own - (final["readout.weight"] * back).reshape(3, 3, -1).sum((0, 2))
    np.testing.assert_allclose(result.series["neuron-balance_1"].values[-1], by_hand, atol=1e-13)


def test_weights_and_feedback_from_arrays(here, capsys):
    rng = np.random.default_rng(0)
    arrays = {
        "first.weight": 0.3 * rng.normal(size=(3, 1, 3)),
        "readout.weight": 0.3 * rng.normal(size=(3, 21)),
    }
    np.savez("w.npz", **arrays)
    np.savez("f.npz", **{"readout.weight": arrays["readout.weight"] * 2})
    given = ("init.kind=arrays", "init.file=w.npz", "feedback.kind=arrays", "feedback.file=f.npz")
    assert run(*given, *LIGHT) == 0
    start = faflow.open("out").records["start"]
    np.testing.assert_array_equal(start["first.weight"], arrays["first.weight"])
    np.testing.assert_array_equal(start["feedback.readout.weight"], 2 * start["readout.weight"])
    capsys.readouterr()
    np.savez("w.npz", **{"first.weight": arrays["first.weight"]})
    assert "has no array readout.weight of shape (3, 21)" in refused(capsys, *given)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "network.kind=mynet.py:NoModule",
            "network.kind: is 'mynet.py:NoModule', which is no subclass",
        ),
        ("network.kind=mynet.py:Asks", "asks for the value of an array while it is traced"),
        ("network.kind=mynet.py:Silent", "Leaf `idle` of Silent does not reach the outputs"),
        ("network.chanels=2", "network.chanels: is not an option; did you mean 'channels'?"),
        (
            "network.outputs=7",
            "makes outputs of shape (7,) for a sample, but its targets have the shape",
        ),
        ('network.frozen=["second"]', "has 'second', which names no leaf of Net"),
        ('feedback.scales={"head"=2.0}', "has 'head', which names no feedback of the model"),
        ("init.kind=zero", "init.kind: is 'zero', which draws layers"),
        ("rule.kind=fa-star", "rule.kind: is 'fa-star', which needs a network of layers"),
        ("rule.kind=direct-feedback-alignment", "names none; give them as"),
        ("flow.kinks=exact", "serves networks of layers"),
        ('observe.laws=["matrix-balance"]', "keeps no such law on this model"),
        ('observe.controls=["layer-balance"]', "is no law of the gradient on this model"),
        ("network.kind=cn", "network.kind: is 'cn'; did you mean 'cnn'?"),
    ],
)
def test_what_is_refused(here, capsys, override, told):
    assert told in refused(capsys, override)
    assert not (here / "out").exists()


def test_what_fails_in_looking_for_kinks_is_said(here, capsys, monkeypatch):
    """What fails in looking for kinks is said; the flow is not taken for one without."""

    def fails(model, inputs):
        raise KeyError("primitive")

    monkeypatch.setattr(kinds_of_models, "is_kinked", fails)
    assert "KeyError" in refused(capsys, *LIGHT)


def test_a_model_of_tokens(here):
    """How many there are is told by the data; sums over words and over outputs are kept."""
    words = ("network.kind=mynet.py:Words", "task={kind=\"modular-addition\",modulus=3}",
             "task.tokens=true", "task.loss=cross-entropy")  # fmt: skip
    assert run(*words, *LIGHT) == 0
    result = faflow.open("out")
    assert result.records["start"]["embed.weight"].shape == (3, 3)
    assert result.summary["laws"]["readout-sum"]["kept"]


def test_layers_have_no_paths(here, capsys):
    layers = ('network={widths=["inputs",2]}', "task.kind=gaussian", 'feedback.scales={"W1"=2.0}')
    assert "feedback.scales" in refused(capsys, *layers)


def test_a_sweep_over_seeds_and_rules(here, capsys):
    """Members are what single runs are."""
    axes = (
        '[sweep.product]\nseed = { count = 2 }\n"rule.kind" = ["gradient", "feedback-alignment"]\n'
    )
    (here / "own.toml").write_text(CONFIG + axes)
    sweep = ["sweep", "own.toml", "--out", "swept", "--workers", "1", "--no-figures"]
    assert main([*sweep, *_set(LIGHT)]) == 0
    capsys.readouterr()
    swept = faflow.open("swept")
    losses = swept.records["figures"]["loss.final"]
    (here / "own.toml").write_text(CONFIG)
    assert run("seed=1", "rule.kind=gradient", *LIGHT) == 0
    single = json.loads((here / "out" / "summary.json").read_text())["loss"]["final"]
    found = float(losses.sel({"seed": 1, "rule.kind": "gradient"}))
    assert abs(found - single) < 1e-14  # the sum over a convolution may be taken in another order


def test_laws_are_named_and_counted(here, capsys):
    """A hidden layer of three: one law a row; of the read-out alone there is none."""
    layers = ('network={kind="mlp-module",hidden=[3]}', 'task={kind="gaussian",samples=3}',
              "task.features=2", "task.outputs=2")  # fmt: skip
    assert main(["laws", "own.toml", "--json", *_set(layers)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["independent_laws"], report["size"], report["losses"]) == (3, 12, "all")
    named = {law["name"]: law["places"] for law in report["laws"]}
    assert named["neuron-balance"] == ["layers.0 -> layers.1"]
    refusal = complaint(capsys, "laws", "own.toml", *_set(layers), "--block", "layers.7")
    assert "names no leaf that moves" in refusal

"""Samples that are held out, and labels that are right: in runs, sweeps, files and figures."""

import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w
from complaints import complaint

import faflow
from faflow.cli import main
from faflow.config.errors import ConfigError
from faflow.feedback import Feedback
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import Accuracy, have_right_answers
from faflow.plots.learned import accuracy_panels
from faflow.sweeps.plan import plan_of
from faflow.sweeps.sweep import run_sweep
from faflow.sweeps.tables import sweep_rows
from faflow.tasks import make_data

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(8, 3)), np.arange(8) % 2
Y = np.eye(2)[LABELS]
NAMES = ["loss", "accuracy", "test-loss", "test-accuracy"]
TABLE = {
    "name": "held",
    "network": {"widths": [3, 4, 2], "activation": "tanh"},
    "rule": {"kind": "gradient"},
    "flow": {"t1": 0.5, "saves": 3, "solver": "heun", "step": 0.05},
    "observe": {"names": NAMES, "save_weights": True},
}


def by_hand(weights, at, x, y):
    """Loss (mean) and share of labels that are right, in numpy."""
    one, two = (weights[name].values[at] for name in ("W1", "W2"))
    out = np.tanh(x @ one.T) @ two.T
    loss = ((out - y) ** 2).sum() / 2 / len(x)
    return loss, np.mean(out.argmax(1) == y.argmax(1))


@pytest.mark.parametrize("test", [3, 0.375])
def test_a_count_or_a_share(test):
    """The last samples are learned from by nobody, and what is told of them is right."""
    found = faflow.run(
        TABLE, X=X, y=Y, overrides={"task.test": test, "task.reduction": "mean"}, store_result=False
    )
    weights, series = found.records["weights"], found.series
    for at in (0, -1):
        learned = by_hand(weights, at, X[:5], Y[:5])
        held = by_hand(weights, at, X[5:], Y[5:])
        told = [[float(series[n][at]) for n in pair] for pair in (NAMES[:2], NAMES[2:])]
        np.testing.assert_allclose(told, [learned, held], rtol=1e-13)
    alone = faflow.run(
        TABLE, X=X[:5], y=Y[:5], store_result=False,
        overrides={"observe.names": ["loss"], "task.reduction": "mean"},
    )  # fmt: skip
    np.testing.assert_allclose(weights["W1"], alone.records["weights"]["W1"], rtol=1e-13)
    assert found.summary["test"]["samples"] == 3
    assert found.summary["test"]["accuracy"]["final"] == float(series["test-accuracy"][-1])
    (panel,) = accuracy_panels(found)
    assert [curve.column for curve in panel.curves] == ["accuracy", "test-accuracy"]


def test_arrays_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", X=X[:5], y=LABELS[:5], X_test=X[5:], y_test=LABELS[5:])
    table = {**TABLE, "task": {"kind": "arrays", "file": "d.npz", "reduction": "mean"}}
    found = faflow.run(table, store_result=False)
    held = by_hand(found.records["weights"], -1, X[5:], Y[5:])
    assert found.summary["test"]["loss"]["final"] == pytest.approx(held[0], rel=1e-13)
    for arrays, told in (
        ({"X": X, "y": Y, "X_test": X}, "holds X_test, but no y_test"),
        ({"X": X, "y": Y, "X_test": X[:, :2], "y_test": Y}, "`X_test` must have samples of shape"),
    ):
        np.savez("d.npz", **arrays)
        with pytest.raises(ConfigError) as refused:
            faflow.run(table, store_result=False)
        assert told in str(refused.value) and "\n" not in str(refused.value)


def test_in_sweeps(tmp_path):
    """By rule, which is what was asked."""
    np.savez(tmp_path / "d.npz", X=X, y=Y)
    task = {"kind": "arrays", "file": str(tmp_path / "d.npz"), "test": 3}
    rules = ["gradient", "last-layer-only"]
    table = {**TABLE, "task": task, "sweep": {"product": {"rule.kind": rules}}}
    table["observe"] = {"names": NAMES}
    (tmp_path / "swept.toml").write_text(tomli_w.dumps(table))
    sweep = run_sweep(plan_of(tmp_path / "swept.toml"), out=tmp_path / "swept", workers=1)
    told = sweep.records["figures"]["test.accuracy.final"].values
    rows = {row[""].strip(): row["value"] for row in sweep_rows(sweep)}
    assert "test.accuracy.final" in rows and "test.loss.final" in rows
    lines = [row for row in sweep_rows(sweep) if row[""].startswith("  rule.kind")]
    assert len(lines) == 4 * len(rules)
    assert [line["value"] for line in lines[-2:]] == [f"{value:.4g}" for value in told]
    assert "2 rule.kind" in rows["pooled"]


def test_labels_and_signs():
    signs = np.array([[1.0], [-1.0], [1.0]])
    data = make_data(np.eye(3), signs)
    net = MLP((jnp.array([[2.0, 1.0, 3.0]]),), (), ACTIVATIONS["linear"]())
    assert float(Accuracy()(net, Feedback(), data)) == 2 / 3
    assert have_right_answers(signs) and have_right_answers(Y)
    assert not have_right_answers(2 * Y) and not have_right_answers(np.ones((3, 2)))


def test_refused(config, capsys):
    def told(*sets):
        return complaint(capsys, "run", str(config), "--set", "expect={}", *sets)

    names = 'observe.names=["test-loss"]'
    assert "observe.names.0: is 'test-loss', but no samples are held out" in told(names)
    assert "task.test: is 1.5; it must be a whole number" in told("task.test=1.5")
    assert "task.test: is -1; it must be at least 0" in told("task.test=-1")
    assert "must leave samples to learn from, but is 2 of 2" in told("task.test=2")


def test_numbers_have_no_accuracy(config, capsys):
    """It is left out, and said."""
    names = 'observe.names=["loss", "accuracy"]'
    argv = ["run", str(config), "--no-figures", "--out", str(config.parent / "out"), "--set"]
    assert main([*argv, "expect={}", names]) == 0
    assert "note: accuracy was not recorded" in capsys.readouterr().out

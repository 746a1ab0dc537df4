"""Under softmax cross-entropy: the sum over outputs of W_L and of b_L, whatever the rule."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
from complaints import complaint

import faflow
from faflow.config.resolve import resolve_path
from faflow.flow import FlowProblem
from faflow.measures.experiment import build
from faflow.observables import readout_sum
from faflow.rules import RULES, AbstractLayerwiseRule

LAYERWISE = [name for name, rule in RULES.items() if issubclass(rule, AbstractLayerwiseRule)]


def config(rule: str, loss: str = "cross-entropy", **more: Any) -> dict[str, Any]:
    return {
        "name": "readout",
        "network": {"widths": [64, 4, 3, 10], "activation": "tanh", "bias": True,
                    "bias_scale": 0.3},
        "task": {"kind": "digits", "samples": 12, "target": "one-hot", "loss": loss},
        "rule": {"kind": rule},
        "flow": {"t1": 2.0, "saves": 3, "rtol": 1e-3},
        **more,
    }  # fmt: skip


def moved(problem: FlowProblem) -> float:
    """|dQ/dt| over the law's scale, by autodiff along the field."""
    rates, scale = rate_and_scale(problem)
    return max(float(np.max(np.abs(r) / s)) for r, s in zip(rates, scale, strict=True))


@eqx.filter_jit
def rate_and_scale(problem: FlowProblem) -> tuple[Any, Any]:
    rest = (problem.feedback, problem.data)
    law, start = readout_sum(problem.weights), problem.rule.init(problem.weights, *rest)
    velocity = problem.rule.velocity(jax.numpy.zeros(()), start, *rest)

    def value(state: Any) -> Any:
        return law(*problem.rule.read(state, problem.feedback, problem.data), problem.data)

    return jax.jvp(value, (start,), (velocity,))[1], law.scale(problem.weights, *rest)


@pytest.mark.parametrize("rule", LAYERWISE)
def test_every_layerwise_rule_keeps_it(rule: str) -> None:
    experiment = build(resolve_path(config(rule)))
    assert moved(experiment.problem) < 1e-14
    assert experiment.laws["readout-sum"][1]
    squared = build(resolve_path(config(rule, "squared")))
    assert moved(squared.problem) > 1e-3 and "readout-sum" not in squared.laws


def test_a_flow_keeps_it_to_rounding_at_any_tolerance() -> None:
    """It is linear in the weights. Four entries: the last hidden layer's neurons, and the bias."""
    found = faflow.run(config("feedback-alignment"), store_result=False)
    law = found.summary["laws"]["readout-sum"]
    assert law["claimed"] and law["kept"] and law["layers"] == [2]
    assert max(law["relative_drift"]) < 1e-14
    assert found.summary["loss"]["final"] < 0.9 * found.summary["loss"]["initial"]
    record = found.records["records"]["readout-sum_2"]
    final = {name: found.records["final"][name].values for name in ("W3", "b3")}
    told = [*final["W3"].sum(axis=0), final["b3"].sum()]
    np.testing.assert_allclose(record.values[-1], told, rtol=1e-14, atol=1e-14)


def test_as_a_control_it_is_broken() -> None:
    observe = {"names": ["laws"], "controls": ["readout-sum"]}
    found = faflow.run(config("gradient", "squared", observe=observe), store_result=False)
    law: Mapping[str, Any] = found.summary["laws"]["readout-sum"]
    assert not law["claimed"] and not law["kept"] and max(law["relative_drift"]) > 1e-3


def test_where_it_is_none(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the squared loss the errors sum to nothing."""
    asked = ("--set", "observe.laws=['readout-sum']", "--set", "observe.controls=[]")
    said = complaint(capsys, "run", "relu-exact", *asked, "--out", str(tmp_path / "no"))
    assert "observe.laws.0: is 'readout-sum', but it needs softmax cross-entropy" in said

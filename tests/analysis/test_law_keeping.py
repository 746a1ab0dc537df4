"""Laws kept and claimed are told apart, and exponents compared only where there are two."""

import tomllib
from typing import ClassVar

import jax.numpy as jnp
import pytest
from small import VALID

import faflow
from faflow.analysis.law_keeping import are_kept, perturbed, rates_near
from faflow.flow import FlowProblem
from faflow.measures.experiment import build
from faflow.measures.exponent import _line as exponent_line
from faflow.measures.exponent import exponent_warnings
from faflow.observables import FeedbackPotential, balance_laws
from faflow.rules import AbstractLayerwiseRule, FeedbackAlignment, backward_sweep
from faflow.runs.run import resolve_path


class Silent(AbstractLayerwiseRule):
    """Feedback alignment that claims nothing."""

    equation: ClassVar[str] = "FA"
    source: ClassVar[str] = "none"
    form: ClassVar = "layerwise"

    def deltas(self, weights, feedback, trace, error):
        return FeedbackAlignment().deltas(weights, feedback, trace, error)

    def laws(self, weights):
        return {}


class Boastful(AbstractLayerwiseRule):
    """A field that is none of a law's, claimed all the same."""

    equation: ClassVar[str] = "twice the feedback"
    source: ClassVar[str] = "none"
    form: ClassVar = "layerwise"

    def deltas(self, weights, feedback, trace, error):
        return backward_sweep(weights, [2 * f for f in feedback.matrices], trace, error)

    def laws(self, weights):
        return balance_laws(weights, FeedbackPotential())


@pytest.mark.parametrize(
    ("rule", "claimed", "kept", "warning"),
    [
        ("Silent", False, True, "not claimed by the rule, but kept by its field"),
        ("Boastful", True, False, "claimed by the rule, but its field breaks it"),
    ],
)
def test_claim_and_finding(rule: str, claimed: bool, kept: bool, warning: str) -> None:
    table = tomllib.loads(VALID) | {"rule": {"kind": f"{__name__}:{rule}"}, "expect": {}}
    table["observe"] = {"names": ["laws", "alignment"]}
    summary = faflow.run(table, store_result=False).summary
    law = summary["laws"]["layer-balance"]
    assert (law["claimed"], law["kept"]) == (claimed, kept)
    assert any(warning in text for text in summary["warnings"])
    assert any("is not kept" in text for text in summary["warnings"]) is not kept
    # Floors come from kept laws alone, and an unnamed one gives none.
    alignment = summary["alignment"]
    assert "floor" not in alignment and not alignment["certified"]
    assert ("its field breaks" in alignment["no_floor"]) is claimed


def test_a_floor_needs_no_recorded_law() -> None:
    """The law behind it is measured where it was not recorded."""
    for rule, there in (("Boastful", False), ("feedback-alignment", True)):
        kind = rule if there else f"{__name__}:{rule}"
        table = tomllib.loads(VALID) | {"rule": {"kind": kind}, "expect": {}}
        table["observe"] = {"names": ["alignment"]}
        alignment = faflow.run(table, store_result=False).summary["alignment"]
        assert ("floor" in alignment) is there


def test_zero_weights_prove_nothing() -> None:
    """From W(0) = 0 every rate is zero at the start, whatever the field."""
    table = tomllib.loads(VALID) | {"init": {"kind": "zero"}}
    problem = build(resolve_path(table)).problem
    assert all(jnp.any(leaf != 0) for leaf in perturbed(problem.weights).weights)
    law = FeedbackAlignment().laws(problem.weights)["layer-balance"]
    assert are_kept(rates_near({"law": law}, problem), 1e-9)["law"]
    other = FlowProblem(Boastful(), problem.weights, problem.feedback, problem.data)
    assert not are_kept(rates_near({"law": law}, other), 1e-9)["law"]


def test_exponents_are_compared_only_where_both_are() -> None:
    fine = {"status": "ok", "predicted_status": "ok", "predicted_by": "x", "rate": 1.0,
            "stderr": 1e-3, "relative_error": 0.01}  # fmt: skip
    assert exponent_warnings({}) == exponent_warnings(fine) == []
    (off,) = exponent_warnings(fine | {"relative_error": 0.05})
    assert "5 % away" in off
    assert exponent_warnings(fine | {"relative_error": 0.05, "stderr": 0.1}) == []
    (floor,) = exponent_warnings(fine | {"status": "floor-reached", "relative_error": None})
    assert "shorter flow.t1" in floor and "flow.spacing = 'log'" in floor and "flow.tail" in floor
    (none,) = exponent_warnings(fine | {"predicted_status": "partial", "relative_error": None})
    assert "partial" in none


def test_no_prediction_means_no_error() -> None:
    table = tomllib.loads(VALID) | {"expect": {}, "observe": {"names": ["exponent"]}}
    exponent = faflow.run(table, store_result=False).summary["exponent"]
    assert exponent["predicted_status"] == "residual-stays" and exponent["relative_error"] is None


def test_a_fit_that_is_none_says_why_without_dashes() -> None:
    none = {"status": "not-decaying", "rate": None, "stderr": None, "window": [0.0, 20.0]}
    for rate in (None, float("nan")):
        line = exponent_line(none | {"rate": rate})
        assert line.startswith("not-decaying (too little decay to fit") and " - " not in line
    fitted = {"status": "ok", "rate": 2.0, "stderr": 0.1, "window": [1.0, 2.0]}
    assert exponent_line(fitted) == "ok: rate 2 +- 0.1 over t = 1 2"

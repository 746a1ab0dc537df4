"""atol beside small weights: what is said, and what is certified, against the logistic curve."""

import math

import numpy as np
import pytest

from faflow.runs.certify import certify
from faflow.runs.run import resolve_path, run


def config(folder, scale, t1, **flow):
    one = np.ones((1, 1))
    file = folder / "one.npz"
    np.savez(file, X=one, y=one, W1=scale * one, W2=scale * one)
    return {
        "name": "logistic",
        "network": {"widths": [1, 1, 1]},
        "init": {"kind": "arrays", "file": str(file)},
        "task": {"kind": "arrays", "file": str(file)},
        "rule": {"kind": "gradient"},
        "flow": {"t1": t1, "saves": 3, "solver": "tsit5", **flow},
        "observe": {"names": ["loss", "norms"]},
    }


def certified(table):
    resolved = resolve_path(table)
    result = run(resolved, store_result=False)
    return certify(resolved, result, note=lambda text: None), result


def true_digits(result, scale, t1):
    """Of W_1 = W_2 = w: (w^2)' = 2 w^2 (1 - w^2) from scale^2."""
    odds = math.exp(2 * (t1 + math.log(scale))) / (1 - scale**2)
    right = math.sqrt(odds / (1 + odds))
    found = result.records["final"]["W1"].values.item()
    off = abs(found - right) / right
    return 16.0 if off == 0 else math.log10(5 / off)


SCALES = (1e-3, 1e-6, 1e-7, 1e-8, 1e-20, 1e-30)


@pytest.mark.parametrize("scale", SCALES)
def test_no_more_digits_are_claimed_than_are_there(tmp_path, scale):
    for left in (-1.0, 8.0):  # before the escape, after it
        t1 = -math.log(scale) + left
        with_own, result = certified(config(tmp_path, scale, t1, atol=1e-8))
        claimed = with_own.summary["certificate"]["weights"]["digits"]
        assert claimed <= true_digits(result, scale, t1) + 1e-6
        loose = scale < 1e-7 or scale == 1e-7
        said = "no small part of the weights"
        assert any(said in line for line in result.summary["warnings"]) == loose
        assert (said in with_own.summary["certificate"].get("none", "")) == loose
        if loose:
            figures = with_own.summary["certificate"]["figures"].values()
            records = with_own.summary["certificate"]["records"].values()
            assert claimed == 0 == max(record["digits"] for record in records)
            assert not any(np.any(figure.get("digits", 0)) for figure in figures)
        elif left > 0:
            assert claimed >= 7


def test_the_default_is_right_and_says_that_it_follows(tmp_path):
    for scale in (1e-6, 1e-20):
        t1 = -math.log(scale) - 1
        sure, result = certified(config(tmp_path, scale, t1))
        solver = result.summary["solver"]
        assert solver["follows"] == pytest.approx(scale) and solver["atol"] == 1e-11
        assert not any("atol" in line for line in result.summary["warnings"])
        claimed = sure.summary["certificate"]["weights"]["digits"]
        assert 7 < claimed <= true_digits(result, scale, t1) + 1e-6
    ordinary = run(config(tmp_path, 0.1, 1.0), store_result=False).summary
    assert "follows" not in ordinary["solver"]


def test_a_stored_config_keeps_what_was_chosen(tmp_path):
    for given, scales in (({}, True), ({"atol": 1e-8}, False)):
        flow = resolve_path(config(tmp_path, 0.1, 1.0, **given)).flow
        assert flow.atol_scales is scales
        again = config(tmp_path, 0.1, 1.0, atol=flow.atol, atol_scales=flow.atol_scales)
        assert resolve_path(again).flow == flow

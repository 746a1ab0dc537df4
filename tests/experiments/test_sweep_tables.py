"""Tables of sweeps against numpy by hand."""

import numpy as np
import pytest
import swept

from faflow.analysis import fit_exponent
from faflow.experiments import ConfigError, Members, drift_distribution, fit_distribution, spread

AXES = {
    "network.widths": ["4-3-1", "4-8-1"],
    "feedback.scale": [0.1, 1.0, 10.0],
    "seed": [*range(5)],
}


def number(text):
    return float("nan") if text == "-" else float(text)


@pytest.fixture
def sweep(tmp_path):
    return swept.sweep(tmp_path, AXES, statuses={(0, 1, 2): "blow-up", (1, 2, 0): "pending"})


def test_spread_is_that_of_the_finite_values() -> None:
    values = np.array([[1.0, np.nan, 3.0, np.inf, 8.0], [np.nan] * 5])
    found = spread(values, 1)
    kept = np.array([1.0, 3.0, 8.0])
    assert found.known.tolist() == [3, 0]
    expected = [3.0, *np.quantile(kept, [0.1, 0.9]), 1.0, 8.0]
    np.testing.assert_allclose([column[0] for column in found[1:]], expected)
    assert all(np.isnan(column[1]) for column in found[1:])


def test_axes_are_parameters_but_for_seeds(sweep) -> None:
    members = Members(sweep.records)
    assert [p.key for p in members.parameters] == ["network.widths", "feedback.scale"]
    widths, scale = members.parameters
    assert widths.numbers.tolist() == [3, 8] and widths.widths and not scale.widths
    assert scale.numbers.tolist() == AXES["feedback.scale"]
    assert members.statuses.shape == (2, 3, 5)
    assert np.argwhere(~members.orderly).tolist() == [[0, 1, 2], [1, 2, 0]]


def test_all_axes_of_seeds_are_one_wherever_they_stand(tmp_path) -> None:
    axes = {"seed": [3, 4], "rule.kind": ["a", "b", "c"], "task.seed": [0, 1, 2]}
    made = swept.sweep(tmp_path, axes)
    rates = made.records["figures"]["exponent.rate"].values
    found = Members(made.records).figure("exponent.rate")
    np.testing.assert_array_equal(found, rates.transpose(1, 0, 2).reshape(3, 6))


def test_zip_is_named_by_its_numbers(tmp_path) -> None:
    made = swept.sweep(tmp_path, {"zip": [0, 1, 2], "seed": [0, 1]})
    columns = {"rule.kind": ("zip", ["a", "b", "c"]), "init.scale": ("zip", [1.0, 3.0, 9.0])}
    figures = made.records["figures"].to_dataset().drop_vars("zip").assign_coords(columns)
    made.records["figures"] = type(made.records)(figures)
    (parameter,) = Members(made.records).parameters
    assert parameter.key == "init.scale" and parameter.numbers.tolist() == [1, 3, 9]


def test_same_short_names_are_told_apart(tmp_path) -> None:
    axes = {"feedback.scale": [1.0, 2.0], "init.scale": [1.0, 2.0], "rule.kind": ["a"]}
    shorts = [p.short for p in Members(swept.sweep(tmp_path, axes).records).parameters]
    assert shorts == ["feedback.scale", "init.scale", "rule"]


def test_fits_are_those_of_the_members(sweep) -> None:
    rows = fit_distribution(sweep)
    rates = sweep.records["figures"]["exponent.rate"].values
    assert [(row["network.widths"], row["feedback.scale"]) for row in rows] == [
        (width, f"{scale:.4g}")
        for width in AXES["network.widths"]
        for scale in AXES["feedback.scale"]
    ]
    for row, mine in zip(rows, rates.reshape(6, 5), strict=True):
        kept = mine[np.isfinite(mine)]
        assert (row["members"], row["fitted"]) == ("5", str(kept.size))
        told = [number(row[key]) for key in ("median", "10 %", "90 %", "std")]
        expected = [*np.quantile(kept, [0.5, 0.1, 0.9]), np.std(kept, ddof=1)]
        np.testing.assert_allclose(told, expected, rtol=1e-3)
        np.testing.assert_allclose(number(row["relative error"]), 0.01 / 1.01, rtol=1e-3)
    assert rows[1]["not fitted"] == "1 too-few-points" and rows[0]["not fitted"] == ""


def test_a_window_is_fitted_anew(sweep) -> None:
    row = fit_distribution(sweep, (1.0, 6.0))[1]
    records = sweep.records["records"]
    times, residual = records["time"].values[0, 1], records["residual"].values[0, 1]
    fits = [fit_exponent(t, r, window=(1.0, 6.0)) for t, r in zip(times, residual, strict=True)]
    rates = [fit.rate for fit in fits if fit.status == "ok"]
    assert row["fitted"] == str(len(rates))
    np.testing.assert_allclose(number(row["median"]), np.median(rates), rtol=1e-3)


def test_residuals_are_fitted_where_no_member_was(tmp_path) -> None:
    made = swept.sweep(tmp_path, {"seed": [0, 1, 2]}, exponents=False)
    (row,) = fit_distribution(made)
    assert row["fitted"] == "3" and row["predicted"] == "-"
    without = swept.sweep(tmp_path, {"seed": [0, 1]}, exponents=False, records=("loss",))
    with pytest.raises(ConfigError, match="has no residual"):
        fit_distribution(without)
    with pytest.raises(ConfigError, match="earlier first"):
        fit_distribution(made, (2.0, 1.0))


def test_drifts_are_the_largest_over_layers(sweep) -> None:
    rows = drift_distribution(sweep)
    drift = sweep.records["figures"][f"laws.{swept.LAW}.relative_drift"].values
    worst = drift.max(axis=-1).reshape(6, 5)
    for row, mine in zip(rows, worst, strict=True):
        kept = mine[np.isfinite(mine)]
        assert row["law"] == swept.LAW
        assert (row["members"], row["measured"], row["kept"]) == ("5", *[str(kept.size)] * 2)
        np.testing.assert_allclose(number(row["median"]), np.median(kept), rtol=1e-3)
        np.testing.assert_allclose(number(row["largest"]), kept.max(), rtol=1e-3)
    assert rows[-1]["measured"] == "4"


def test_an_axis_of_words_has_its_own_name(tmp_path) -> None:
    made = swept.sweep(tmp_path, {"network.activation": ["linear", "relu"], "seed": [0, 1]})
    kinks = {"flow.kinks": ("network.activation", ["plain", "exact"])}
    figures = made.records["figures"].to_dataset().assign_coords(kinks)
    made.records["figures"] = type(made.records)(figures)
    (parameter,) = Members(made.records).parameters
    assert (parameter.short, parameter.labels) == ("activation", ("linear", "relu"))

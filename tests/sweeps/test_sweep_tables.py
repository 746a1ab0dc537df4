"""Tables of sweeps against numpy by hand."""

import numpy as np
import pytest
import swept

from faflow.analysis import fit_exponent
from faflow.config.errors import ConfigError
from faflow.sweeps.distribution import Members, spread_of
from faflow.sweeps.tables import drift_distribution, fit_distribution, sweep_rows

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
    found = spread_of(values, 1)
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


TWELVE = {"rule.kind": ["a", "b"], "init.scale": [0.1, 1.0, 10.0], "seed": [0, 1]}


def report(made) -> dict[str, dict[str, str]]:
    """The rows of a sweep's table by their names."""
    made.summary["statuses"] = {"completed": 12}
    return {row[""]: row for row in sweep_rows(made)}


def test_one_of_twelve_is_no_distribution(tmp_path) -> None:
    """It read "3.439 (3.439 to 3.439)", and nothing of the others."""
    made = swept.sweep(tmp_path, TWELVE)
    figures = made.records["figures"]
    rate = figures["exponent.rate"].values[1, 2, 0]
    figures["exponent.status"].values[:] = "too-few-points"
    figures["exponent.status"].values[1, 2, 0] = "ok"
    row = report(made)["exponent.rate"]
    assert (row["value"], row["of"]) == (f"{rate:.4g}", "1 of 12")
    assert row["the others"] == (
        "11 too-few-points at rule a (6 of 6), b (5 of 6); scale 0.1 (4 of 4), 1 (4 of 4), "
        "10 (3 of 4): raise flow.saves, or set flow.spacing = 'log'"
    )
    fits = fit_distribution(made)
    assert [row["fitted"] for row in fits] == ["0"] * 5 + ["1"]
    assert fits[0]["not fitted"] == "2 too-few-points"
    assert fits[0]["would help"] == "too-few-points: raise flow.saves, or set flow.spacing = 'log'"


def test_a_fit_that_was_refused_is_no_rate(tmp_path) -> None:
    """A slope that is bent is a number, and no exponent."""
    made = swept.sweep(tmp_path, TWELVE)
    figures = made.records["figures"]
    figures["exponent.status"].values[0] = "not-exponential"
    figures["exponent.rate"].values[0] = 1e6
    row = report(made)["exponent.rate"]
    assert row["of"] == "6 of 12" and "1e+06" not in row["value"]
    assert "6 not-exponential at rule a (6 of 6): run longer" in row["the others"]
    figures["exponent.status"].values[0] = "floor-reached"  # where it would only add noise
    row = next(row for row in sweep_rows(made) if row[""] == "exponent.rate")
    assert "run longer" not in row["the others"] and "a shorter flow.t1" in row["the others"]


def test_a_broken_law_is_marked(tmp_path) -> None:
    made = swept.sweep(tmp_path, TWELVE, statuses={(1, 0, 0): "pending"})
    figures = made.records["figures"]
    figures[f"laws.{swept.LAW}.kept"].values[0] = 0.0
    figures[f"laws.{swept.LAW}.relative_drift"].values[0] = 0.25
    row = report(made)[f"laws.{swept.LAW}.relative_drift"]
    kept, broken = row["value"].split("; ")
    assert "NOT KEPT by 6, drift 0.25  (0.25 to 0.25), at rule a (6 of 6)" in broken
    assert "largest of 2 layers" in broken and "NOT" not in kept
    assert float(kept.split()[0]) < 1e-7
    assert row["of"] == "11 of 12" and "1 pending" in row["the others"]
    rows = drift_distribution(made)
    assert [row["verdict"] for row in rows] == ["NOT KEPT"] * 3 + ["kept"] * 3
    assert all(row["over"] == "largest of 2 layers" for row in rows)
    assert rows[3]["not measured"] == "1 pending"
    figures[f"laws.{swept.LAW}.kept"].values[1, 1, 0] = 0.0
    assert drift_distribution(made)[4]["verdict"] == "NOT KEPT by 1"


def test_nothing_is_said_of_others_where_there_are_none(tmp_path) -> None:
    made = swept.sweep(tmp_path, TWELVE)
    assert all(not row.get("the others") for row in report(made).values())
    assert all(
        "would help" not in row for row in [*fit_distribution(made), *drift_distribution(made)]
    )


def test_labels_have_the_digits_that_tell_them_apart(tmp_path) -> None:
    axes = {"init.scale": [1.0, 1.00001, 2.0], "seed": [12345, 12346]}
    members = Members(swept.sweep(tmp_path, axes).records)
    assert members.parameters[0].labels == ("1", "1.00001", "2")
    assert members.seed_labels == ("12345", "12346")

"""Figures of sweeps made by hand: medians and bands by numpy, titles that count, safe names."""

import csv

import numpy as np
import pytest
import swept
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from faflow.plots.frame import Frame
from faflow.plots.render import render, title_lines
from faflow.plots.style import FEW, HOUSE
from faflow.plots.sweep import draw_sweep
from faflow.plots.sweep.against import against_figure
from faflow.plots.sweep.maps import median_maps, status_map
from faflow.plots.sweep.over_time import drift_figure, record_figure
from faflow.plots.sweep.series import on_common_times
from faflow.plots.sweep.split import PANELS, split
from faflow.sweeps.distribution import Members

AXES = {"rule.kind": ["a", "b"], "feedback.scale": [0.1, 1.0, 10.0], "seed": [*range(5)]}
FAILED = {(0, 1, 2): "blow-up", (1, 2, 0): "pending"}


@pytest.fixture
def sweep(tmp_path):
    return swept.sweep(tmp_path, AXES, statuses=FAILED)


def table(path):
    """{column: texts} of a figure's table, without its comment."""
    _, *lines = path.read_text("utf-8").splitlines()
    names, *rows = list(csv.reader(lines))
    assert len(set(names)) == len(names)
    return dict(zip(names, np.asarray(rows).T, strict=True))


def drawn(paths):
    return {path.stem for path in paths if path.suffix == ".png"}


def words(figure):
    frame = Frame("", np.zeros(0))
    titles = [line for panel in figure.panels for line in title_lines(panel, frame)]
    return " ".join([*figure.heading, *titles])


def test_all_figures_are_there_and_their_tables_hold_the_data(sweep) -> None:
    paths = draw_sweep(sweep)
    maps = {"map-rate", "map-final-loss", f"map-{swept.LAW}", "status"}
    expected = {"loss", "residual", f"drift-{swept.LAW}", "against-feedback.scale", *maps}
    assert drawn(paths) == expected and len(paths) == 3 * len(expected)
    assert all(path.stat().st_size > 0 for path in paths)
    records, figures = sweep.records["records"], sweep.records["figures"]

    losses = table(sweep.folder / "figures" / "loss.csv")
    name = "loss rule.kind=b feedback.scale=0.1"
    mine = records["loss"].values[1, 0]
    np.testing.assert_array_equal(losses["time"].astype(float), np.linspace(0, 10, swept.SAVES))
    np.testing.assert_array_equal(losses[name].astype(float), np.median(mine, axis=0))
    for edge, share in {"10-90 % lower": 0.1, "10-90 % upper": 0.9, "range lower": 0.0}.items():
        told = losses[f"{name} {edge}"].astype(float)
        np.testing.assert_allclose(told, np.quantile(mine, share, axis=0), rtol=1e-14)

    rates = table(sweep.folder / "figures" / "against-feedback.scale.csv")
    values = figures["exponent.rate"].values
    assert rates["feedback.scale"].astype(float).tolist() == AXES["feedback.scale"]
    for column, factor in {"fitted": 1.0, "predicted": 1.01}.items():
        told = rates[f"{column} rate rule.kind=a"].astype(float)
        np.testing.assert_allclose(told, factor * np.nanmedian(values[0], axis=-1), rtol=1e-14)

    cells = table(sweep.folder / "figures" / "map-rate.csv")
    assert [*zip(cells["rule.kind"], cells["feedback.scale"], strict=True)][:4] == [
        ("a", "0.1"), ("a", "1"), ("a", "10"), ("b", "0.1"),
    ]  # fmt: skip
    np.testing.assert_array_equal(
        cells["median"].astype(float), np.nanmedian(values, axis=-1).ravel()
    )
    assert cells["members"].astype(int).tolist() == [5, 4, 5, 5, 5, 4]

    status = table(sweep.folder / "figures" / "status.csv")
    assert status["status"].tolist() == figures["status"].values.ravel().tolist()


def test_every_figure_says_whose_it_is(tmp_path) -> None:
    records = ("loss", "residual", "law", "alignment_cosine")
    made = swept.sweep(tmp_path, AXES, statuses=FAILED, records=records, name="whose")
    paths = draw_sweep(made, HOUSE._replace(kinds=("csv",)))
    assert {"alignment-1", f"drift-{swept.LAW}", "against-feedback.scale", "status"} <= {
        path.stem for path in paths
    }
    for path in paths:
        said, *_ = path.read_text("utf-8").splitlines()
        assert said.startswith(f"# {path.stem} of whose (")


def test_relative_drift_is_the_one_of_the_summary(sweep) -> None:
    members = Members(sweep.records)
    figure = drift_figure(members, swept.LAW)
    assert figure is not None
    curve = next(
        c for p in figure.panels for c in p.curves if c.column.endswith("a feedback.scale=10")
    )
    values = sweep.records["records"][swept.LAW].values[0, 2]
    by_hand = np.max(np.abs(values - values[:, :1]), axis=-1) / 2.0
    np.testing.assert_allclose(curve.values, np.median(by_hand, axis=0), rtol=1e-12)
    drift = sweep.records["figures"][f"laws.{swept.LAW}.relative_drift"].values
    np.testing.assert_allclose(by_hand.max(axis=1), drift[0, 2].max(axis=-1), rtol=1e-12)


def test_titles_count_who_did_not_run_to_the_end(sweep) -> None:
    members = Members(sweep.records)
    told = "2 of 30 flows did not run to their end: 1 blow-up, 1 pending"
    for figure in (record_figure(members, "loss", "loss", "auto"), against_figure(members, 1)):
        assert figure is not None and told in words(figure)
    drift, status = drift_figure(members, swept.LAW), status_map(members)
    assert drift is not None and status is not None
    assert told in words(drift) and told in words(status)
    assert "in all 29 (of 30) that recorded it" in words(drift)  # the pending one has no drift
    (panel,) = status.panels
    assert panel.cells is not None
    assert panel.cells.words == ("blow-up (1)", "completed (28)", "pending (1)")


def test_a_curve_goes_on_when_a_member_breaks_and_ends_when_one_is_done(tmp_path) -> None:
    axes = {"feedback.scale": [1.0, 2.0], "seed": [0, 1, 2]}
    statuses = {(0, 1): "blow-up", (1, 1): "target-reached"}
    members = Members(swept.sweep(tmp_path, axes, statuses=statuses).records)
    losses = members.record("loss")
    assert losses is not None
    series = on_common_times(members, losses)
    assert series is not None and series.cut
    half = swept.SAVES // 2
    counts = np.isfinite(series.values).sum(axis=1)
    assert counts[0].tolist() == [3] * half + [2] * (swept.SAVES - half)
    assert counts[1].tolist() == [3] * half + [0] * (swept.SAVES - half)


def test_laws_that_are_none_are_said_to_be_none(sweep) -> None:
    kept = sweep.records["figures"][f"laws.{swept.LAW}.kept"]
    kept.values[0] = 0.0
    figure = drift_figure(Members(sweep.records), swept.LAW)
    assert figure is not None and "in 14 of 29 flows; in the others drift up to" in words(figure)
    kept.values[:] = 0.0
    figure = drift_figure(Members(sweep.records), swept.LAW)
    assert figure is not None and "a law in none of 29 (of 30)" in words(figure)


def test_without_seeds_there_are_curves_and_no_bands(tmp_path) -> None:
    made = swept.sweep(tmp_path, {"rule.kind": ["a"], "init.scale": [1.0, 2.0]})
    figure = record_figure(Members(made.records), "residual", "residual", "log")
    assert figure is not None and not any(panel.bands for panel in figure.panels)
    values = made.records["records"]["residual"].values[0]
    curves = [curve.values for panel in figure.panels for curve in panel.curves]
    np.testing.assert_array_equal(curves, values)
    assert "seeds" not in words(figure)
    assert status_map(Members(made.records)) is None


@pytest.mark.parametrize("lines", [3, 4])
def test_bands_are_drawn_while_they_can_be_told_apart(tmp_path, lines) -> None:
    axes = {"feedback.scale": [float(2**i) for i in range(lines)], "seed": [0, 1]}
    figure = record_figure(Members(swept.sweep(tmp_path, axes).records), "loss", "loss", "auto")
    assert figure is not None
    (panel,) = figure.panels
    assert len(panel.bands) == 2 * lines and {b.drawn for b in panel.bands} == {lines == 3}
    ax = Figure().add_subplot()
    render(ax, panel, Frame("", figure.times))
    areas = [a for a in ax.collections if isinstance(a, PolyCollection)]
    assert len(areas) == (2 * lines if lines == 3 else 0)
    assert ("in the table" in words(figure)) == (lines == 4)


def test_no_figure_without_its_record(tmp_path) -> None:
    axes = {"rule.kind": ["a", "b"], "seed": [0, 1]}
    made = swept.sweep(tmp_path, axes, records=("residual",), exponents=False)
    assert drawn(draw_sweep(made)) == {"residual"}  # no numbers on an axis, all completed
    assert median_maps(Members(made.records)) == []


def test_nothing_that_ran_is_still_a_map(tmp_path) -> None:
    statuses = dict.fromkeys(np.ndindex(2, 2), "pending")
    made = swept.sweep(tmp_path, {"init.scale": [1.0, 2.0], "seed": [0, 1]}, statuses=statuses)
    assert drawn(draw_sweep(made)) == {"status"}


def test_odd_names_are_drawn_letter_by_letter(tmp_path) -> None:
    axes = {
        "_a$b_{x}": ["_$\\frac{1}$", '100 %, "q"'],
        "b:c d": [1.0, 3.0],
        "seed": [0, 1],
    }
    made = swept.sweep(
        tmp_path,
        axes,
        law="odd $law_{2}:3",
        name="$x_1$ \\alpha",
        statuses={(0, 0, 1): "odd_$tatus$"},
        records=("loss", "law"),
        exponents=False,
    )
    paths = draw_sweep(made)
    assert "map-odd-law_-2-3" in drawn(paths) and "against-b-c-d" in drawn(paths)
    assert all(path.parent == tmp_path / "figures" for path in paths)
    columns = table(tmp_path / "figures" / "loss.csv")
    assert 'loss _a$b_{x}=100 %, "q" b:c d=3' in columns


def test_many_values_are_split_or_chosen_evenly_and_said(tmp_path) -> None:
    axes = {"init.scale": [float(i) for i in range(1, 12)], "rule.kind": [*"abcdefghij"]}
    parameters = Members(swept.sweep(tmp_path, axes).records).parameters
    groups, notes = split(parameters)
    assert len(groups) <= PANELS and all(len(group.lines) <= FEW for group in groups)
    assert notes == [
        "6 of 11 values of init.scale are shown",
        "8 of 10 values of rule.kind are shown",
    ]
    assert [line.place[0] for line in groups[0].lines] == [0, 2, 4, 6, 8, 10]
    words_only, said = split(parameters[1:])
    assert [len(group.lines) for group in words_only] == [6, 4] and said == []


def test_three_parameters_make_a_map_for_each_value_of_the_third(tmp_path) -> None:
    axes = {"init.scale": [1.0, 2.0, 3.0], "rule.kind": ["a", "b"], "feedback.scale": [0.1, 1.0]}
    made = swept.sweep(tmp_path, {"seed": [0, 1, 2]} | axes)
    rate, *_ = median_maps(Members(made.records))
    assert len(rate.panels) == 2
    values = np.median(made.records["figures"]["exponent.rate"].values, axis=0)
    for k, panel in enumerate(rate.panels):
        assert panel.cells is not None and panel.cells.columns == ("1", "2", "3")
        np.testing.assert_array_equal(panel.cells.values, values[:, :, k].T)
    assert all(against_figure(Members(made.records), i) is not None for i in (0, 2))

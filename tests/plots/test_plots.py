"""Figures of results made by hand: all there, tables exact, nothing warned about."""

import csv
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import plot_results
import pytest
import xarray as xr
from matplotlib.figure import Figure

from faflow.measures.variables.groups import Group, Variable
from faflow.plots import FIGURES, draw
from faflow.plots.draw import compose
from faflow.plots.frame import run_frame
from faflow.plots.overview import overview
from faflow.plots.render import render
from faflow.plots.style import Powers, house_style, plain_text
from faflow.plots.table import csv_table as table_of
from faflow.store.result import Result

# Of exact flows, of configs with twins, modifiers, the kernel observed, of population rules, of
# infinite width, of labels, of the user's own.
NOT_OF_THESE = ("raster", "events", "gates", "discrete", "forecast", "kernel", "population",
                "wide", "wide-kernels", "accuracy", "own")  # fmt: skip
FLOW = [*(name for name in FIGURES if name not in NOT_OF_THESE), "overview"]
EXPECTED = {
    "linear": FLOW,
    "control": [name for name in FLOW if name != "limit"],
    "early": FLOW,
    "deep": ["drift", "alignment", "loss", "norms", "overview"],
    "sliding": ["raster", "loss", "events", "gates", "overview"],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("results")
    return {name: make(base / name) for name, make in plot_results.ALL.items()}


@pytest.fixture(scope="module")
def drawn(folders):
    return draw(plot_results.read(folders["linear"]))


def panels(folder, figure):
    with house_style():
        return FIGURES[figure](plot_results.read(folder))


def table(path):
    """(comment, {column: values}) of a figure's table."""
    comment, *lines = path.read_text("utf-8").splitlines()
    names, *rows = list(csv.reader(lines))
    return comment, dict(zip(names, np.asarray(rows, np.float64).T, strict=True))


def entries(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []


def axes_of(folder, figure):
    stored = plot_results.read(folder)
    with house_style():
        return compose(FIGURES[figure](stored), run_frame(stored), 1).axes


def test_what_was_just_computed_is_drawn_without_xarray(drawn, folders, tmp_path):
    """Its import takes half as long as the overview."""
    stored = plot_results.read(folders["linear"])
    dataset = stored.records["records"].to_dataset()
    variables, coordinates = (
        {str(name): Variable(found.dims, found.values, found.attrs) for name, found in some.items()}
        for some in (dataset.data_vars, dataset.coords)
    )

    def tree():
        raise AssertionError("xarray's tree was made")

    groups = {"records": Group(variables, coordinates)}
    shutil.copytree(folders["linear"], tmp_path, dirs_exist_ok=True)
    fresh = Result(stored.summary, tree, tmp_path, fresh=True, groups=groups)
    for path in draw(fresh, ["overview"]):
        assert path.read_bytes() == (folders["linear"] / "figures" / path.name).read_bytes()


# ---- files --------------------------------------------------------------------------------------


def test_every_figure_is_written(drawn, folders):
    names = [f"{name}.{kind}" for name in EXPECTED["linear"] for kind in ("png", "pdf", "csv")]
    assert [path.name for path in drawn] == names
    for path in drawn:
        assert path.parent == folders["linear"] / "figures"
        start = path.read_bytes()[:4]
        assert (
            start == {".png": b"\x89PNG", ".pdf": b"%PDF", ".csv": b"# " + start[2:]}[path.suffix]
        )
        assert path.stat().st_size > 500


@pytest.mark.parametrize("name", ["control", "early", "deep", "sliding"])
def test_figures_are_those_with_records(folders, name):
    stored = plot_results.read(folders[name])
    assert [figure for figure in FIGURES if FIGURES[figure](stored)] == EXPECTED[name][:-1]


def test_drawing_again_gives_the_same_bytes(folders, drawn):
    before = {path: path.read_bytes() for path in drawn}
    for path in draw(plot_results.read(folders["linear"]), only=["alignment"]):
        assert path.read_bytes() == before[path], path.name


def test_files_carry_no_dates(drawn):
    for path in drawn:
        assert b"CreationDate" not in path.read_bytes()


def test_users_settings_are_left_alone_and_do_not_matter(folders, drawn):
    before = {path: path.read_bytes() for path in drawn}
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False}):
        settings = dict(matplotlib.rcParams)
        (png, *_) = draw(plot_results.read(folders["linear"]), only=["loss"])
        assert dict(matplotlib.rcParams) == settings
    assert png.read_bytes() == before[png]


def test_pyplot_stays_unimported(folders):
    code = (
        "import gc; gc.disable(); import sys, pathlib, plot_results, faflow.plots as p;"
        "p.draw(plot_results.read(pathlib.Path(sys.argv[1])), ['loss']);"
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'jax' not in sys.modules"
    )
    arguments = [sys.executable, "-W", "error", "-c", code, str(folders["deep"])]
    done = subprocess.run(
        arguments, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_unknown_figure_is_named(folders):
    with pytest.raises(ValueError, match="'drfit'"):
        draw(plot_results.read(folders["linear"]), only=["drfit"])


@pytest.mark.parametrize("name", plot_results.ALL)
def test_the_overview_has_room_for_everything(folders, name):
    """It is laid out beforehand: nothing leaves the page, no panel runs into another."""
    stored = plot_results.read(folders[name])
    with house_style():
        _, page = overview((make(stored) for make in FIGURES.values()), run_frame(stored))
        page.draw_without_rendering()
        boxes = [axes.get_tightbbox() for axes in page.axes]
        boxes.append(page._suptitle.get_window_extent())
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.bbox.x1 and box.y1 <= page.bbox.y1
    for one, other in itertools.combinations(boxes, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert width <= 0 or height <= 0


def test_the_overview_makes_no_more_than_it_shows(folders):
    """Nor is any other figure looked at."""
    stored = plot_results.read(folders["linear"])
    made = []
    groups = (made.append(name) or make(stored) for name, make in FIGURES.items())
    panels, _ = overview(groups, run_frame(stored))
    assert len(panels) == 4 and len(made) < len(FIGURES)


# ---- tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loss", "residual", "exponent"])
def test_table_is_the_record(folders, drawn, name):
    comment, columns = table(folders["linear"] / "figures" / f"{name}.csv")
    records = xr.open_dataset(folders["linear"] / "result.nc", group="records").load()
    records.close()
    np.testing.assert_array_equal(columns["time"], records["time"])
    np.testing.assert_array_equal(columns[name], records[name])
    assert comment.startswith("# ")
    assert f"{name} = " in comment and "time = " in comment


def test_table_of_drifts(folders, drawn):
    comment, columns = table(folders["linear"] / "figures" / "drift.csv")
    records = plot_results.read(folders["linear"]).series
    layer, matrix = records["layer-balance"].values, records["matrix-balance_1"].values
    expected = np.abs(layer - layer[0])[:, 1] / 3.0
    np.testing.assert_array_equal(columns["drift of layer-balance 2"], expected)
    expected = np.abs(matrix - matrix[0]).max(axis=(1, 2))
    np.testing.assert_array_equal(columns["drift of matrix-balance 1"], expected)
    assert comment.count("a kept law") == 5


def test_tables_hold_every_column_of_a_record(folders, drawn):
    _, columns = table(folders["linear"] / "figures" / "norms.csv")
    assert list(columns) == ["time", "norm 1", "norm 2", "norm 3"]
    _, columns = table(folders["linear"] / "figures" / "alignment.csv")
    assert len(columns) == 1 + 2 + 2 + 2
    _, columns = table(folders["linear"] / "figures" / "cost.csv")
    taken = np.diff(columns["steps"])
    np.testing.assert_allclose(columns["mean step"][1:], np.diff(columns["time"]) / taken)


def test_table_ends_where_the_flow_ended(folders):
    draw(plot_results.read(folders["early"]), only=["loss"])
    comment, columns = table(folders["early"] / "figures" / "loss.csv")
    assert columns["time"][-1] == pytest.approx(3.7)
    assert len(columns["loss"]) == 38 and np.all(np.isfinite(columns["loss"]))
    assert "blow-up" in comment


# ---- what the figures say -----------------------------------------------------------------------


def test_drift_says_kept_and_the_worst(folders):
    (panel,) = panels(folders["linear"], "drift")
    worst = max(np.max(curve.values) for curve in panel.curves)
    assert panel.title[0].startswith(f"kept: worst {worst:.2g} (")
    assert panel.levels[0].value == 1e-9 and "rtol = 1e-9" in str(panel.levels[0].text)


def test_drift_tells_what_is_no_law(folders):
    (panel,) = panels(folders["control"], "drift")
    assert [line.split(":")[0] for line in panel.title] == ["kept", "not a law"]
    markers = {curve.column: curve.marker for curve in panel.curves}
    assert markers["drift of neuron-balance 2"] is None
    assert markers["drift of layer-balance 1"] is not None
    assert "zero is drawn at 1e-17" in panel.ylabel
    colours = {c.colour: c.marker is None for c in panel.curves}
    assert len(colours) == 3


def test_zero_drift_is_drawn_at_the_floor(folders):
    (axes,) = axes_of(folders["control"], "drift")
    lowest = min(np.nanmin(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) > 2)
    assert lowest == 1e-17
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_decaying_law_is_compared_with_its_decay(tmp_path):
    times = np.linspace(0.0, 3.0, 20)
    about = plot_results.summary("kp", laws={"q": {"kept": True, "decay": 0.5, "scale": [2.0]}})
    records = {"q": (("hidden_layer",), 4.0 * np.exp(-0.5 * times)[:, None])}
    (panel,) = panels(plot_results.write(tmp_path, about, records, times, {}), "drift")
    assert np.max(panel.curves[0].values) < 1e-15
    assert "exp" in panel.ylabel


@pytest.mark.parametrize("name", ["neuron-balance_scale_1", "neuron-balance_1_scale"])
def test_scale_is_the_largest_recorded(tmp_path, name):
    times = np.linspace(0.0, 1.0, 11)
    values, scale = np.tile(times[:, None], 3), np.array([1.0, 4.0, 0.0])
    records = {
        "neuron-balance_1": (("neuron",), values),
        name: (("neuron",), np.tile(scale, (11, 1))),
    }
    about = plot_results.summary("s", laws={"neuron-balance": {"kept": False}})
    (panel,) = panels(plot_results.write(tmp_path, about, records, times, {}), "drift")
    (curve,) = panel.curves
    np.testing.assert_array_equal(curve.values, times / 4.0)


def test_residual_shows_fit_and_prediction(folders):
    (panel,) = panels(folders["linear"], "residual")
    assert panel.window == (3.0, 9.0)
    assert ["fitted" in guide.label for guide in panel.guides] == [True, False]
    for guide, rate in zip(panel.guides, (2.5004, 2.5), strict=True):
        slope = np.polyfit(guide.times, np.log(guide.values), 1)[0]
        assert slope == pytest.approx(-rate, rel=1e-6)
        assert guide.times[0] == 3.0 and guide.times[-1] == 9.0


def test_refused_fit_says_so(folders):
    (panel,) = panels(folders["control"], "residual")
    assert panel.title == ["fit refused: not-exponential"]
    assert [guide.label for guide in panel.guides] == ["predicted, rate 0.02000"]


def test_alignment_says_the_certificate(folders):
    angles, inner = panels(folders["linear"], "alignment")
    assert "certified from the start" in angles.title[0]
    assert inner.title == ["inner products stay above floors (dashed)"]
    assert [level.value for level in inner.levels] == [0.9, 0.1, 0.0]
    (angles,) = panels(folders["control"], "alignment")
    assert angles.title[0].startswith("not certified")


def test_broken_floor_is_not_called_kept(tmp_path):
    folder = plot_results.linear(tmp_path)
    about = json.loads((folder / "summary.json").read_text())
    # Direct feedback: a floor for the last matrix only, so nothing is certified.
    about["alignment"] |= {"floor": [None, 2.0], "certified": False}
    (folder / "summary.json").write_text(json.dumps(about))
    angles, inner = panels(folder, "alignment")
    assert angles.title[0].startswith("not certified")
    assert "do NOT stay" in inner.title[0]
    assert [level.value for level in inner.levels] == [2.0, 0.0]


def test_early_end_is_crossed(folders):
    for figure in ("loss", "norms", "drift"):
        axes = axes_of(folders["early"], figure)[0]
        crosses = [line for line in axes.lines if line.get_marker() == "x"]
        assert all(line.get_xdata()[0] == pytest.approx(3.7) for line in crosses)
        assert len(crosses) == len(panels(folders["early"], figure)[0].curves)
        assert "ended early at t = 3.7: blow-up" in entries(axes)
    assert not any("ended" in entry for entry in entries(axes_of(folders["linear"], "loss")[0]))


@pytest.mark.parametrize("figure", ["drift", "alignment", "norms"])
def test_legends_of_many_layers_stay_small(folders, figure):
    axes = axes_of(folders["deep"], figure)[0]
    assert 1 <= len(entries(axes)) <= 4


# ---- results that are barely there --------------------------------------------------------------

NASTY = ["$\\frac{1", "_a_ $x$ $", "100 % \\$ {law}\n#", "法則 ☃ \U0001f600", "^" * 90, ""]


@pytest.mark.parametrize("text", NASTY)
def test_any_text_is_a_name(tmp_path, text):
    times = np.linspace(0.0, 1.0, 9)
    law = text.replace("\n", " ").strip() or "q"
    records = {f"{law}_{k}": (("neuron",), np.outer(times, [1.0])) for k in (1, 2)}
    about = plot_results.summary(text, status=f"odd {text}", laws={law: {"kept": False}})
    folder = plot_results.write(tmp_path, about, records, times, {})
    stored = plot_results.read(folder)
    with house_style():
        chosen = FIGURES["drift"](stored)
        compose(chosen, run_frame(stored), 1).draw_without_rendering()
    comment, names, *rows = list(
        csv.reader(table_of("drift", chosen, run_frame(stored)).splitlines())
    )
    assert comment[0].startswith("# ") and len(names) == 3
    assert {len(row) for row in rows} == {3}


@pytest.mark.parametrize(
    ("status", "values"),
    [
        ("completed", [0.0]),
        ("max-steps", [1.0]),
        ("max-steps", [0.0, 0.0]),
        ("completed", [1.0, np.nan]),
        ("blow-up", [1e305, np.inf]),
    ],
)
def test_hardly_any_records(tmp_path, status, values):
    times = np.arange(float(len(values)))
    records = {
        name: ((), np.asarray(values))
        for name in ("loss", "residual", "minimum-norm", "exponent", "steps")
    }
    records["norms"] = (("layer",), np.asarray(values)[:, None])
    records["layer-balance"] = (("hidden_layer",), np.asarray(values)[:, None])
    fit = {"status": "too-few-points", "rate": None, "window": None, "predicted": 1.0}
    laws = plot_results.laws(layer_balance=True)
    about = plot_results.summary("few", status=status, laws=laws, exponent=fit)
    folder = plot_results.write(tmp_path, about, records, times, {})
    stored = plot_results.read(folder)
    with house_style():
        groups = [make(stored) for make in FIGURES.values()]
        figure = compose([panel for group in groups for panel in group], run_frame(stored), 2)
        figure.draw_without_rendering()


def test_nothing_reached_is_nothing_drawn(tmp_path):
    times = np.array([0.0, 1.0])
    records = {"loss": ((), np.full(2, np.nan))}
    folder = plot_results.write(tmp_path, plot_results.summary("none"), records, times, {})
    assert draw(plot_results.read(folder)) == []


def test_render_takes_axes_of_ones_own(folders):
    stored = plot_results.read(folders["linear"])
    figure = matplotlib.figure.Figure()
    render(figure.subplots(), FIGURES["loss"](stored)[0], run_frame(stored))
    figure.draw_without_rendering()


@pytest.mark.parametrize(("low", "high"), [(1e-16, 1e2), (0.05, 0.7), (3e-7, 9e-6), (1.0, 2e4)])
def test_ticks_of_log_axes_are_letters_that_say_where_they_are(low, high):
    with house_style():
        axes = Figure().add_subplot()
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        axes.yaxis.set_major_formatter(Powers())
        axes.yaxis.set_minor_formatter(Powers())
        axes.figure.draw_without_rendering()
        ticks = [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
        told = {tick.get_loc(): tick.label1.get_text() for tick in ticks}
    said = {place: text for place, text in told.items() if text and low <= place <= high}
    assert said
    lowered = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    for place, text in said.items():
        factor, _, power = text.rpartition("10")
        value = float(factor.rstrip("×") or 1) * 10.0 ** float(power.translate(lowered))
        assert value == pytest.approx(place)
        assert plain_text(text) == text  # no mathematics, and every letter is in the font

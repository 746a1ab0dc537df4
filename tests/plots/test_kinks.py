"""Figures of exact flows: the raster against a replay of the log, counts, gates, marks."""

import csv

import numpy as np
import plot_results
import pytest

from faflow.plots import FIGURES, draw
from faflow.plots.draw import compose
from faflow.plots.frame import run_frame
from faflow.plots.pairs.changes import changes_of
from faflow.plots.style import house_style


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plot_results.sliding(tmp_path_factory.mktemp("sliding"))


def panels(folder, figure):
    with house_style():
        return FIGURES[figure](plot_results.read(folder))


def axes_of(folder, figure):
    with house_style():
        figure = compose(panels(folder, figure), run_frame(plot_results.read(folder)), 1)
        figure.draw_without_rendering()
        return figure.axes


def entries(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []


def bars_of(panel, label):
    """(row, start, end) of the bars with a label, in order."""
    (bars,) = [bars for bars in panel.bars if label in (bars.label or label)]
    return sorted(zip(bars.heights, bars.starts, bars.ends, strict=True))


# ---- the raster ---------------------------------------------------------------------------------


def test_raster_shows_slides_crossings_and_active_pairs(folder):
    first, second = panels(folder, "raster")
    active, slides = first.bars
    # Rows by neuron, then sample: neuron 0, sample 1 is row 1.
    assert list(zip(slides.heights, slides.starts, slides.ends, strict=True)) == [(1, 1.0, 3.0)]
    spans = sorted(zip(active.heights, active.starts, active.ends, strict=True))
    assert spans == [(0, 0.0, 0.5), (0, 5.0, 10.0), (1, 3.0, 10.0), (10, 2.0, 10.0)]
    up, down = first.marks
    assert sorted(zip(up.heights, up.times, strict=True)) == [(0, 5.0), (10, 2.0)]
    assert list(zip(down.heights, down.times, strict=True)) == [(0, 0.5)]
    active, slides = second.bars
    assert list(zip(slides.heights, slides.starts, slides.ends, strict=True)) == [(7, 4.0, 10.0)]
    assert list(active.heights) == [6]  # neuron 1, sample 2
    assert first.title == ["layer 1: 3 crossings, 1 slide (0 at the end)"]
    assert second.title == ["layer 2: 0 crossings, 1 slide (1 at the end)"]
    assert first.ticks == (1.5, 5.5, 9.5) and first.tick_labels == ("0", "1", "2")


def test_only_the_first_raster_has_a_legend(folder):
    first, second = axes_of(folder, "raster")
    assert entries(first) == ["active (h > 0)", "slides on h = 0", "crosses up", "crosses down"]
    assert entries(second) == []


def random_changes(rng, samples, hidden, count):
    """A log in which every change changes something, the start, and all states over time."""
    places = [(l + 1, s, j) for l, n in enumerate(hidden) for s in range(samples) for j in range(n)]
    start = {place: int(rng.choice([-1, 1])) for place in places}
    state, log = dict(start), []
    for time in np.sort(rng.uniform(0.0, 10.0, count)):
        place = places[rng.integers(len(places))]
        became = int(rng.choice([x for x in (-1, 0, 1) if x != state[place]]))
        state[place] = became
        log.append((float(time), *place, became))
    return log, start


@pytest.mark.parametrize("seed", range(5))
def test_spans_are_a_replay_of_the_log(seed):
    rng = np.random.default_rng(seed)
    samples, hidden = 5, (3, 4)
    log, start = random_changes(rng, samples, hidden, 80)
    times = np.linspace(0.0, 10.0, 11)
    above = {place for place, side in start.items() if side == 1}
    events = plot_results.event_group(times, log, samples, hidden, above)
    crossings = 0
    for layer in (1, 2):
        changes = changes_of(events, layer)
        crossings += int(changes.crossed.sum())
        for now in rng.uniform(0.0, 10.0, 40):
            state = dict(start)
            state.update({tuple(place): became for t, *place, became in log if t <= now})
            for spans, wanted in ((changes.active(), 1), (changes.spans(0), 0)):
                key, begins, ends = spans
                shown = sorted(key[(begins <= now) & (now < ends)])
                expected = sorted(
                    unit * samples + sample
                    for (l, sample, unit), side in state.items()
                    if l == layer and side == wanted
                )
                assert shown == expected
    assert crossings == events["changes"].values[-1, 0]


def test_large_layers_show_the_pairs_that_change(tmp_path):
    times = np.linspace(0.0, 10.0, 21)
    log, start = random_changes(np.random.default_rng(0), 64, (32, 32), 300)
    above = {place for place, side in start.items() if side == 1}
    events = plot_results.event_group(times, log, 64, (32, 32), above)
    records = {"loss": ((), np.exp(-times))}
    about = plot_results.summary("large")
    folder = plot_results.write(tmp_path, about, records, times, {}, events)
    for layer, panel in enumerate(panels(folder, "raster"), start=1):
        pairs = {(sample, unit) for _, l, sample, unit, _ in log if l == layer}
        assert panel.title[1] == f"rows: the {len(pairs)} of 2048 pairs that change"
        assert panel.limits == (-0.8, len(pairs) - 0.2)
        assert len(panel.ticks or ()) <= 12
        assert len(panel.bars) == 1
    axes_of(folder, "raster")


def test_full_log_is_said_and_shaded(tmp_path):
    folder = plot_results.sliding(tmp_path, size=4)
    (panel,) = panels(folder, "raster")
    assert panel.window == (3.0, 10.0)
    assert panel.title == ["layer 1: 2 crossings, 1 slide (0 at the log’s end)"]
    assert bars_of(panel, "slides") == [(1, 1.0, 3.0)]
    assert max(panel.bars[0].ends) == 3.0
    (axes,) = axes_of(folder, "raster")
    assert "log full: 2 more changes (flow.exact.events)" in entries(axes)


def test_place_that_is_not_unique_is_starred(tmp_path):
    fork = {"time": 7.25, "layer": 2, "sample": 3, "unit": 1}
    folder = plot_results.sliding(
        tmp_path, status="not-unique", t_final=7.25, kinks={"method": "exact", "fork": fork}
    )
    first, second = panels(folder, "raster")
    assert [marks.marker for marks in first.marks] == ["^", "v"]
    star = second.marks[-1]
    assert (star.marker, list(star.times), list(star.heights)) == ("*", [7.25], [7])
    axes = axes_of(folder, "raster")
    assert "not unique at t = 7.25: neuron 1, sample 3" in entries(axes[1])
    assert any("ended early at t = 7.25" in entry for entry in entries(axes[0]))


def test_log_axis_says_what_lies_before_it(tmp_path):
    folder = plot_results.sliding(tmp_path, np.concatenate([[0.0], np.geomspace(0.7, 10.0, 60)]))
    first, second = axes_of(folder, "raster")
    assert first.get_xscale() == "log"
    assert "1 changes lie before the axis" in first.get_title(loc="left")
    assert "before" not in second.get_title(loc="left")
    for collection in first.collections:
        assert np.all(np.concatenate([p.vertices[:, 0] for p in collection.get_paths()]) >= 0)


def test_raster_table_is_the_log(folder):
    draw(plot_results.read(folder), only=["raster"])
    comment, *lines = (folder / "figures" / "raster.csv").read_text("utf-8").splitlines()
    names, *rows = csv.reader(lines)
    assert names == ["time", "layer", "neuron", "sample", "became"]
    found = [(float(t), int(l), int(s), int(j), int(b)) for t, l, j, s, b in rows]
    assert found == sorted(plot_results.CHANGES, key=lambda change: (change[1], change[0]))
    assert "time = time of the change" in comment


def test_no_log_is_no_raster(tmp_path):
    folder = plot_results.sliding(tmp_path, size=0)
    assert panels(folder, "raster") == []
    assert [panel.title for panel in panels(folder, "events")]


# ---- counts and gates ---------------------------------------------------------------------------


def test_counts_of_changes_and_of_sliding_pairs(folder):
    so_far, sliding = panels(folder, "events")
    assert so_far.title == ["3 crossed, 2 landed, 1 left"]
    crossed, landed, left = (curve.values for curve in so_far.curves)
    assert (crossed[0], crossed[-1]) == (0, 3)
    np.testing.assert_array_equal(sum(c.values for c in sliding.curves), landed - left)
    assert sliding.title == ["sliding: 1 at the end, at most 1 at a save"]
    assert [curve.column for curve in sliding.curves] == ["sliding 1", "sliding 2"]


def test_gates_are_lines_of_pairs(folder):
    first, second = panels(folder, "gates")
    times = plot_results.read(folder).times
    (curve,) = first.curves
    assert (curve.column, curve.label) == ("gate 1 0 1", "neuron 0, sample 1")
    expected = np.where((times >= 1.0) & (times < 3.0), 0.1 * 2, np.nan)
    np.testing.assert_array_equal(curve.values, expected)
    (curve,) = second.curves
    np.testing.assert_array_equal(curve.values, np.where(times >= 4.0, 0.1 * 5, np.nan))


def test_gate_at_one_save_is_a_dot(tmp_path):
    folder = plot_results.sliding(tmp_path, np.array([0.0, 2.0, 5.5, 8.0, 10.0]))
    first, second = axes_of(folder, "gates")
    dots = [line for line in first.lines if line.get_marker() == "." and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in dots] == [[2.0]]
    assert not [line for line in second.lines if line.get_marker() == "." and line.get_xdata().size]


def test_only_what_goes_to_the_end_is_crossed(tmp_path):
    folder = plot_results.sliding(tmp_path, status="max-steps")
    first, second = axes_of(folder, "gates")
    crosses = [
        [line for line in axes.lines if line.get_marker() == "x"] for axes in (first, second)
    ]
    assert [len(lines) for lines in crosses] == [0, 1]


def test_flow_without_slides_has_no_gates(tmp_path):
    times = np.linspace(0.0, 1.0, 5)
    events = plot_results.event_group(times, [(0.5, 1, 0, 0, 1)], 2, (2,))
    records = {"loss": ((), np.exp(-times))}
    about = plot_results.summary("crossing")
    folder = plot_results.write(tmp_path, about, records, times, {}, events)
    assert panels(folder, "gates") == []
    assert panels(folder, "raster")[0].title[0].startswith("layer 1: 1 crossing, 0 slides")


def test_drift_says_what_it_does_not_see(tmp_path):
    times = np.linspace(0.0, 1.0, 5)
    kinks = {"method": "plain", "error": {"weights": 1.23e-4, "by": "bosh3"}}
    about = plot_results.summary("plain", laws=plot_results.laws(q=True), kinks=kinks)
    folder = plot_results.write(tmp_path, about, {"q": ((), 1.0 + times)}, times, {})
    (panel,) = panels(folder, "drift")
    assert panel.title[1] == "not seen here: kinks, weights ± 0.00012"

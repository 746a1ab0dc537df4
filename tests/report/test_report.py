"""The page as text: what is on it, that it is escaped and intact, and what is refused."""

import base64
import csv
import html
import io
import json
import re
import shutil
import sys
import tomllib
import zipfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import h5py
import hypothesis
import hypothesis.strategies as st
import numpy as np
import plotly.graph_objects as go
import pytest
import tomli_w
import xarray as xr
from matplotlib import rc_context
from page_text import CONFIG, Parsed, altered, reported, traces

import faflow
from faflow.cli import main
from faflow.compare.curves import panels_of
from faflow.compare.subject import open_subjects
from faflow.config.dump import config_text
from faflow.config.resolve import resolve_path
from faflow.plots import FIGURES, FigureStyle, draw
from faflow.plots.draw import compose
from faflow.plots.frame import run_frame
from faflow.plots.pairs.changes import ticked
from faflow.plots.style import house_style
from faflow.report.head.swept import exponent_tile, laws_tile
from faflow.report.questions.members import rate_figures
from faflow.report.unplaced import unplaced, unplaced_summary
from faflow.reproduce import Check, Reading, Report, open_report
from faflow.sweeps.distribution import Members

# What HTML, scripts, plotly's own markup, TeX, templates and TOML take for more than letters.
NASTY = st.text(st.sampled_from("<>&\"'`/=\\{}%$;#-_ abäß漢й🙂\u2028"), min_size=1, max_size=24)
LABEL = NASTY.map(lambda text: text.replace("/", "∕"))  # HDF5's separator is in no record's name
ATTACK = "</script><script>alert('1')</script> &amp; <b>\"ß漢🙂\" {{ 7*7 }} %{y} $x$"


# ---- what is on it ------------------------------------------------------------------------------


def test_page_tells_the_drift_of_the_summary(run_folder: Path, parsed_run: Parsed) -> None:
    law = json.loads((run_folder / "summary.json").read_text())["laws"]["layer-balance"]
    parsed, told = parsed_run, {}
    row: dict = {}
    for tag, attrs in parsed.tags:
        row = attrs if tag == "tr" else row
        if attrs.get("data-what") == "relative_drift":
            told[row["data-law"], row["data-layer"]] = float(attrs["data-value"])
    assert [told["layer-balance", str(n)] for n in law["layers"]] == law["relative_drift"]
    for trace in traces(parsed, "drift"):  # drawn from the records, not from the summary
        if trace["meta"]["law"] == "layer-balance":
            layer = law["layers"].index(int(trace["meta"]["layer"]))
            assert max(trace["y"]) == pytest.approx(law["relative_drift"][layer], rel=1e-12)
            times = parsed.payload["axes"][trace["x"]]
            assert times[int(np.argmax(trace["y"]))] == law["worst_time"][layer]


def test_medians_and_seeds_are_those_of_the_data_set(
    sweep_folder: Path, parsed_both: Parsed
) -> None:
    loss = faflow.open(sweep_folder).records["records"]["loss"]
    found = traces(parsed_both, "loss")
    for i, scale in enumerate((0.5, 1.0)):
        mine = [trace for trace in found if trace["meta"]["case"].endswith(f"{scale:g}")]
        drawn = {t["meta"]["seed"]: t["y"] for t in mine if t["meta"].get("read")}
        np.testing.assert_allclose(drawn["median"], loss[i].median("seed"), rtol=1e-6)
        np.testing.assert_allclose(drawn["17"], loss[i, 17], rtol=1e-6)
        assert len(drawn) == 65
        (band,) = (t["y"] for t in mine if not t["meta"].get("read"))
        low, high = np.split(np.array(band), 2)
        np.testing.assert_allclose(low, loss[i].quantile(0.1, "seed"), rtol=1e-6)
        np.testing.assert_allclose(high[::-1], loss[i].quantile(0.9, "seed"), rtol=1e-6)


def test_raster_shows_crossings_and_slides(parsed_run: Parsed) -> None:
    drawn = {trace["name"]: trace for trace in traces(parsed_run, "raster-1")}
    axes = parsed_run.payload["axes"]
    slide, up = drawn["slides on h = 0"], drawn["crosses up"]
    assert (axes[slide["x"]][:2], slide["y"][:2]) == ([0.5, 1.5], [4, 4])  # neuron 2, sample 0
    assert (axes[up["x"]], up["y"]) == ([0.2], [1])
    active = drawn[html.escape("active (h > 0)")]
    assert (axes[active["x"]][:2], active["y"][:2]) == ([0.2, 2.0], [1, 1])


def test_runs_and_sweeps_share_a_page(
    run_folder: Path, sweep_folder: Path, parsed_both: Parsed
) -> None:
    parsed = parsed_both
    assert {trace["meta"]["case"] for trace in traces(parsed, "loss")} == {
        "reported (run)",
        "reported (sweep): scale = 0.5",
        "reported (sweep): scale = 1",
    }
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(parsed.payload["zip"]))) as archive:
        assert archive.testzip() is None and len(archive.namelist()) == 6
        for name in archive.namelist():
            folder = run_folder if name.startswith("1-") else sweep_folder
            assert archive.read(name) == (folder / name.split("/")[1]).read_bytes()


def test_plotly_knows_every_property(parsed_both: Parsed) -> None:
    told = parsed_both.payload
    kinds = set()
    for figure in told["figures"]:
        first = [{**trace, "x": told["axes"][trace["x"]]} for trace in figure["traces"][:6]]
        kinds |= {trace["type"] for trace in first}
        go.Figure(first, figure["layout"])  # ValueError otherwise
    assert kinds == {"scatter", "box"}
    with pytest.raises(ValueError, match="colour"):
        go.Figure([{"type": "scatter", "colour": "red"}])


STOPPING = """
[flow.stop]
loss = 0.02
[expect]
"loss.final" = { max = 1e-9 }
status = "completed"
[sweep.product]
seed = { count = 6 }
"""


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose members end at different times, breaking its bounds."""
    folder = tmp_path_factory.mktemp("stopping")
    config = CONFIG.replace('names = ["loss", "laws"]', 'names = ["loss"]')
    (folder / "s.toml").write_text(config.replace("t1 = 2.0", "t1 = 8.0") + STOPPING)
    arguments = ["sweep", str(folder / "s.toml"), "--out", str(folder / "mine")]
    assert main([*arguments, "--workers", "1", "--no-figures"]) == 1
    return folder / "mine"


def test_a_median_is_of_the_members_that_last(stopping: Path) -> None:
    records = faflow.open(stopping).records["records"]
    ends = np.nanmax(np.where(np.isfinite(records["loss"]), records["times"], np.nan), axis=-1)
    assert len(set(ends)) > 2
    parsed = reported(stopping)
    (median,) = (
        t for t in traces(parsed, "loss") if t["meta"]["seed"] == "median" and "read" in t["meta"]
    )
    times = parsed.payload["axes"][median["x"]]
    last = int(np.argmax(ends))
    assert times[-1] == ends[last] and None not in median["y"]
    assert median["y"][-1] == pytest.approx(float(np.nanmin(records["loss"][last])), rel=1e-6)
    longest = int(np.sum(ends == ends[last]))
    said = [text for text in parsed.texts["p"] if "members that last" in text]
    assert set(said) == {f"medians are of the members that last: {longest} of 6 at the end"}


def test_bounds_are_on_the_page_and_broken_ones_marked(stopping: Path, run_folder: Path) -> None:
    parsed = reported(stopping)
    broken = [text.split() for text in parsed.texts["li"] if "found" in text or "members" in text]
    verdicts = json.loads((stopping / "summary.json").read_text())["expect"]
    marks = [attrs.get("class") for tag, attrs in parsed.tags if tag == "span"]
    assert marks.count("broken") == sum(not v["ok"] for v in verdicts.values()) == 2
    assert len(broken) == 2 and "seconds compiling" not in parsed.texts["th"]


def test_no_folder_of_this_machine_is_on_the_page(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "copy")
    config = tomllib.loads((run_folder / "config.toml").read_text())
    config["task"] = {"kind": f"{tmp_path}/deep/task.py:task", "file": "../../home/me/mine.npz"}
    (tmp_path / "copy" / "config.toml").write_text(tomli_w.dumps(config))
    parsed = reported(tmp_path / "copy", run_folder)
    text = json.dumps(parsed.texts) + json.dumps(parsed.payload)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(parsed.payload["zip"]))) as archive:
        text += "".join(
            archive.read(n).decode() for n in archive.namelist() if not n.endswith(".nc")
        )
    assert str(tmp_path) not in text and str(run_folder.parent) not in text
    assert "home/me" not in text and "mine.npz" in text and "task.py:task" in text


def test_a_reproduction_is_reported_with_its_claims(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "reproduce"
    (folder / "runs").mkdir(parents=True)
    for name in ("one", "two"):
        nasty_result(run_folder, folder / "runs" / name, "reported", "law", kinks=False)
    out = str(tmp_path / "report.html")
    assert main(["report", str(folder), "--out", out]) == 0  # interrupted: no claims yet
    check = Check(
        "factors", "It <b>holds</b>", "Theorem 1", "as stated", "",
        measures=(Reading("a drift", 1e-12, {"max": 1e-9}), Reading("a rate", 2.0, {"max": 1.0})),
        runs=("runs/one",),
    )  # fmt: skip
    report = Report("garg-vempala-2022", folder, (check,))
    (folder / "checks.json").write_text(json.dumps(report.as_table()))
    assert open_report(folder) == report
    assert main(["report", str(folder), "--out", out]) == 0
    text = Path(out).read_text("utf-8")
    for words in ("factors", "fails", "a drift", "  (!)", "at most 1e-09", "reported (one)"):
        assert words in text, words
    capsys.readouterr()
    assert main(["plot", str(folder)]) == 0
    drawn = capsys.readouterr().out
    assert str(folder / "runs" / "one") in drawn and str(folder / "runs" / "two") in drawn
    assert main(["drift", str(folder)]) == 0
    drifts = capsys.readouterr().out
    assert "one: drift\n" in drifts and "two: drift\n" in drifts
    (folder / "checks.json").write_text("{}")
    assert "checks.json" in complaint(capsys, str(folder))
    shutil.rmtree(folder / "runs" / "one")
    shutil.rmtree(folder / "runs" / "two")
    assert "without runs" in complaint(capsys, str(folder))


def test_what_was_run_is_said_first(parsed_run: Parsed, run_folder: Path) -> None:
    network = [attrs for tag, attrs in parsed_run.tags if attrs.get("class") == "network"]
    assert len(network) == 1
    told = [text for text in parsed_run.texts["div"] if text.strip()]
    facts = dict(zip(parsed_run.texts["dt"], told, strict=False))
    assert facts["network"].strip().startswith("3–3–2–1")
    assert facts["rule"].startswith("feedback-alignment") and facts["seed"] == "0"
    assert facts["time"] == "0 to 2, 41 saves; tsit5, rtol 1e-06"
    assert parsed_run.texts["sub"].count("l+1") == 2 and "⊤" in parsed_run.texts["sup"]
    circles = [attrs for tag, attrs in parsed_run.tags if tag == "circle"]
    assert len(circles) == 3 + 3 + 2 + 1
    arrows = [attrs for _, attrs in parsed_run.tags if attrs.get("class") == "back"]
    assert len(arrows) == 2  # a hidden layer each


def test_singular_values_are_those_of_the_weights(run_folder: Path, parsed_run: Parsed) -> None:
    tree = faflow.open(run_folder).records
    drawn = traces(parsed_run, "singular")
    product = {}
    for when in ("start", "final"):
        matrices = [tree[when][f"W{layer}"].values for layer in (1, 2, 3)]
        product[when] = np.linalg.multi_dot(matrices[::-1])
        for layer, matrix in enumerate(matrices, start=1):
            mine = [t for t in drawn if t["meta"]["layer"] == str(layer)]
            ends = [trace["y"][0 if when == "start" else -1] for trace in mine]
            np.testing.assert_allclose(ends, np.linalg.svd(matrix)[1], rtol=1e-12)
    (found,) = traces(parsed_run, "singular-product")
    expected = [np.linalg.norm(matrix) for matrix in product.values()]  # of rank one
    np.testing.assert_allclose(found["y"], expected, rtol=1e-12)


def test_of_many_layers_the_ends_and_the_middle_are_drawn(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "deep")
    with xr.open_datatree(run_folder / "result.nc", engine="h5netcdf") as tree:
        loaded = tree.load()
    records = loaded["records"].to_dataset()
    norms = np.random.default_rng(0).random((records.sizes["time"], 15))
    records["norms"] = (("time", "layer"), norms)
    records["spectrum"] = (("time", "mode"), norms)
    loaded["records"] = xr.DataTree(records)
    loaded.to_netcdf(tmp_path / "deep" / "result.nc", engine="h5netcdf")
    panels = {panel.key: panel for panel in panels_of(open_subjects([str(tmp_path / "deep")]))}
    assert "spectrum" not in panels  # of no layers
    drawn = {curve.entry: curve.values for curve in panels["norms"].curves}
    expected = (norms.min(1), np.median(norms, 1), norms.max(1))
    for name, values in zip(("smallest", "median", "largest"), expected, strict=True):
        np.testing.assert_allclose(drawn[f"{name} of 15"], values)


def test_what_is_not_drawn_at_first_is_named(
    seven_folders: list[Path], parsed_both: Parsed
) -> None:
    parsed = reported(*seven_folders)
    boxes = {a["value"]: "checked" in a for _, a in parsed.tags if a.get("data-choice") == "case"}
    assert boxes == {f"seed {i}": i < 6 for i in range(7)}
    (said,) = [text for text in parsed.texts["p"] if "at first" in text]
    assert "6 of 7 cases" in said and "seed 6" in said and "seed 5" not in said
    assert not [text for text in parsed_both.texts["p"] if "at first" in text]


def test_laws_that_none_claims_come_last_where_results_are_compared(
    run_folder: Path, parsed_both: Parsed, tmp_path: Path
) -> None:
    folders = [altered(run_folder, tmp_path / f"{i}", 0.5, ("seed = 0", f"seed = {i}"))
               for i in (1, 2)]  # fmt: skip
    for folder in folders:
        told = json.loads((folder / "summary.json").read_text("utf-8"))
        for law in told["laws"].values():
            assert law["claimed"]
            law["claimed"] = False
        (folder / "summary.json").write_text(json.dumps(told), "utf-8")

    def opening(parsed: Parsed) -> tuple[str, list[str]]:
        frames = [attrs["data-key"] for tag, attrs in parsed.tags if tag == "figure"]
        return frames[0], [a["id"] for _, a in parsed.tags if a.get("class") == "question"]

    first, sections = opening(reported(*folders))
    assert first == "loss" and sections[-1] == "law"
    first, sections = opening(parsed_both)  # claimed
    assert first == "loss" and sections[:2] == ["converge", "law"]
    heads = [text for text in parsed_both.texts["th"] if text]
    assert heads.index("Loss") < heads.index("Laws")


def test_few_fits_are_said_first() -> None:
    said = {}
    for fitted in (1, 2):
        words = np.array([["ok"] * fitted + ["few-points"] * (3 - fitted)])
        rates = np.where(words == "ok", 2.0, np.nan)
        figures = {"status": np.full((1, 3), "completed"), "exponent.status": words,
                   "exponent.rate": rates, "exponent.relative_error": rates / 20}  # fmt: skip
        tree = {"/figures": xr.Dataset({k: (("scale", "seed"), v) for k, v in figures.items()},
                                       {"scale": [1.0], "seed": [0, 1, 2]})}  # fmt: skip
        (tile,) = exponent_tile(Members(xr.DataTree.from_dict(tree)))
        said[fitted] = tile.value, tile.numbers["exponent.relative_error"]
    assert said == {1: ("1 of 3 fitted", 0.1), 2: ("10 % off", 0.1)}


@pytest.mark.parametrize(
    ("mine", "control", "value", "note", "mark"),
    [
        # kept and claimed by all; a control that nobody claims or keeps says nothing
        (((1, 1), (1, 1)), ((0, 0), (0, 0)), "kept to 1e-09", "mine: by 2 of 2 members", "kept"),
        # claimed by both, broken by one
        (((1, 0), (1, 1)), ((0, 0), (0, 0)), "kept to 1e-09",
         "mine: by 1 of 2 members; claimed, but broken by 1", "broken"),
        # claimed and kept by one of two rules
        (((1, 0), (1, 0)), ((0, 0), (0, 0)), "kept to 1e-09", "mine: by 1 of 2 members", ""),
        (((0, 0), (0, 0)), ((0, 0), (0, 0)), "not kept", "none of them is claimed by a rule", ""),
    ],
)  # fmt: skip
def test_the_laws_of_a_sweep(mine, control, value, note, mark) -> None:
    """Each law: by members, whether it is kept, and whether it is claimed."""
    figures = {"status": (("seed",), ["completed"] * 2)}
    for law, (kept, claimed), drift in (("mine", mine, 1e-9), ("control", control, 0.3)):
        figures[f"laws.{law}.kept"] = (("seed",), np.asarray(kept, float))
        figures[f"laws.{law}.claimed"] = (("seed",), np.asarray(claimed, float))
        drifts = np.full((2, 1), drift)
        figures[f"laws.{law}.relative_drift"] = (("seed", "hidden_layer"), drifts)
    tree = {"/figures": xr.Dataset(figures, {"seed": [0, 1]})}
    (tile,) = laws_tile(Members(xr.DataTree.from_dict(tree)))
    assert (tile.value, tile.note, tile.mark) == (value, note, mark)


def test_fitted_exponents_stand_beside_predicted_ones(sweep_folder: Path) -> None:
    (subject,) = open_subjects([str(sweep_folder)])
    assert list(rate_figures([subject])) == []  # none was fitted
    shape = (2, 3)
    rates, predicted = np.arange(1.0, 7.0).reshape(shape), np.full(shape, 2.0)
    predicted[1, 1] = np.nan
    axes = ("feedback.scale", "seed")
    figures = xr.Dataset(
        {
            "status": (axes, np.full(shape, "completed")),
            "exponent.status": (axes, np.array([["ok", "ok", "few-points"], ["ok"] * 3])),
            "exponent.rate": (axes, rates),
            "exponent.predicted": (axes, predicted),
        },
        {"feedback.scale": [0.5, 1.0], "seed": [0, 1, 2]},
    )
    members = Members(xr.DataTree.from_dict({"/figures": figures}))
    (figure,) = rate_figures([subject._replace(members=members)])
    *clouds, diagonal = figure.traces
    assert [cloud["y"] for cloud in clouds] == [[1.0, 2.0], [4.0, 6.0]]
    assert [cloud["x"] for cloud in clouds] == [[2.0, 2.0], [2.0, 2.0]]
    assert diagonal["x"] == diagonal["y"] == [1.0, 6.0]
    assert figure.caption == "4 of 6 members have both"


def test_results_that_are_no_good_are_named_and_the_others_shown(
    run_folder: Path, sweep_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = altered(run_folder, tmp_path / "damaged", 0.5)
    (damaged / "result.nc").write_bytes(b"no more")
    torn = altered(run_folder, tmp_path / "torn", 0.5)
    summary = json.loads((torn / "summary.json").read_text())
    del summary["loss"]
    (torn / "summary.json").write_text(json.dumps(summary))
    older = altered(run_folder, tmp_path / "older", 0.5, ("samples = 2", "samples = 3"))
    summary = json.loads((older / "summary.json").read_text())
    summary["environment"]["faflow"] = "0.0.1"
    (older / "summary.json").write_text(json.dumps(summary))
    running = tmp_path / "running"
    shutil.copytree(sweep_folder, running)
    summary = json.loads((running / "summary.json").read_text())
    summary["statuses"] = {"completed": 120, "pending": 8}
    (running / "summary.json").write_text(json.dumps(summary))
    given, out = [run_folder, damaged, torn, older, running], tmp_path / "report.html"
    assert main(["report", *map(str, given), str(tmp_path / "none"), "--out", str(out)]) == 2
    told, err = capsys.readouterr()
    assert told == f"{out}\n" and len(err.splitlines()) == 3
    text = Parsed(re.sub(r"<script>.*?</script>", "<script></script>", out.read_text(), flags=re.S))
    notes = "\n".join(text.texts["li"])
    for name, why in (
        ("damaged", "holds no readable result.nc"), ("torn", "KeyError: 'loss'"),
        ("none", "holds no faflow result"), ("reported (older)", "made by faflow 0.0.1"),
        ("reported (running)", "still running: 8 of 128 to come"),
        ("different tasks", "task.samples"),
    ):  # fmt: skip
        assert re.search(f"{re.escape(name)}.*{re.escape(why)}", notes), name
    assert str(tmp_path) not in notes
    rows = [attrs for tag, attrs in text.tags if attrs.get("data-what") == "result"]
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("can't read /home/me/data/x.npz: no", "can't read x.npz: no"),
        ("sweep ~/a/config.toml --out '/srv/b/c'", "sweep config.toml --out 'c'"),
        ("rate (1 / time), 1/2 ||W||^2, a/b/c", "rate (1 / time), 1/2 ||W||^2, a/b/c"),
    ],
)
def test_texts_without_places(text: str, left: str) -> None:
    assert unplaced(text) == left
    summary = json.dumps({"name": "/a/b", "warnings": [text]}).encode()
    assert (unplaced_summary(summary) == summary) == (text == left)
    assert json.loads(unplaced_summary(summary)) == {"name": "/a/b", "warnings": [left]}


@pytest.mark.parametrize(
    ("units", "most", "shown"),
    [
        (range(4), 12, [0, 1, 2, 3]),
        (range(14), 12, [0, 2, 4, 6, 8, 10, 12]),
        (range(100), 12, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]),
        ([0, 1, 3, 4, 5, 7, 8, 9, 10], 5, [0, 4, 8, 10]),
        ([0, 1, 3, 4, 5, 7, 8, 9, 10], 3, [0, 5, 10]),
        ([1, 3, 5, 7], 3, [1, 5]),
        ([7], 3, [7]),
    ],
)
def test_neurons_named_on_an_axis(units, most: int, shown: list[int]) -> None:
    """Steps of 1, 2, 5, 10, ..., whatever neurons have rows."""
    units = np.array(units)
    found = units[ticked(units, most)].tolist()
    assert found == shown


def test_flow_that_ended_early_and_one_without_laws(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "early")
    summary = json.loads((run_folder / "summary.json").read_text())
    del summary["laws"]
    summary |= {"status": "blow-up", "warnings": ["it blew up"]}
    (tmp_path / "early" / "summary.json").write_text(json.dumps(summary))
    with xr.open_datatree(run_folder / "result.nc", engine="h5netcdf") as tree:
        loaded = tree.load()
    records = loaded["records"].to_dataset()[["loss"]]
    loaded["records"] = xr.DataTree(records.where(records["time"] < 1.0))
    loaded.to_netcdf(tmp_path / "early" / "result.nc", engine="h5netcdf")
    parsed = reported(tmp_path / "early")
    (trace,) = traces(parsed, "loss")
    assert all(value is not None for value in trace["y"])
    assert max(parsed.payload["axes"][trace["x"]]) < 1.0
    assert "blow-up" in "".join(parsed.texts["span"])
    assert any("No law was recorded" in text for text in parsed.texts["p"])


# ---- names and paths ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_page(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    folder = tmp_path_factory.mktemp("plain") / "run"
    nasty_result(run_folder, folder, "plain", "law")
    return reported(folder)


@hypothesis.settings(
    max_examples=4, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(name=NASTY, label=LABEL)
@hypothesis.example(name=ATTACK, label=ATTACK.replace("/", "∕"))
def test_names_and_paths_are_escaped_and_intact(
    run_folder: Path,
    plain_page: Parsed,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    label: str,
) -> None:
    folder = tmp_path_factory.mktemp("nasty") / ("r" + name.replace("/", "∕"))
    nasty_result(run_folder, folder, name, label)
    parsed, plain = reported(folder), plain_page
    assert Counter(tag for tag, _ in parsed.tags) == Counter(tag for tag, _ in plain.tags)
    assert [sorted(attrs) for _, attrs in parsed.tags] == [sorted(a) for _, a in plain.tags]
    assert parsed.texts["h1"] == [name]
    assert any(folder.name in text for text in parsed.texts["p"])
    config = (folder / "config.toml").read_text()
    if name.startswith("/") or ".." in name.split("/"):  # a path out of the folder: its name alone
        table = tomllib.loads(config)
        table["task"]["file"] = name.rsplit("/", 1)[-1]
        config = tomli_w.dumps(table)
    assert f"\n{config}" in "\n" + "".join(parsed.texts["pre"])
    drift = traces(parsed, "drift")
    assert {trace["meta"]["law"] for trace in drift} >= {label}
    for trace in drift:  # plotly reads tags and entities in names, and nothing in `meta`
        assert not re.search("[<>]", trace["name"])
        assert html.unescape(trace["name"]) == trace["meta"]["label"]


def nasty_result(run_folder: Path, folder: Path, name: str, label: str, kinks: bool = True) -> None:
    """The run's result in `folder`, its name and the name of its law replaced."""
    folder.mkdir()
    summary = json.loads((run_folder / "summary.json").read_text())
    summary |= {"name": name, "laws": {label: summary["laws"]["layer-balance"]}}
    summary["warnings"] = [label]
    (folder / "summary.json").write_text(json.dumps(summary))
    config = tomllib.loads((run_folder / "config.toml").read_text())
    config["task"]["file"] = name
    (folder / "config.toml").write_text(tomli_w.dumps(config))
    shutil.copy(run_folder / "result.nc", folder)
    with h5py.File(folder / "result.nc", "r+") as file:
        records = file["records"]
        for one in ("layer-balance", "layer-balance_scale"):
            records.move(one, one.replace("layer-balance", label))
        if not kinks:  # nothing but the law and its axes
            del file["events"]
            for one in [one for one in records if not one.startswith(label)]:
                if not records[one].is_scale:
                    del records[one]


@hypothesis.settings(
    max_examples=20, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(name=NASTY.map(str.strip).filter(bool))
@hypothesis.example(name=ATTACK)
def test_paths_come_through_a_config_intact(tmp_path: Path, name: str) -> None:
    path = tmp_path / "arrays.toml"
    table = {
        "name": "mine",
        "network": {"widths": [3, 2, 1]},
        "task": {"kind": "arrays", "file": f"{name}.npz"},
        "rule": {"kind": "feedback-alignment"},
        "flow": {"t1": 1.0},
    }
    path.write_text(tomli_w.dumps(table))
    told = tomllib.loads(config_text(resolve_path(str(path), [])))
    assert told["task"]["file"].endswith(f"{name}.npz")


@hypothesis.settings(max_examples=4)
@hypothesis.given(name=NASTY, label=LABEL)
@hypothesis.example(name=ATTACK, label=ATTACK.replace("/", "∕"))
@hypothesis.example(name="$a$ and $\\frac{b", label="_$\\sum")
def test_figures_show_names_letter_by_letter(
    run_folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str, label: str
) -> None:
    folder = tmp_path_factory.mktemp("drawn") / ("r" + name.replace("/", "∕"))
    nasty_result(run_folder, folder, name, label, kinks=False)
    stored = faflow.open(folder)
    paths = draw(stored, ["drift"]) + draw(stored, ["overview"], FigureStyle(kinds=("png",)))
    assert paths and all(path.is_file() and path.parent.parent == folder for path in paths)
    words = drawn_words(folder)
    assert shown(name, 44) in words
    assert [word for word in words if word.startswith(shown(label, 28))]
    comment, names, *_ = (folder / "figures" / "drift.csv").read_text("utf-8").split("\n")
    assert comment.startswith(
        f"# drift of {' '.join(name.split())} (completed): ".replace("  ", " ")
    )
    assert " ".join(f"drift of {label} 1".split()) in next(csv.reader([names]))


def drawn_words(folder: Path) -> list[str]:
    """All text of the figure `drift` as its SVG tells it, with blanks made one. What is taken for
    mathematics would be in pieces there."""
    stored, out = faflow.open(folder), io.BytesIO()
    with house_style(), rc_context({"svg.fonttype": "none"}):
        compose(FIGURES["drift"](stored), run_frame(stored), 1).savefig(out, format="svg")
    texts = ElementTree.fromstring(out.getvalue()).iter("{http://www.w3.org/2000/svg}text")
    return [" ".join("".join(text.itertext()).split()) for text in texts]


def shown(text: str, width: int) -> str:
    """In one line, cut, with boxes for what DejaVu Sans has no glyphs for."""
    line = " ".join(text.split())
    line = line if len(line) <= width else line[: width - 1] + "…"
    return re.sub("[漢🙂]", "□", line)


def test_names_with_markup_are_no_names_of_configs(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bad.toml"
    table = tomllib.loads((run_folder / "config.toml").read_text())
    config.write_text(tomli_w.dumps({**table, "name": "<b>"}))
    assert main(["show", str(config)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# ---- refused ------------------------------------------------------------------------------------


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["report", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("faflow: ") and err.count("\n") == 1
    return err


def test_bad_input_is_one_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(run_folder)
    assert "no faflow result" in complaint(capsys, str(tmp_path))
    assert "twice" in complaint(capsys, run, f"{run}/")
    assert "is a folder" in complaint(capsys, run, "--out", str(tmp_path))
    assert "make the folder" in complaint(capsys, run, "--out", "no/such/report.html")
    (tmp_path / "report.html").write_text("<p>my own</p>")
    assert "is no report" in complaint(capsys, run)
    assert (tmp_path / "report.html").read_text() == "<p>my own</p>"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_report_replaces_a_report_and_is_the_same_again(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(run_folder), "--out", str(out)]) == 0
    first = out.read_bytes()
    assert main(["report", str(run_folder), "--out", str(out)]) == 0
    assert out.read_bytes() == first
    assert capsys.readouterr().out == f"{out}\n" * 2


def test_missing_library_is_named(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("faflow.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.delattr("faflow.report", raising=False)
    assert "pip install 'faflow[report]'" in complaint(capsys, str(run_folder))

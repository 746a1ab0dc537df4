"""Results side by side: names of what differs, figures and curves that are the results' own."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from page_text import RULE, altered

import faflow
from faflow.cli import main
from faflow.compare import compare
from faflow.compare.curves import _record_panel
from faflow.compare.draw import comparison_figures
from faflow.plots.style import FEW, FONT


@pytest.fixture
def two(run_folder: Path, tmp_path: Path) -> list[str]:
    return [str(run_folder), str(altered(run_folder, tmp_path / "other", 0.125, RULE))]


def test_names_are_what_differs(two: list[str], tmp_path: Path) -> None:
    told = compare(two)
    assert told.names == ["feedback-alignment", "gradient"]
    assert told.differences == {"rule.kind": ["feedback-alignment", "gradient"]}
    third = altered(Path(two[1]), tmp_path / "third", 0.5, ("seed = 0", "seed = 4"))
    assert compare([*two, str(third)]).names == [
        "feedback-alignment, seed 0", "gradient, seed 0", "gradient, seed 4",
    ]  # fmt: skip


def test_results_that_differ_in_nothing_keep_their_names(run_folder: Path, tmp_path: Path) -> None:
    told = compare([str(run_folder), str(altered(run_folder, tmp_path / "same", 0.5))])
    assert told.differences == {}
    assert len(set(told.names)) == 2 and all("reported" in name for name in told.names)


def test_figures_are_the_summaries(two: list[str]) -> None:
    told = compare(two)
    summaries = [faflow.open(folder).summary for folder in two]
    for name, summary in zip(told.names, summaries, strict=True):
        mine = told.figures[name]
        assert mine["loss.final"] == summary["loss"]["final"]
        drifts = summary["laws"]["layer-balance"]["relative_drift"]
        keys = [f"laws.layer-balance.relative_drift.{i}" for i in range(1, len(drifts) + 1)]
        assert [mine[key] for key in keys] == drifts
    (row,) = [row for row in told.rows() if row["figure"] == "loss.final"]
    first, second = (summary["loss"]["final"] for summary in summaries)
    assert float(row["difference"]) == pytest.approx(second - first, rel=1e-3)


def test_curves_are_the_records(two: list[str], sweep_folder: Path) -> None:
    told = compare([*two, str(sweep_folder)])
    panels = {name: panel for name, panel, _ in comparison_figures(told.subjects)}
    listing = panels["loss"].listing
    assert listing is not None
    columns = {name: values for name, (_, values) in listing.columns.items()}
    case = told.subjects[0].cases[0]
    mine = columns["result"] == case
    run = faflow.open(two[0])
    np.testing.assert_array_equal(columns["time"][mine], run.times)
    np.testing.assert_array_equal(columns["value"][mine], run.values("loss"))
    medians = faflow.open(sweep_folder).records["records"]["loss"].median("seed")
    for i, case in enumerate(told.subjects[2].cases):
        np.testing.assert_allclose(columns["value"][columns["result"] == case], medians[i])
    drawn = [guide for guide in panels["loss"].guides if guide.times.size]
    assert len(drawn) == 4 and len({guide.colour for guide in drawn}) == 4
    assert len(panels["loss"].bands) == 2


def test_figures_have_short_titles_and_say_their_units(two: list[str]) -> None:
    made = {
        name: (panel, frame) for name, panel, frame in comparison_figures(compare(two).subjects)
    }
    assert {frame.name for _, frame in made.values()} == {"2 results side by side"}
    assert "of each law, the largest over its layers" in made["drift"][0].title


def test_what_is_observed_by_default_is_no_difference(two: list[str], tmp_path: Path) -> None:
    names = 'names = [\n    "loss",\n    "laws",\n]'
    hidden = ["loss", "residual", "norms", "laws", "alignment", "fitted-exponent"]
    own = [name for name in hidden if name != "alignment"]  # gradient flow has no feedback
    first, second = (
        str(
            altered(
                Path(folder), tmp_path / f"{i}", 0.5, (names, f"names = {json.dumps(observed)}")
            )
        )
        for i, (folder, observed) in enumerate(zip(two, (hidden, own), strict=True))
    )
    assert list(compare([first, second]).differences) == ["rule.kind"]
    assert "observe.names" in compare([first, two[1]]).differences


def test_an_axis_says_what_a_record_measures() -> None:
    panel = _record_panel("alignment_degrees", "alignment of weights with feedback")
    assert panel.ylabel == "alignment of weights with feedback: angle in degrees"
    assert _record_panel("norms", "weight norms").ylabel == "weight norms"


def test_no_more_are_drawn_than_can_be_told_apart(run_folder: Path, tmp_path: Path) -> None:
    seeds = [("seed = 0", f"seed = {i}") for i in range(1, FEW + 3)]
    more = [str(altered(run_folder, tmp_path / seed[1], 0.5, seed)) for seed in seeds]
    told = compare([str(run_folder), *more])
    assert len(told.figures) == FEW + 3
    _, panel, _ = next(comparison_figures(told.subjects))
    assert f"{FEW} of {FEW + 3} results are drawn" in panel.title
    labels = [guide.label for guide in panel.guides]
    assert {"seed 0", f"seed {FEW + 2}"} <= set(labels)


def test_command(
    two: list[str], unpainted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "side by side"
    assert main(["compare", *two, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["figures"]["gradient"]["loss.final"] == 0.125
    assert str(out / "figures" / "loss.png") in told["files"]
    with (out / "figures.csv").open() as file:
        (header, *rows) = list(csv.reader(file))
    assert header == ["figure", "feedback-alignment", "gradient", "difference"]
    (loss,) = [row for row in rows if row[0] == "loss.final"]
    assert float(loss[2]) == 0.125 and float(loss[3]) == float(loss[2]) - float(loss[1])
    assert main(["plot", *two, "--out", str(out), "--only", "loss", "--format", "png"]) == 0
    assert [path.name for path in (out / "figures").glob("*.*g")] == ["loss.png"]
    assert main(["compare", *two, "--no-figures"]) == 0
    assert "rule.kind" in capsys.readouterr().out


def test_figures_for_a_paper(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: dict[str, Figure] = {}

    def keep(page: Figure, path: Path, **how) -> None:
        path.write_bytes(b"drawn")
        pages[path.name] = page

    monkeypatch.setattr(Figure, "savefig", keep)
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    look = ["--only", "loss", "--format", "pdf", "--width", "8.4cm", "--font", "9", "--no-titles"]
    assert main(["plot", str(folder), *look]) == 0
    assert list(pages) == ["loss.pdf"]
    (axes,) = pages["loss.pdf"].axes
    assert pages["loss.pdf"].get_figwidth() == pytest.approx(8.4 / 2.54)
    assert axes.xaxis.label.get_fontsize() == pytest.approx(9)
    assert axes.get_title(loc="left") == "" and pages["loss.pdf"].get_suptitle() == ""
    assert main(["plot", str(folder), "--only", "loss", "--format", "png"]) == 0
    (axes,) = pages["loss.png"].axes
    assert axes.xaxis.label.get_fontsize() == FONT and axes.get_title(loc="left")


REFUSED = {
    "one": (["compare", "RUN"], "one result"),
    "twice": (["compare", "RUN", "RUN"], "given twice"),
    "nothing": (["compare", "RUN", "nowhere"], "nowhere: holds no faflow result"),
    "out": (["compare", "RUN", "SWEEP", "--out", "RUN"], "--out: is"),
    "only": (["plot", "RUN", "SWEEP", "--only", "lss"], "--only: must be of"),
    "figure": (["plot", "RUN", "--only", "lss"], "--only: must be of drift"),
    "sweep's": (["plot", "SWEEP", "--only", "loss"], "--only: names figures of runs"),
    "format": (["plot", "RUN", "--format", "gif"], "--format: must be of png"),
    "width": (["plot", "RUN", "--width", "wide"], "--width: must be a length"),
    "narrow": (["plot", "RUN", "--width", "1cm"], "--width: must be 2 to 20 inches"),
    "font": (["plot", "RUN", "--font", "80"], "--font: must be 4 to 24"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(
    case: str, run_folder: Path, sweep_folder: Path, unpainted, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    words, told = REFUSED[case]
    places = {"RUN": str(run_folder), "SWEEP": str(sweep_folder)}
    before = sorted(path.name for path in run_folder.rglob("*"))
    assert main([places.get(word, word) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert sorted(path.name for path in run_folder.rglob("*")) == before

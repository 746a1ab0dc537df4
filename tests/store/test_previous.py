"""Results that the last version wrote, before floor 7 had rooms, are read as ever."""

import shutil
from pathlib import Path

import pytest
from complaints import complaint

import faflow
from faflow.cli import main

PREVIOUS = Path(__file__).with_name("previous")
RUNS = ("discrete-twin", "relu-not-unique")


@pytest.fixture(params=(*RUNS, "grid"))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run with a discrete twin, an exact ReLU flow with its events, and a sweep."""
    return Path(shutil.copytree(PREVIOUS / request.param, tmp_path / request.param))


def test_it_opens(folder: Path) -> None:
    found = faflow.open(folder)
    assert found.summary["schema"] == 1
    records = found.records if folder.name == "grid" else found.records["records"]
    assert "loss" in records


def test_it_is_shown(folder: Path, unpainted: None, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("drift", "fit", "plot"):
        assert main([verb, str(folder)]) == 0, verb
    assert main(["report", str(folder), "--out", str(folder.with_suffix(".html"))]) == 0
    assert "layer-balance" in capsys.readouterr().out


@pytest.mark.parametrize("name", RUNS)
def test_it_is_known_as_another_version_s(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(PREVIOUS / name, tmp_path / name))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    said = complaint(capsys, "run", str(folder / "config.toml"), "--out", str(folder))
    assert "the same config's result, computed by another version of faflow" in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

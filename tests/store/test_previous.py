"""Results that the last version wrote, before floor 7 had rooms, are read as ever."""

import shutil
from pathlib import Path

import pytest

import faflow
from faflow.cli import main

PREVIOUS = Path(__file__).with_name("previous")


@pytest.fixture(params=("discrete-twin", "relu-not-unique", "grid"))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run with a discrete twin, an exact ReLU flow with its events, and a sweep."""
    return Path(shutil.copytree(PREVIOUS / request.param, tmp_path / request.param))


def test_it_opens(folder: Path) -> None:
    found = faflow.open(folder)
    assert found.summary["schema"] == 1
    assert "loss" in found.records["records"]


def test_it_is_shown(folder: Path, unpainted: None, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("drift", "plot"):
        assert main([verb, str(folder)]) == 0, verb
    assert main(["report", str(folder), "--out", str(folder.with_suffix(".html"))]) == 0
    assert "layer-balance" in capsys.readouterr().out


@pytest.mark.parametrize(("verb", "name"), [("run", "discrete-twin"), ("sweep", "grid")])
def test_it_is_known_as_another_version_s(
    verb: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(PREVIOUS / name, tmp_path / name))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main([verb, str(folder / "config.toml"), "--out", str(folder)]) == 2
    assert "by another version of faflow" in capsys.readouterr().err
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    assert after == before

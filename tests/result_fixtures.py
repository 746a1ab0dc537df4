"""Fixtures: a small valid config, and a stored result of it."""

import shutil
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from small import VALID

from faflow.cli import main


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid config file in an empty current directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(VALID)
    return path


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made, and their files are there, but nothing is painted, which is most of the
    work: for tests that look at what is read and at names."""
    monkeypatch.setattr(Figure, "savefig", lambda _, path, **how: Path(path).write_bytes(b"drawn"))
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda _: None)
    monkeypatch.setattr("faflow.report.page.get_plotlyjs", lambda: "")


@pytest.fixture(scope="session")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result folder of VALID, computed once."""
    folder = tmp_path_factory.mktemp("computed")
    (folder / "small.toml").write_text(VALID)
    arguments = ["run", str(folder / "small.toml"), "--out", str(folder / "small"), "--no-figures"]
    assert main(arguments) == 0
    return folder / "small"


@pytest.fixture
def stored(config: Path, computed: Path) -> Path:
    """That result in results/small, beside the config."""
    shutil.copytree(computed, config.parent / "results" / "small")
    return config.parent / "results" / "small"

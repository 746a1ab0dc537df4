"""Fixtures: a small valid config, and a stored result of it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from small import VALID

from faflow.cli import main


def stored_run(folder: Path, name: str, text: str) -> Path:
    """The result of a config, without figures, in `folder`."""
    (folder / f"{name}.toml").write_text(text)
    arguments = ["run", str(folder / f"{name}.toml"), "--out", str(folder / name), "--no-figures"]
    assert main(arguments) == 0
    return folder / name


@pytest.fixture(scope="session", autouse=True)
def _unsynced() -> Iterator[None]:
    """The tests' own process waits for no disk, some milliseconds a file: what that is for, that
    the machine goes down, none of them can see. Processes that tests start and kill do wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Writes a config, by its name, into an empty current directory."""
    monkeypatch.chdir(tmp_path)

    def place(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return path

    return place


@pytest.fixture
def config(placed: Callable[[str, str], Path]) -> Path:
    """A valid config file in an empty current directory."""
    return placed("small", VALID)


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
    return stored_run(tmp_path_factory.mktemp("computed"), "small", VALID)


@pytest.fixture
def stored(config: Path, computed: Path) -> Path:
    """That result in results/small, beside the config."""
    shutil.copytree(computed, config.parent / "results" / "small")
    return config.parent / "results" / "small"

"""Commands in surroundings that are not as they should be: streams, encodings, backends, folders,
devices. Each works, or says in one line why not."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from small import LIGHT

from faflow.cli import main

ROOT = Path(__file__).resolve().parents[2]


def faflow(place: Path, *argv: str, shell: str = "", **environment: str):
    """A command run in `place`; `shell`: redirections."""
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "faflow", *argv]
    found = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    found.pop("MPLCONFIGDIR", None)  # `make test` sets it
    return subprocess.run(command, cwd=place, capture_output=True, text=True, env=found)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(LIGHT)
    return tmp_path


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(place: Path, closed: str) -> None:
    """Their numbers go to no other file, and the command works."""
    done = faflow(place, "run", "small.toml", "--no-figures", "--out", "one", shell=closed)
    assert done.returncode == 0 and done.stderr == ""
    assert ("layer-balance" in done.stdout) is (closed == "2>&-")
    assert main(["drift", str(place / "one")]) == 0


def test_stderr_that_is_full(place: Path) -> None:
    done = faflow(place, "run", "nothing.toml", shell="2>/dev/full")
    assert (done.returncode, done.stdout) == (2, "")


def test_signs_that_stdout_lacks(place: Path) -> None:
    """They are replaced; a config, which may be read again, has them escaped."""
    folder = place / "dïr \U0001f600"
    folder.mkdir()
    text = LIGHT.replace("samples = 2\nfeatures = 3\n", 'file = "ö.npz"\n').replace(
        '"gaussian"', '"arrays"'
    )
    (folder / "small.toml").write_text(text)
    shown = faflow(place, "show", f"{folder}/small.toml", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0 and shown.stdout.isascii()
    read = tomllib.loads(shown.stdout)["task"]["file"]
    assert "ö.npz" in read
    argv = ("run", "small.toml", "--no-figures", "--out", "ö")
    done = faflow(place, *argv, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "") and "->  ?\n" in done.stdout


def test_settings_of_others(place: Path) -> None:
    """A backend that is not there, as every Jupyter kernel sets one; no home; no compiling."""
    done = faflow(
        place, "run", "small.toml", "--out", "one", "--json",
        MPLBACKEND="module://not.there", HOME="/dev/null", JAX_DISABLE_JIT="1",
        XDG_CACHE_HOME=str(place / "cache"),
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == "faflow: JAX_DISABLE_JIT is left out of account: flows are compiled\n"
    assert (place / "one" / "figures" / "overview.png").exists()
    assert any((place / "cache" / "faflow" / "matplotlib").iterdir())
    again = faflow(
        place, "plot", "one", "--only", "loss", "--format", "png",
        MPLBACKEND="nonsense", HOME="/dev/null", XDG_CACHE_HOME="",
    )  # fmt: skip
    assert (again.returncode, again.stderr) == (0, "")


@pytest.mark.parametrize(
    "argv",
    [
        ("run", "small.toml"),
        ("check", "gradient"),
        ("sweep", "small.toml", "--set", "sweep.product.seed=[0,1]", "--workers", "2"),
    ],
    ids=lambda argv: argv[0],
)
def test_a_platform_that_is_none(place: Path, argv: tuple[str, ...]) -> None:
    done = faflow(place, *argv, JAX_PLATFORMS="nonsense")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("faflow: JAX_PLATFORMS: is 'nonsense'") and "cpu" in done.stderr


def test_by_the_name_of_the_package(place: Path) -> None:
    assert faflow(place, "--version").stdout.startswith("faflow ")

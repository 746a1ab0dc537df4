"""Where people sit is no pipe: in a pseudo-terminal there are bars, and the same bits by the same
compiled programs."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from small import net

import faflow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = f"""
name = "one"
{net([3, 4, 1], 5, "tanh")}
[flow]
t1 = 2.0
saves = 9
solver = "heun"
step = 0.05
[observe]
names = ["loss"]
"""


class House:
    """A folder with a config and its sweep, and a cache of programs, whatever they took."""

    def __init__(self, place: Path):
        self.place = place
        (place / "one.toml").write_text(CONFIG)
        (place / "other.toml").write_text(
            CONFIG.replace('name = "one"', 'name = "other"\nseed = 1')
        )
        (place / "both.toml").write_text(CONFIG + "[sweep.product]\nseed = [0, 1]\n")
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JAX_ENABLE_COMPILATION_CACHE": "true",
            "JAX_COMPILATION_CACHE_DIR": str(place / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }

    def programs(self) -> set[str]:
        return {path.name for path in (self.place / "programs").iterdir()}

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "faflow.cli", *arguments, "--no-figures"]

    def by_pipe(self, *arguments: str) -> str:
        """stdout and stderr."""
        done = subprocess.run(
            self._command(*arguments), cwd=self.place, env=self.env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def by_terminal(self, *arguments: str) -> str:
        """What stands on the screen."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        process = subprocess.Popen(
            self._command(*arguments), cwd=self.place, env=self.env, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        found = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux: nobody is left at the other end
                break
            if not part:
                break
            found += part
        os.close(ours)
        text = found.decode("utf-8", "replace")
        assert process.wait() == 0, text
        return text


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("terminal"))


def final(folder: Path) -> dict[str, np.ndarray]:
    tree = faflow.open(folder).records
    return {
        f"{group}/{name}": np.asarray(values)
        for group in ("records", "final")
        for name, values in tree[group].data_vars.items()
    }


def assert_same(one: Path, other: Path) -> None:
    first, second = final(one), final(other)
    assert first.keys() == second.keys() and "final/W1" in first
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_runs_checkpoints_and_sweeps_are_the_same(house: House) -> None:
    """One program and one result for each; a bar in the terminal, none through the pipe."""
    place = house.place
    told = house.by_pipe("run", "one.toml", "other.toml", "--out", "pipe")
    assert "%|" not in told
    assert "pipe/one" in told and "pipe/other" in told
    programs = house.programs()
    assert sum(name.startswith("jit_go_on-") for name in programs) == 1

    screen = house.by_terminal("run", "one.toml", "--out", "screen")
    assert "100%|" in screen and "to go" in screen and "%/s" not in screen
    assert house.programs() == programs
    assert_same(place / "screen", place / "pipe" / "one")

    screen = house.by_terminal("run", "other.toml", "--out", "kept", "--checkpoint", "0")
    assert "checkpoint at t = 2, 9 of 9 saves" in screen and " 50%|" in screen
    assert house.programs() == programs
    assert_same(place / "kept", place / "pipe" / "other")

    screen = house.by_terminal("sweep", "both.toml", "--out", "swept", "--workers", "1")
    assert "|" in screen
    with_sweep = house.programs()
    # Workers of a sweep compile for one thread each.
    assert sum(name.startswith("jit_go_on-") for name in with_sweep) == 2
    assert "%|" not in house.by_pipe("sweep", "both.toml", "--out", "again", "--workers", "1")
    assert house.programs() == with_sweep
    for name in ("swept", "again"):
        loss = faflow.open(place / name).records["records"].to_dataset()["loss"]
        for seed, run in enumerate(("one", "other")):
            alone = faflow.open(place / "pipe" / run).records["records"].to_dataset()["loss"]
            np.testing.assert_array_equal(loss.sel(seed=seed).values.ravel(), alone.values)

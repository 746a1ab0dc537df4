"""Checkpoints of a long flow: interrupted and resumed it ends in the same bits, and bad ones are
told."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from small import net

import faflow
from faflow.cli import main
from faflow.config.errors import ConfigError
from faflow.flow.loop import slices
from faflow.runs import checkpoint
from faflow.runs.run import resolve_path
from faflow.store.files import locked
from faflow.store.so_far import read_so_far

LONG = """
[flow]
saves = 11
{flow}

[observe]
names = ["loss", "laws"]
controls = ["layer-balance"]
"""
# Two legs (tsit5, then bdf), one of each kind of stepper, and a flow with a companion; in which
# checkpoint a first and a second run are interrupted: 14 is in the second leg, or the companion.
FLOWS = {
    "auto": ("tanh", "t1 = 2e4", (3, 14)),
    "tsit5": ("tanh", 'solver = "tsit5"\nt1 = 20.0', (3, 5)),
    "gauss4, tail": ("linear", 'solver = "gauss4"\ntail = true\nt1 = 20.0', (3, 5)),
    "exact": ("relu", 'kinks = "exact"\nt1 = 10.0\nexact = { slots = 16 }', (3, 5)),
    "relu, plain": ("relu", 'kinks = "plain"\nt1 = 5.0', (3, 14)),
}


class Interrupted(Exception):
    """What a test stops a flow with."""


def written(kind: str, folder: Path) -> Path:
    activation, flow, _ = FLOWS[kind]
    path = folder / "long.toml"
    path.write_text('name = "long"' + net([4, 6, 1], 12, activation) + LONG.format(flow=flow))
    return path


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Every run stops after so many checkpoints, as if it were killed just then."""
    write, seen = checkpoint.KeptLeg._write, []

    def counted(self: Any, *arguments: Any) -> None:
        write(self, *arguments)
        seen.append(1)
        if len(seen) == after:
            raise Interrupted

    monkeypatch.setattr(checkpoint.KeptLeg, "_write", counted)


def differing(one: faflow.Result, other: faflow.Result) -> list[str]:
    return [
        f"{group}/{name}"
        for group in ("records", "final")
        for name, variable in one.records[group].data_vars.items()
        if not np.array_equal(variable, other.records[group][name], equal_nan=True)
    ]


@pytest.mark.parametrize("kind", FLOWS)
def test_interrupted_twice_it_ends_the_same(kind: str, tmp_path: Path, monkeypatch) -> None:
    config = written(kind, tmp_path)
    noted: list[str] = []
    if kind == "exact":  # which asks for its second program as soon as two pairs slide
        monkeypatch.setattr("faflow.flow.piecewise.exact.TIERS", (0, 1))
    plain = faflow.run(config, out=tmp_path / "plain", note=noted.append)
    assert any("longer program" in text for text in noted) == (kind == "exact")
    out, place = tmp_path / "long", tmp_path / ".long.checkpoint"
    assert len(plain.summary["solver"].get("chosen", ())) == 2 * (kind == "auto")
    for after in FLOWS[kind][2]:
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            interrupt(patch, after)
            faflow.run(config, out=out, checkpoint=0.0)
        assert place.is_dir() and not out.exists()
    so_far = read_so_far(out).series
    for name in so_far.data_vars:
        reached = plain.series[name].isel(time=slice(0, so_far.sizes["time"]))
        np.testing.assert_array_equal(so_far[name], reached)
    told: list[str] = []
    resumed = faflow.run(config, out=out, note=told.append)  # what is there is used unasked
    assert any(text.startswith("going on from t = ") for text in told)
    assert not place.exists()
    assert differing(plain, resumed) == []
    for key in ("steps", "rejected", "field_evaluations", "chosen"):
        assert plain.summary["solver"].get(key) == resumed.summary["solver"].get(key)


@pytest.mark.parametrize("solver", ["tsit5", "bdf", "adams"])
def test_on_the_way_to_a_save(solver: str, tmp_path: Path, monkeypatch) -> None:
    """Few saves and long ways between them: it is kept and taken up there, too, tolerances that are
    renewed at saves and all."""
    config = written("gauss4, tail", tmp_path)
    more = [f"flow.solver={solver}", "flow.saves=3", "flow.t1=50"]
    plain = faflow.run(config, out=tmp_path / "plain", overrides=more)
    monkeypatch.setattr(slices, "first_budget", lambda flow: 5)
    monkeypatch.setattr(slices, "next_budget", lambda *_: 5)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt(patch, 4)
        faflow.run(config, out=tmp_path / "long", overrides=more, checkpoint=0.0)
    told: list[str] = []
    resumed = faflow.run(config, out=tmp_path / "long", overrides=more, note=told.append)
    (since,) = (float(text.split(" = ")[1]) for text in told if text.startswith("going on"))
    assert since not in np.linspace(0, 50, 3)
    assert differing(plain, resumed) == []


def test_killed_by_the_system(tmp_path: Path) -> None:
    """SIGKILL while it runs; `scripts/checks/kills.py` does it thirty times."""
    config, out = written("tsit5", tmp_path), tmp_path / "long"
    place = tmp_path / ".long.checkpoint"
    arguments = ["run", str(config), "--out", str(out), "--no-figures", "--checkpoint", "0"]
    arguments += ["--set", "flow.t1=3e3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "faflow.cli", *arguments], start_new_session=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(6000):
        if (place / "leg0.npz").exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL and not out.exists()
    assert main(arguments) == 0
    whole = faflow.run(config, out=tmp_path / "whole", overrides=["flow.t1=3e3"])
    assert differing(whole, faflow.open(out)) == []


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A config and its result's folder, which is not there: the flow stopped at a checkpoint."""
    config, out = written("tsit5", tmp_path), tmp_path / "long"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt(patch, 4)
        faflow.run(config, out=out, checkpoint=0.0)
    return config, out


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["run", *arguments, "--no-figures"]) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    (line,) = (line for line in captured.err.splitlines() if line.startswith("faflow: "))
    return line


def test_another_config_is_refused(stopped, capsys) -> None:
    config, out = stopped
    before = (out.with_name(".long.checkpoint") / "leg0.npz").read_bytes()
    line = complaint(capsys, str(config), "--out", str(out), "--set", "flow.rtol=1e-8")
    assert "--checkpoint: found" in line and "is of another config; --replace begins anew" in line
    assert (out.with_name(".long.checkpoint") / "leg0.npz").read_bytes() == before
    again = ["run", str(config), "--out", str(out), "--no-figures", "--set", "flow.rtol=1e-8"]
    assert main([*again, "--replace"]) == 0
    assert not out.with_name(".long.checkpoint").exists()


def test_a_damaged_one_is_named(stopped, capsys) -> None:
    config, out = stopped
    path = out.with_name(".long.checkpoint") / "leg0.npz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    method = whole.index(b"PK\x01\x02") + 10  # of compression, which zipfile knows few of
    for bad in (
        b"",
        whole[:middle],
        whole[:middle] + b"\xff" * 64 + whole[middle + 64 :],
        whole[:method] + b"\x63" + whole[method + 1 :],
    ):
        path.write_bytes(bad)
        line = complaint(capsys, str(config), "--out", str(out))
        assert "is damaged" in line and "--replace" in line
    path.write_bytes(whole)
    assert main(["run", str(config), "--out", str(out), "--no-figures"]) == 0


def test_a_full_disk_leaves_the_last_one(stopped, capsys, monkeypatch) -> None:
    config, out = stopped
    path = out.with_name(".long.checkpoint") / "leg0.npz"
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "replace_arrays", full)
        line = complaint(capsys, str(config), "--out", str(out), "--checkpoint", "0")
    assert "No space left" in line and "goes on from the last one" in line
    assert path.read_bytes() == before
    assert main(["run", str(config), "--out", str(out), "--no-figures"]) == 0


def test_two_processes_on_one_flow(stopped, capsys) -> None:
    config, out = stopped
    with locked(out.with_name(".long.checkpoint")):
        assert "is at work" in complaint(capsys, str(config), "--out", str(out))


@pytest.mark.parametrize("bad", ["-1", "nan", "often"])
def test_seconds_that_are_none(bad: str, tmp_path: Path, capsys) -> None:
    config = written("tsit5", tmp_path)
    assert "--checkpoint" in complaint(capsys, str(config), f"--checkpoint={bad}")


def test_without_a_folder_or_on_devices_there_are_none(tmp_path: Path) -> None:
    config = written("tsit5", tmp_path)
    with pytest.raises(ConfigError, match="needs a result that is stored"):
        faflow.run(config, store_result=False, checkpoint=1.0)
    resolved, mesh = resolve_path(config), jax.make_mesh((1,), ("samples",))
    with (
        pytest.raises(ConfigError, match="serves flows on one device"),
        checkpoint.checkpoints(resolved, tmp_path / "long", 1.0, False, print, mesh),
    ):
        pass
    with checkpoint.checkpoints(resolved, tmp_path / "long", None, False, print, mesh) as kept:
        assert kept is None


def test_replacing_a_result_it_goes_on_too(stopped) -> None:
    """`--replace` is for what is there of another config; the flow's own checkpoints are used."""
    config, out = stopped
    faflow.run(config, out=out.with_name("aside"), overrides=["flow.t1=1.0"])
    shutil.copytree(out.with_name("aside"), out)
    told: list[str] = []
    faflow.run(config, out=out, replace=True, note=told.append)
    assert any(text.startswith("going on from t = ") for text in told)


def test_what_is_not_its_own_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    """A user's files in a folder of that name; an empty one; `--out .`."""
    config, place = written("tsit5", tmp_path), tmp_path / ".long.checkpoint"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    faflow.run(config, out=tmp_path / "long", checkpoint=0.0)
    assert [path.name for path in place.iterdir()] == ["mine.txt"]
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    faflow.run(config, out=".", checkpoint=0.0)
    assert (here / "summary.json").exists() and not (tmp_path / ".here.checkpoint").exists()


def test_left_over_after_the_result_they_go(stopped) -> None:
    config, out = stopped
    place, aside = out.with_name(".long.checkpoint"), out.with_name("aside")
    shutil.copytree(place, aside)
    faflow.run(config, out=out)
    shutil.copytree(aside, place)
    assert not faflow.run(config, out=out).fresh
    assert not place.exists()

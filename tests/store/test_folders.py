"""Folders of results: links mean what the system says they mean, and what is not faflow's stays."""

import contextlib
import fcntl
import importlib
import json
import os
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from complaints import complaint

import faflow
from faflow import drawn
from faflow.cli import main
from faflow.config.errors import ConfigError
from faflow.store import exchange
from faflow.store import folder as store
from faflow.sweeps.plan import plan_of
from faflow.sweeps.sweep import open_sweep, run_sweep

QUIET = ("--no-figures", "--json")
OWN = ["config.toml", "end-state.npz", "result.nc", "summary.json"]
AXIS = '\n[sweep.product]\n"feedback.scale" = [0.5, 1.0]\n'


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def loss(folder: Path) -> float:
    return json.loads((folder / "summary.json").read_text())["loss"]["initial"]


def with_data(config: Path, scale: float = 1.0) -> Path:
    """The config on arrays of its own, in data.npz beside it."""
    np.savez(config.parent / "data.npz", X=scale * np.eye(3)[:2], y=np.ones((2, 1)))
    old = 'kind = "gaussian"\nsamples = 2\nfeatures = 3'
    config.write_text(config.read_text().replace(old, 'kind = "arrays"\nfile = "data.npz"'))
    return config


# ---- links --------------------------------------------------------------------------------------


@pytest.fixture
def behind(config: Path) -> Path:
    """`link` beside the config leads to a folder three levels away, where a data file lies too."""
    real = config.parent / "far" / "away" / "real"
    real.mkdir(parents=True)
    np.savez(real.parent / "data.npz", X=70 * np.eye(3)[:2], y=np.ones((2, 1)))
    (config.parent / "link").symlink_to(real)
    return with_data(config)


def test_a_stored_config_behind_a_link_reads_its_own_data(behind: Path) -> None:
    out = behind.parent / "link" / "small"
    assert main(["run", str(behind), "--out", str(out), *QUIET]) == 0
    stored = out / "config.toml"
    assert main(["run", str(stored), "--out", "again", *QUIET]) == 0
    assert loss(behind.parent / "again") == loss(out)
    file = tomllib.loads(stored.read_text())["task"]["file"]
    assert (out / file).resolve() == behind.parent / "data.npz"


def test_a_sweep_behind_a_link_reads_its_own_data(behind: Path) -> None:
    behind.write_text(behind.read_text() + AXIS)
    direct = run_sweep(plan_of(behind), out=behind.parent / "direct", workers=1)
    linked = run_sweep(plan_of(behind), out=behind.parent / "link" / "swept", workers=1)
    both = [found.records["figures"]["loss.initial"].values for found in (direct, linked)]
    np.testing.assert_array_equal(*both)


def test_a_link_to_data_stays_a_link_in_the_stored_config(config: Path) -> None:
    with_data(config)
    (config.parent / "data.npz").rename(config.parent / "first.npz")
    (config.parent / "data.npz").symlink_to("first.npz")
    assert main(["run", str(config), "--out", "deep/down", *QUIET]) == 0
    table = tomllib.loads(Path("deep/down/config.toml").read_text())
    assert table["task"]["file"] == "../../data.npz"


def test_dots_after_a_link_are_taken_from_where_it_leads(behind: Path) -> None:
    assert main(["run", str(behind), "--out", "link/../near", *QUIET]) == 0
    assert names(behind.parent / "far" / "away" / "near") == OWN
    assert not (behind.parent / "near").exists()


@pytest.mark.parametrize("filled", [False, True])
def test_out_on_a_link_writes_into_its_target(config: Path, filled: bool) -> None:
    target, link = config.parent / "target", config.parent / "link"
    target.mkdir()
    link.symlink_to(target)
    sets = ["--set", "seed=1", "--replace"] if filled else []
    if filled:
        assert main(["run", str(config), "--out", "target", *QUIET]) == 0
    node = target.stat().st_ino
    assert main(["run", str(config), "--out", "link", *QUIET, *sets]) == 0
    assert link.is_symlink() and names(target) == OWN
    assert target.stat().st_ino == node
    assert tomllib.loads((target / "config.toml").read_text())["seed"] == int(filled)


def test_the_folder_under_the_shell_stays(config: Path, monkeypatch) -> None:
    here = config.parent / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    node = os.stat(".").st_ino
    assert main(["run", str(config), "--out", ".", *QUIET]) == 0
    assert main(["run", str(config), "--out", ".", *QUIET, "--replace", "--set", "seed=1"]) == 0
    assert os.stat(".").st_ino == here.stat().st_ino == node and names(here) == OWN


# ---- what is not faflow's -----------------------------------------------------------------------


def test_notes_survive_a_damaged_result(stored: Path, config: Path) -> None:
    (stored / "NOTES.md").write_text("mine")
    (stored / "result.nc").unlink()
    assert main(["run", str(config), *QUIET]) == 0
    assert (stored / "NOTES.md").read_text() == "mine" and (stored / "result.nc").is_file()


def test_notes_survive_another_schema(stored: Path, config: Path) -> None:
    (stored / "NOTES.md").write_text("mine")
    summary = json.loads((stored / "summary.json").read_text())
    (stored / "summary.json").write_text(json.dumps(summary | {"schema": 99}))
    assert main(["run", str(config), *QUIET]) == 0
    assert (stored / "NOTES.md").read_text() == "mine"
    assert json.loads((stored / "summary.json").read_text())["schema"] == 1


def test_replacing_takes_only_what_faflow_wrote(config: Path, unpainted) -> None:
    assert main(["run", str(config), "--json"]) == 0
    folder = config.parent / "results" / "small"
    figures = folder / "figures"
    drawn = names(figures)
    (folder / "NOTES.md").write_text("mine")
    (folder / "paper").mkdir()
    (folder / "paper" / "text.tex").write_text("mine")
    (figures / "mine.png").write_bytes(b"mine")
    assert main(["run", str(config), "--replace", *QUIET, "--set", "seed=1"]) == 0
    assert names(folder) == sorted([*OWN, "NOTES.md", "figures", "paper"])
    assert (folder / "paper" / "text.tex").read_text() == "mine"
    assert names(figures) == ["mine.png"]  # those of the other run are gone
    assert main(["run", str(config), "--replace", "--json"]) == 0
    assert names(figures) == sorted([*drawn, "mine.png"])


def test_a_run_that_replaces_a_run_takes_no_parts_of_a_sweep(stored: Path, config: Path) -> None:
    """There is none: what has such a name is the user's."""
    (stored / "batches.json").write_text("mine")
    for name in ("chunks", "result.zarr"):
        (stored / name).mkdir()
        (stored / name / "00000000-0123abcd.npz").write_text("mine")
    mine = sorted(stored.rglob("*.npz"))
    assert main(["run", str(config), "--replace", *QUIET, "--set", "seed=1"]) == 0
    assert (stored / "batches.json").is_file() and sorted(stored.rglob("*.npz")) == mine


def test_a_list_of_figures_reaches_no_further_than_their_folder(stored: Path, config: Path) -> None:
    (stored / "figures").mkdir()
    (config.parent / "mine.png").write_bytes(b"mine")
    listed = ["../../../mine.png", "../summary.json", "sub/x.png", 3]
    (stored / "figures" / drawn.LIST).write_text(json.dumps(listed))
    assert main(["run", str(config), "--replace", *QUIET, "--set", "seed=1"]) == 0
    assert (config.parent / "mine.png").exists()


def test_a_run_in_the_place_of_a_sweep_and_back(config: Path) -> None:
    swept = config.with_name("swept.toml")
    swept.write_text(config.read_text() + AXIS)
    folder = config.parent / "place"
    run_sweep(plan_of(swept), out=folder, workers=1)
    (folder / "NOTES.md").write_text("mine")
    chunks = folder / "chunks"
    chunks.mkdir()
    (chunks / "mine.txt").write_text("mine")
    (chunks / "00000000-0123abcd.npz").write_bytes(b"")
    arguments = ["run", str(config), "--out", str(folder), *QUIET]
    assert main(arguments) == 2
    assert main([*arguments, "--replace"]) == 0
    assert names(folder) == sorted([".lock", *OWN, "NOTES.md", "chunks"])
    assert names(chunks) == ["mine.txt"]
    found = run_sweep(plan_of(swept), out=folder, workers=1, replace=True)
    assert found.summary["statuses"] == {"completed": 2} and open_sweep(folder).summary
    assert (folder / "NOTES.md").read_text() == (chunks / "mine.txt").read_text() == "mine"


def test_a_config_of_the_user_s_own_is_no_sweep_to_replace(config: Path) -> None:
    """A folder of theirs with a config.toml in it."""
    mine = config.parent / "mine"
    mine.mkdir()
    config.write_text(config.read_text() + AXIS)
    shutil.copy(config, mine / "config.toml")
    with pytest.raises(ConfigError, match="--out"):
        run_sweep(plan_of(config), out=mine, workers=1, replace=True)
    assert names(mine) == ["config.toml"]
    assert (mine / "config.toml").read_text() == config.read_text()


def test_a_lock_is_no_damage(stored: Path, config: Path) -> None:
    before = (stored / "result.nc").stat()
    with (stored / "result.nc").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not faflow.run(config).fresh
    after = (stored / "result.nc").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("name", OWN[1:])
def test_what_can_t_be_read_is_no_damage(stored: Path, config: Path, capsys, name: str) -> None:
    (stored / name).unlink()
    (stored / name).mkdir()  # who may read everything still can't read this
    assert "can't be read" in complaint(capsys, "run", str(config))
    assert (stored / name).is_dir()


# ---- whole or not at all ------------------------------------------------------------------------


class Killed(BaseException):
    pass


def broken_off(monkeypatch, at: int) -> None:
    """The process dies at the `at`-th change of a name on the disk."""
    count = 0

    def counted(name: str):
        real = getattr(os, name)

        def act(*arguments, **options):
            nonlocal count
            count += 1
            if count > at:
                raise Killed
            return real(*arguments, **options)

        return act

    for name in ("rename", "replace", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, counted(name))


def contents(folder: Path) -> tuple[int, float]:
    """The seed in the config and in the data, which have to belong together."""
    found = faflow.open(folder)
    seed = tomllib.loads((folder / "config.toml").read_text())["seed"]
    start = float(found.records["start"]["W1"][0, 0])
    assert float(found.summary["loss"]["initial"]) == float(found.records["records"]["loss"][0])
    return seed, start


def test_killed_while_it_replaces(stored: Path, config: Path, tmp_path: Path) -> None:
    """At every change of a name the folder holds the old result or the new one."""
    overrides = ["seed=1"]
    other = tmp_path / "other"
    faflow.run(config, overrides=overrides, out=other)
    fresh = {name: (other / name).read_bytes() for name in OWN}
    (stored / "NOTES.md").write_text("mine")
    (stored / "figures").mkdir()
    for name in ("drift.png", drawn.LIST):
        (stored / "figures" / name).write_text('["drift.png"]')
    old, new = contents(stored), contents(other)
    seen, at, ended = [], 0, False
    while not ended:
        folder = tmp_path / f"killed{at}"
        shutil.copytree(stored, folder)
        with pytest.MonkeyPatch.context() as patch:
            ended = put(folder, fresh, patch, at)
        found = contents(folder)
        assert found in (old, new) and (folder / "NOTES.md").read_text() == "mine"
        kept = {name for name in names(folder) if not name.endswith(".tmp")}
        assert kept <= {*OWN, "NOTES.md", "figures"}
        seen.append(found == new)
        at += 1
    assert seen == sorted(seen) and seen.count(False) >= 3 and seen.count(True) >= 3


def put(folder: Path, files: dict[str, bytes], patch: pytest.MonkeyPatch, at: int) -> bool:
    """Put files in place, killed at the `at`-th change of a name; whether it came to its end."""
    with contextlib.suppress(Killed), exchange.temporary_for(folder) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        broken_off(patch, at)
        exchange.put_in_place(temporary, folder, replace=True)
        return True
    return False


def test_a_folder_of_a_sweep_with_a_stranger_in_it(tmp_path: Path) -> None:
    """The stranger stays; killed at any of its changes of names, the exchange goes on and ends."""
    at, ended = 0, False
    new = {"1": b"new", "3": b"new"}
    while not ended:
        folder = tmp_path / f"killed{at}"
        (folder / "end-states").mkdir(parents=True)
        (folder / "config.toml").write_text("[sweep]")
        for name in ("00000001.npz", "00000002.npz", ".00000002.npz.0123abcd.tmp", ".DS_Store"):
            (folder / "end-states" / name).write_bytes(b"old")
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.suppress(Killed),
            exchange.temporary_for(folder) as temporary,
        ):
            (temporary / "end-states").mkdir()
            (temporary / "config.toml").write_text("[sweep] # new")
            for number, content in new.items():
                (temporary / "end-states" / f"0000000{number}.npz").write_bytes(content)
            broken_off(patch, at)
            exchange.put_in_place(temporary, folder, replace=True)
            ended = True
        exchange.finish_exchange(folder)
        found = {path.name: path.read_bytes() for path in (folder / "end-states").iterdir()}
        if "new" in (folder / "config.toml").read_text():
            assert found == {".DS_Store": b"old", **{f"0000000{n}.npz": c for n, c in new.items()}}
        else:
            assert set(found.values()) == {b"old"} and len(found) == 4 and not ended
        assert not (folder / exchange.NEW).exists()
        at += 1
    assert at > 4


def test_two_runs_at_once_one_result(stored: Path, config: Path) -> None:
    folder = config.parent / "both"
    folder.mkdir()
    with exchange.temporary_for(folder) as temporary:
        (temporary / "config.toml").write_text("")
        for name in OWN:
            shutil.copy(stored / name, folder)
        with pytest.raises(ConfigError, match="another run has just written"):
            exchange.put_in_place(temporary, folder, replace=False)
    assert names(folder) == OWN


def test_what_a_kill_left_is_nothing(config: Path) -> None:
    """A folder that holds only what an interrupted first run left is empty."""
    folder = config.parent / "left"
    (folder / ".faflow.0123abcd.tmp").mkdir(parents=True)
    assert main(["run", str(config), "--out", str(folder), *QUIET]) == 0
    assert names(folder) == [".faflow.0123abcd.tmp", *OWN]


# ---- found before the flow ----------------------------------------------------------------------


def test_what_can_t_be_written_is_found_before_the_flow(config: Path, capsys, monkeypatch) -> None:
    def never(*_, **__):
        raise AssertionError("the flow was run")

    monkeypatch.setattr(importlib.import_module("faflow.runs.run"), "compute", never)
    (config.parent / "file").write_text("")
    assert "--out: is file/deep/down" in complaint(
        capsys, "run", str(config), "--out", "file/deep/down"
    )
    monkeypatch.setattr(Path, "mkdir", _refused)
    assert "can't be written" in complaint(capsys, "run", str(config), "--out", "new/folder")
    assert names(config.parent) == ["file", "small.toml"]


def _refused(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_trying_out_leaves_nothing(tmp_path: Path) -> None:
    for name in ("", "one", "one/two/three"):
        store.try_out(tmp_path / name)
    assert names(tmp_path) == []


def test_a_report_that_can_t_be_written_is_found_first(stored: Path, capsys, monkeypatch) -> None:
    def never(*_, **__):
        raise AssertionError("the report was made")

    monkeypatch.setattr("faflow.report.page.page", never)
    monkeypatch.setattr(Path, "touch", _refused)
    line = complaint(capsys, "report", str(stored), "--out", "new.html")
    assert line.startswith("faflow: --out: is new.html, which can't be written")

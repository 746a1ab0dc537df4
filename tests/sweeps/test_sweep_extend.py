"""`faflow extend` of sweeps: members end in the bits of a sweep that ran as far at one go."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import LIGHT

import faflow
from faflow.cli import main
from faflow.flow import in_slices
from faflow.flow.loop import slices
from faflow.runs.ends import about_of, read_ends
from faflow.sweeps import chunks
from faflow.sweeps.longer import ends
from faflow.sweeps.longer.ends import end_of
from faflow.sweeps.longer.extend import LongerSweep
from faflow.sweeps.plan import plan_of
from faflow.sweeps.sweep import run_sweep
from faflow.sweeps.workers import work

MEMBERS = 6
AXES = f"[sweep.product]\nseed = {{ count = {MEMBERS} }}\n"
ALONE = ("--workers", "1", "--no-figures")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder with the ends of its members; to be copied."""
    place = tmp_path_factory.mktemp("once")
    (place / "small.toml").write_text(f"{LIGHT}\n[sweep]\nend_states = true\n{AXES}")
    run_sweep(plan_of(place / "small.toml"), workers=1, out=place / "many")
    return place / "many"


@pytest.fixture
def stored(once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once, tmp_path / "many"))


def whole(folder: Path) -> faflow.Result:
    """The sweep that a folder's config asks for, run at one go."""
    return run_sweep(plan_of(folder / "config.toml"), workers=1, out=folder.with_name("whole"))


def differing(one: faflow.Result, other: faflow.Result) -> set[int]:
    """Members of which anything but seconds is not the same to the last bit."""
    assert set(one.records.children) == set(other.records.children)
    found: set[int] = set()
    for group in one.records.children:
        for name, values in one.records[group].to_dataset().data_vars.items():
            others = other.records[group][name]
            assert values.dims == others.dims
            if values.identical(others):
                continue
            if name != "solver.seconds" and "seed" in values.dims:
                differs = [not values.isel(seed=i).identical(others.isel(seed=i))
                           for i in range(MEMBERS)]  # fmt: skip
                found |= set(np.flatnonzero(differs).tolist())
    return found


def test_members_go_on_from_their_ends(stored: Path, capsys) -> None:
    assert main(["extend", str(stored), "--t1", "0.8", *ALONE]) == 0
    longer = faflow.open(stored)
    assert float(longer.records["records"]["time"][-1]) == 0.8
    assert differing(longer, whole(stored)) == set()
    assert [path.name for path in stored.parent.iterdir() if "extended" in path.name] == []
    capsys.readouterr()
    assert main(["extend", str(stored), "--t1", "0.8", *ALONE]) == 0
    assert "(already there)" in " ".join(capsys.readouterr().out.split())
    # The control: a member whose end is another goes another way; one without begins again.
    with np.load(end_of(stored, 2)) as file:
        arrays = {name: file[name] for name in file.files}
    for name in [name for name in arrays if name.startswith("0.c")]:
        if arrays[name].dtype == np.float64 and arrays[name].ndim:
            arrays[name] = arrays[name] * (1 + 1e-6)
    np.savez(end_of(stored, 2), **arrays)
    end_of(stored, 3).write_bytes(b"nonsense")
    end_of(stored, 4).unlink()
    shutil.rmtree(stored.with_name("whole"))
    again = faflow.extend(stored, 0.9, workers=1, out=stored.with_name("aside"))
    assert differing(again, whole(stored.with_name("aside"))) == {2}
    assert float(faflow.open(stored).records["records"]["time"][-1]) == 0.8


def test_members_with_more_saves_than_states_are_kept_for(stored: Path, monkeypatch) -> None:
    """They go on all the same; none begins again."""
    begun: list[Any] = []
    (end,) = read_ends(end_of(stored, 0))
    monkeypatch.setattr(slices, "STATES", end["r2"].nbytes)
    monkeypatch.setattr(ends, "in_slices", partial(_noting, begun))
    longer = faflow.extend(stored, 0.7, workers=1)
    (later,) = read_ends(end_of(stored, 0))
    assert about_of(end)["states"] and not about_of(later)["states"]
    assert len(begun) == MEMBERS and None not in begun
    assert longer.summary["statuses"]["completed"] == MEMBERS


def _noting(begun: list[Any], *arguments: Any, start: Any) -> Any:
    begun.append(start)
    return in_slices(*arguments, start=start)


class Killed(Exception):
    """What a test ends a sweep with."""


def test_killed_in_the_middle_it_goes_on(stored: Path, monkeypatch) -> None:
    write, seen = chunks.write_chunk, []

    def first(*arguments: Any) -> None:
        if seen:
            raise Killed
        write(*arguments)
        seen.append(1)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(work, "write_chunk", first)
        faflow.extend(stored, 0.8, workers=1)
    assert float(faflow.open(stored).records["records"]["time"][-1]) == 0.5  # what was there
    beside = faflow.open(stored.with_name(".many.extended"))
    assert 0 < beside.summary["statuses"]["completed"] < MEMBERS
    longer = faflow.extend(stored, 0.8, workers=1)
    assert longer.fresh and differing(longer, whole(stored)) == set()


def test_killed_when_it_had_taken_its_place(stored: Path, monkeypatch) -> None:
    """What is left beside is tidied by whoever comes next, to that t1 or to another; what is on its
    way to another t1 is not."""
    beside = stored.with_name(".many.extended")
    for path in (beside, stored.with_name("aside")):
        shutil.copytree(stored, path)
    temporary = stored / "end-states" / ".00000001.npz.0123abcd.tmp"
    faflow.extend(stored, 0.5)
    assert not beside.exists()
    shutil.copytree(stored.with_name("aside"), beside)
    (beside / "summary.json").unlink()  # half of it gone
    temporary.write_bytes(b"half")
    shutil.copy(temporary, stored.with_name("aside") / "end-states")
    longer = faflow.extend(stored, 0.8, workers=1)
    assert float(longer.records["records"]["time"][-1]) == 0.8 and not beside.exists()
    assert not temporary.exists()
    shutil.copytree(stored.with_name("aside"), beside)  # of another t1
    faflow.extend(stored, 0.8)
    assert beside.exists()


def test_temporaries_of_killed_workers(once: Path, tmp_path: Path) -> None:
    """Those of ends go when the sweep is done; a stranger's stay."""
    out, config = tmp_path / "many", tmp_path / "small.toml"
    config.write_text((once.parent / "small.toml").read_text())
    run = partial(run_sweep, plan_of(config), workers=1, out=out)
    write = chunks.write_chunk

    def first(*arguments: Any) -> None:
        write(*arguments)
        for name in (".00000001.npz.0123abcd.tmp", ".mine.tmp"):
            (out / "end-states" / name).write_bytes(b"half")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "write_chunk", first)
        run()
    assert [path.name for path in (out / "end-states").glob(".*")] == [".mine.tmp"]


def test_without_ends_they_begin_again(tmp_path: Path, capsys) -> None:
    config, out = tmp_path / "small.toml", tmp_path / "many"
    config.write_text(f"{LIGHT}\n{AXES}")
    assert main(["sweep", str(config), "--out", str(out), *ALONE]) == 0
    assert not (out / "end-states").exists()
    assert main(["extend", str(out), "--t1", "0.8", *ALONE]) == 0
    assert "keeps no ends of its members" in capsys.readouterr().err
    assert differing(faflow.open(out), whole(out)) == set()


def complaint(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    capsys.readouterr()
    assert main(["extend", *map(str, arguments), *ALONE]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_some_that_ended_are_told_of(stored: Path) -> None:
    edited(stored / "summary.json", '"completed": 6', '"completed": 4, "target-reached": 2')
    (word,) = LongerSweep(stored, 0.8).words
    assert word.endswith("that ended before t1: 2 target-reached")


def test_opened_it_is_a_table(once: Path) -> None:
    opened = faflow.open(once)
    assert repr(opened).startswith("members ") and "6 completed" in repr(opened)
    table = opened.to_pandas()
    assert table.index.name == "seed" and len(table) == MEMBERS
    finals = opened.records["figures"]["loss.final"].values
    np.testing.assert_array_equal(table["loss.final"], finals)
    with pytest.raises(faflow.ConfigError, match="is a sweep, which has several figures"):
        opened.plot()


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_can_not_go_on(stored: Path, tmp_path: Path, capsys) -> None:
    """Each is named; nothing in it is touched."""
    before = {path.name for path in stored.rglob("*")}
    assert "has come to t = 0.5 already" in complaint(capsys, stored, "--t1", 0.4)
    running = Path(shutil.copytree(stored, tmp_path / "running"))
    (running / "summary.json").unlink()
    (running / "result.nc").unlink()
    (running / "chunks").mkdir()
    assert f"has {MEMBERS} members to run" in complaint(capsys, running, "--t1", 1)
    ended = Path(shutil.copytree(stored, tmp_path / "ended"))
    edited(ended / "summary.json", '"completed": 6', '"target-reached": 4, "steady-state": 2')
    said = complaint(capsys, ended, "--t1", 1)
    assert "(4 target-reached, 2 steady-state); more time changes nothing" in said
    damaged = Path(shutil.copytree(stored, tmp_path / "damaged"))
    (damaged / "result.nc").write_bytes(b"nonsense")
    assert "holds no readable result.nc" in complaint(capsys, damaged, "--t1", 1)
    older = Path(shutil.copytree(stored, tmp_path / "older"))
    edited(older / "config.toml", 'source = "', 'source = "0')
    assert "is of another version of faflow" in complaint(capsys, older, "--t1", 1)
    other = Path(shutil.copytree(stored, tmp_path / "other"))
    edited(other / "config.toml", "step = 0.05", "step = 0.025")
    assert "is of another config" in complaint(capsys, other, "--t1", 1)
    varied = Path(shutil.copytree(stored, tmp_path / "varied"))
    edited(varied / "config.toml", "[sweep.product.seed]\ncount = 6",
           '[sweep.product]\nseed = { count = 6 }\n"flow.t1" = [0.5]')  # fmt: skip
    edited(varied / "config.toml", '"seed",', '"seed", "flow.t1"')
    (varied / "summary.json").unlink()
    assert "varies flow.t1" in complaint(capsys, varied, "--t1", 1)
    assert {path.name for path in stored.rglob("*")} == before


def test_batches_have_no_ends(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(f"{LIGHT}\n[sweep]\nend_states = true\nbatch = 3\n{AXES}")
    with pytest.raises(faflow.ConfigError, match="is true, but members are integrated 3 at once"):
        plan_of(config)

"""`faflow plot --follow`: the records of a run so far, drawn until it ends or its process does."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import LIGHT

import faflow
from faflow.cli import follow, main
from faflow.cli.printing import Bar
from faflow.runs import checkpoint
from faflow.store.files import locked
from faflow.store.so_far import read_so_far

NAME = "small"


class Killed(Exception):
    """What a test ends a flow with."""


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was killed after its third checkpoint; beside it, in `one`, what was
    kept at the second."""
    config, place = tmp_path / "small.toml", tmp_path / f".{NAME}.checkpoint"
    config.write_text(LIGHT.replace("saves = 3", "saves = 11"))
    offer, seen = checkpoint.KeptLeg.offer, []

    def third(self: Any, *arguments: Any) -> None:
        offer(self, *arguments)
        seen.append(1)
        if len(seen) == 2:
            shutil.copytree(place, tmp_path / "one")
        if len(seen) == 5:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoint.KeptLeg, "offer", third)
        faflow.run(config, out=tmp_path / NAME, checkpoint=0.0)
    return tmp_path / NAME


def followed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = main(["plot", "--follow", *arguments])
    told = capsys.readouterr()
    return code, (told.out + told.err).splitlines()


def test_one_whose_process_is_gone(stopped: Path, capsys) -> None:
    so_far = read_so_far(stopped)
    assert so_far.status == "running" and 2 <= len(so_far.times) < 11
    code, told = followed(capsys, str(stopped))
    assert code == 3 and "of 11 saves" in told[0] and "its process has ended" in told[1]
    picture = stopped.with_name("small.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    whole = faflow.run(stopped.with_name("small.toml"), out=stopped)
    reached = len(so_far.times)
    for name in ("loss", "layer-balance", "steps"):
        np.testing.assert_array_equal(so_far.values(name), whole.values(name)[:reached])
    assert sorted(path.name for path in stopped.parent.iterdir() if path.name[0] == ".") == []
    code, told = followed(capsys, str(stopped))
    assert code == 0 and told == [f"{picture}: completed at t = 0.5"]


def test_one_that_grows_and_ends(stopped: Path, capsys) -> None:
    """It is drawn again when there is more, and not otherwise; and once more at the end."""
    place, one = stopped.with_name(f".{NAME}.checkpoint"), stopped.with_name("one")
    later, at_work, looks = (place / "records.nc").read_bytes(), ExitStack(), []
    shutil.copyfile(one / "records.nc", place / "records.nc")

    def wait(seconds: float) -> None:
        assert seconds > 0
        looks.append(seconds)
        if len(looks) == 2:
            (place / "records.nc").write_bytes(later)
        if len(looks) == 4:
            at_work.close()
            faflow.run(stopped.with_name("small.toml"), out=stopped)

    at_work.enter_context(locked(place))
    assert follow.follow(str(stopped), wait) == 0
    told = capsys.readouterr().out.splitlines()
    times = [float(line.split("t = ")[1].split(" ")[0]) for line in told]
    assert len(told) == 3 and times == sorted(set(times)) and times[-1] == 0.5
    assert len(looks) == 4


def test_records_that_are_damaged(stopped: Path, capsys) -> None:
    (stopped.with_name(f".{NAME}.checkpoint") / "records.nc").write_bytes(b"nonsense")
    code, (line,) = followed(capsys, str(stopped))
    assert code == 2 and "records.nc: can't be read" in line


def test_what_can_not_be_followed(tmp_path: Path, capsys) -> None:
    code, (line,) = followed(capsys, str(tmp_path / "nowhere"))
    assert code == 2 and "faflow run --checkpoint 60 keeps some" in line
    code, (line,) = followed(capsys, "one", "two")
    assert code == 2 and "is for one run, but 2 are given" in line
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "config.toml").write_text("[sweep.product]\nseed = [0, 1]\n")
    code, (line,) = followed(capsys, str(tmp_path / "many"))
    assert code == 2 and "is no run" in line


@pytest.mark.parametrize(
    "shares", [(0.6, 0.61, 0.2, 0.3), (0.0, 19.42), (-0.1, 0.0, 0.5), (0.0, float("nan"), 0.3)]
)
def test_the_bar_of_a_flow_grows_whatever_it_hears(shares, monkeypatch) -> None:
    """No time to go is negative, no share above 100 %."""
    said: list[str] = []

    class Screen:
        write, flush = staticmethod(said.append), staticmethod(lambda: None)

    monkeypatch.setattr("sys.stderr", Screen())
    monkeypatch.setattr("tqdm.std.time", iter(np.arange(100.0, 200.0)).__next__)
    bar = Bar()
    for share in shares:
        bar(share)
    text = "".join(said)
    percents = [int(part.split("\r")[-1]) for part in text.split("%")[:-1]]
    assert "-" not in text and max(percents) <= 100 and percents == sorted(percents)

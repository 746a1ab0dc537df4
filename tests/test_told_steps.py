"""What a terminal is told of the steps of a command, and what they took last time."""

import errno
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from faflow import durations
from faflow.cli import steps
from faflow.cli.steps import Steps
from faflow.durations import FILE, last_time, remember


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache folder of a user who wants things kept; the tests themselves keep nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_enable_compilation_cache", True)
    yield tmp_path / "faflow"
    jax.config.update("jax_enable_compilation_cache", False)


def test_what_took_how_long_is_known_again(folder: Path) -> None:
    assert last_time("one") == {}
    remember("one", {"compiling": 2.0, "all": 3.5})
    remember("two", {"all": 1.0})
    remember("one", {"all": 4.0})
    assert last_time("one") == {"all": 4.0} and last_time("two") == {"all": 1.0}
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_those_not_heard_of_for_longest_are_forgotten(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(durations, "MOST", 2)
    for name in ("one", "two", "one", "three"):
        remember(name, {"all": 1.0})
    assert [bool(last_time(name)) for name in ("one", "two", "three")] == [True, False, True]


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"one": 3}', '{"one": {"all": "x"}}', '{"one": {"all": NaN}}', "\0"]
)
def test_damaged_durations_are_none(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / FILE).write_text(text)
    assert last_time("one") == {}
    remember("one", {"all": 4.0})
    assert last_time("one") == {"all": 4.0}


def test_a_folder_that_takes_nothing_is_no_error(folder: Path, monkeypatch) -> None:
    remember("one", {"all": 4.0})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        remember("one", {"all": 5.0})
    assert last_time("one") == {"all": 4.0} and len(list(folder.iterdir())) == 1
    (folder.parent / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "file"))
    remember("one", {"all": 5.0})
    assert last_time("one") == {}


def test_who_keeps_no_programs_keeps_no_durations(folder: Path) -> None:
    jax.config.update("jax_enable_compilation_cache", False)
    remember("one", {"all": 4.0})
    assert not folder.exists()


def wait_for_timers() -> None:
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()


def test_a_step_that_lasts_is_told_with_what_it_took(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(steps, "SILENT", 0.0)
    with Steps({"drawing": 12.0, "loading": 0.2}) as at:
        for step in ("loading", "drawing"):
            at.begin(step)
            wait_for_timers()
    told = sys.stderr.getvalue().replace("\r", "").splitlines()
    assert told == ["faflow: loading ...", "faflow: drawing (12 s last time) ..."]
    assert set(at.seconds) == {"loading", "drawing"}


def test_a_short_step_is_not_told(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(steps, "SILENT", 60.0)
    with Steps() as at:
        at.begin("drawing")
    wait_for_timers()  # a timer that is still there would take a minute
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO, False), (Terminal, True)])
def test_a_pipe_and_json_are_told_of_no_step(monkeypatch, stream, quiet: bool) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(steps, "SILENT", 0.0)
    with Steps(quiet=quiet) as at:
        at.begin("drawing")
        wait_for_timers()
        assert at.meter() is None
    assert sys.stderr.getvalue() == ""


def test_the_bar_comes_after_the_step_and_before_the_next(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Steps() as at:
        meter = at.meter()
        assert meter is not None
        at.note("compiling")
        meter(0.5)
        assert "compiling" in at.seconds and "measuring" not in at.seconds
        meter(1.0)
    assert "measuring" in at.seconds
    told = sys.stderr.getvalue()
    assert told.index("compiling ...") < told.index(" 50%|") < told.index("100%|")

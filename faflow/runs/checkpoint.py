"""Checkpoints of one long flow: all that it knows, on disk from time to time.

They lie beside the result's folder, in .NAME.checkpoint, and are gone once the result is stored. A
file is one leg of the flow (`auto` may have two; a companion flow is another), whole or absent.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from ..config.errors import ConfigError, disk_refusals
from ..config.resolve import Resolved
from ..flow import Flow, Underway
from ..leftovers import undone_at_the_end
from ..measures.summary import Seconds
from ..store.digest import Digest, digest
from ..store.exchange import checkpoint_of
from ..store.files import LOCK, locked, replace_arrays
from ..store.so_far import SO_FAR
from .ends import FOR, about_of, about_run, packed, unpacked

EVERY = 60.0  # seconds between checkpoints unless said
_LEGS = "leg*.npz"


@contextmanager
def checkpoints(
    resolved: Resolved,
    folder: Path | None,
    every: float | None,
    replace: bool,
    note: Callable[[str], None],
    mesh: Mesh | None = None,
    known: Digest | None = None,
) -> Iterator["Checkpoints | None"]:
    """What keeps the checkpoints of a flow whose result goes to `folder`; None if that was not
    asked for and nothing is there of an interrupted run. `replace`: those of another config or
    faflow, and damaged ones, give way. `known`: the run's digest, if that is known already.
    ConfigError if there can be none."""
    if every is not None:
        _check(folder, every, mesh)
    if folder is None or mesh is not None:
        yield None
        return
    place = checkpoint_of(folder)
    if every is None and not any(place.glob(_LEGS)):
        yield None
        return
    with _held(place), undone_at_the_end(partial(_remove_unless_begun, place)):
        every = EVERY if every is None else every
        try:
            yield Checkpoints(known or digest(resolved), place, every, replace, note)
        except BaseException:
            _remove_unless_begun(place)
            raise
        _remove(place)


def discard(folder: Path | None, config: str) -> None:
    """Checkpoints whose result is stored, of a run of that `config` (`Digest`) that was killed just
    then; those of another config, on whose way to the same place a run was stopped, stay."""
    if folder is None:
        return
    place = checkpoint_of(folder)
    legs = [*place.glob(_LEGS)]
    if legs and all(_config_of(leg) in (config, None) for leg in legs):
        with _held(place):
            _remove(place)


def _config_of(leg: Path) -> str | None:
    """The config of a leg on disk; None if it is damaged."""
    try:
        with leg.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return about_of(file)["about"]["config"]
    except Exception:  # whatever is left of it
        return None


@contextmanager
def _held(place: Path) -> Iterator[None]:
    what = f"is {place}, which can't be written"
    with disk_refusals("--out", what, "free space or choose another"):
        place.mkdir(parents=True, exist_ok=True)
        (place / LOCK).open("a+").close()
    with locked(place):
        yield


def _remove(place: Path) -> None:
    """What was put there, and the folder if nothing else is in it."""
    for path in [
        *place.glob(_LEGS),
        *place.glob(f".{_LEGS}.*.tmp"),
        place / SO_FAR,
        *place.glob(f".{SO_FAR}.*.tmp"),
        place / LOCK,
    ]:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        place.rmdir()


def _remove_unless_begun(place: Path) -> None:
    if not any(place.glob(_LEGS)):
        _remove(place)


def _check(folder: Path | None, every: float, mesh: Mesh | None) -> None:
    if not every >= 0:
        raise ConfigError("--checkpoint", f"is {every}; give the seconds between two, 0 or more")
    if folder is None:
        raise ConfigError("--checkpoint", "needs a result that is stored; remove it")
    if mesh is not None:
        what = "serves flows on one device, but this one is on several; remove it or flow.devices"
        raise ConfigError("--checkpoint", what)


class Checkpoints:
    """Where the legs of a flow are kept, one file each, and what they have to share with who reads
    them."""

    def __init__(
        self,
        run: Digest,
        place: Path,
        every: float,
        replace: bool,
        note: Callable[[str], None],
    ):
        self._about = about_run(run)
        self._place, self._every, self._replace, self._note = place, every, replace, note
        self._legs = 0

    def leg(self, flow: Flow) -> "KeptLeg":
        """Of the next leg."""
        path = self._place / f"leg{self._legs}.npz"
        self._legs += 1
        return KeptLeg(path, flow, self._about, self._every, self._replace, self._note)


class KeptLeg:
    """One leg on disk. ConfigError if that is of another config or faflow, is damaged, or can't be
    written."""

    def __init__(
        self,
        path: Path,
        flow: Flow,
        about: dict[str, Any],
        every: float,
        replace: bool,
        note: Callable[[str], None],
    ):
        self._path, self._flow, self._about = path, flow, about
        self._every, self._replace, self._note = every, replace, note
        self._written = time.perf_counter()

    def stored(self) -> tuple[Underway, Seconds] | None:
        """What is there of the leg, and what it has cost; None if nothing is."""
        if not self._path.exists():
            return None
        try:
            with self._path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = about_of(arrays)
            differs = [
                what for name, what in FOR.items() if meta["about"][name] != self._about[name]
            ]
            if not differs:
                found = unpacked(arrays, self._flow)
                self._note(f"going on from t = {meta['t']:.6g}")
                return found
            why = f"is of another {differs[0]}"
        except Exception as error:  # whatever is left of it
            why = f"is damaged ({type(error).__name__}: {error})"
        if not self._replace:
            place = self._path.parent
            what = f"found {place}, which {why}; --replace begins anew, or remove it"
            raise ConfigError("--checkpoint", what)
        self._path.unlink()
        return None

    def offer(
        self,
        underway: Underway,
        t: Any,
        seconds: Seconds,
        over: bool,
        show: Callable[[], None] = lambda: None,
    ) -> None:
        """What the leg knows at time t, written if it is time for that, or if it is `over`; `show`
        writes what it has recorded."""
        if not over and time.perf_counter() - self._written < self._every:
            return
        self._write(underway, float(t), seconds)
        with _told(self._path.parent):
            show()
        saves = f"{int(underway.saves)} of {self._flow[1].size} saves"
        self._note(f"checkpoint at t = {float(t):.6g}, {saves}")
        self._written = time.perf_counter()

    def _write(self, underway: Underway, t: float, seconds: Seconds) -> None:
        arrays = packed(underway, self._flow, t, seconds, self._about)
        with _told(self._path.parent):
            replace_arrays(self._path, arrays)


def _told(place: Path) -> AbstractContextManager[None]:
    """A checkpoint that the disk does not take is a ConfigError."""
    remedy = "free space, and the same command goes on from the last one"
    return disk_refusals("--checkpoint", f"can't be written to {place}", remedy)

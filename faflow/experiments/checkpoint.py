"""Checkpoints of one long flow: all that it knows, on disk from time to time.

They lie beside the result's folder, in .NAME.checkpoint, and are gone once the result is stored. A
file is one leg of the flow (`auto` may have two; a companion flow is another), whole or absent.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ..flow import begin, carry_like, conclude, go_on, row_like
from ..leftovers import undone_at_the_end
from .digest import digest
from .errors import ConfigError
from .files import LOCK, alone, replace_arrays
from .resolve import Resolved
from .summary import Seconds, environment

EVERY = 60.0  # seconds between checkpoints unless said
_META, _LEGS = "meta", "leg*.npz"
_FOR = {"config": "config", "source": "version of faflow", "jax": "version of jax",
        "diffrax": "version of diffrax"}  # fmt: skip  # what it has to share with who reads it


@contextmanager
def checkpoints(
    resolved: Resolved,
    folder: Path | None,
    every: float | None,
    replace: bool,
    note: Callable[[str], None],
    mesh: Mesh | None = None,
) -> Iterator["Checkpoints | None"]:
    """What keeps the checkpoints of a flow whose result goes to `folder`; None if that was not
    asked for and nothing is there of an interrupted run. `replace`: those of another config or
    faflow, and damaged ones, give way. ConfigError if there can be none."""
    if every is not None:
        _check(folder, every, mesh)
    if folder is None or mesh is not None:
        yield None
        return
    place = _place_of(folder)
    if every is None and not any(place.glob(_LEGS)):
        yield None
        return
    with _held(place), undone_at_the_end(partial(_remove_unless_begun, place)):
        try:
            yield Checkpoints(resolved, place, EVERY if every is None else every, replace, note)
        except BaseException:
            _remove_unless_begun(place)
            raise
        _remove(place)


def discard(folder: Path | None) -> None:
    """Checkpoints whose result is stored, of a run that was killed just then."""
    if folder is not None and any(_place_of(folder).glob(_LEGS)):
        with _held(_place_of(folder)):
            _remove(_place_of(folder))


@contextmanager
def _held(place: Path) -> Iterator[None]:
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / LOCK).open("a+")
    except OSError as error:
        reason = error.strerror or str(error)
        what = f"is {place}, which can't be written ({reason}); free space or choose another"
        raise ConfigError("--out", what) from error
    lock.close()
    with alone(place):
        yield


def _remove(place: Path) -> None:
    """What was put there, and the folder if nothing else is in it."""
    for path in [*place.glob(_LEGS), *place.glob(f".{_LEGS}.*.tmp"), place / LOCK]:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        place.rmdir()


def _remove_unless_begun(place: Path) -> None:
    if not any(place.glob(_LEGS)):
        _remove(place)


def _place_of(folder: Path) -> Path:
    folder = Path(os.path.abspath(folder))
    return folder.with_name(f".{folder.name}.checkpoint")


def _check(folder: Path | None, every: float, mesh: Mesh | None) -> None:
    if not every >= 0:
        raise ConfigError("--checkpoint", f"is {every}; give the seconds between two, 0 or more")
    if folder is None:
        raise ConfigError("--checkpoint", "needs a result that is stored; remove it")
    if mesh is not None:
        what = "serves flows on one device, but this one is on several; remove it or flow.devices"
        raise ConfigError("--checkpoint", what)


class Checkpoints:
    """Runs legs of a flow save by save, as `solve_leg`, and goes on from what `place` holds of
    them. ConfigError if that is of another config or faflow, is damaged, or can't be written."""

    def __init__(
        self,
        resolved: Resolved,
        place: Path,
        every: float,
        replace: bool,
        note: Callable[[str], None],
    ):
        found = {**environment(), **digest(resolved)._asdict()}
        self._about = {name: found[name] for name in _FOR}
        self._place, self._every, self._replace, self._note = place, every, replace, note
        self._legs = 0
        self.seconds = Seconds(0.0, 0.0)

    def __call__(self, *flow: Any) -> Any:
        return self._run(flow, timed=True)

    def again(self, same_program: bool, *flow: Any) -> Any:
        """Another flow, not timed."""
        del same_program
        return self._run(flow, timed=False)

    def _run(self, flow: tuple[Any, ...], timed: bool) -> Any:
        path = self._place / f"leg{self._legs}.npz"
        self._legs += 1
        ts = flow[1]
        clock = _Clock()
        stored = self._read(path, flow)
        if stored is None:
            carry, rows = clock.run(clock.compiled(begin, *flow), *flow), []
        else:
            carry, rows, clock.seconds = stored
            self._note(f"going on from t = {float(ts[len(rows) - 1]):.6g}")
        step = clock.compiled(go_on, carry, ts[0], *flow)
        written = time.perf_counter()
        for target in ts[len(rows) :]:
            carry, row = clock.run(step, carry, target, *flow)
            rows.append(jax.tree.map(np.asarray, row))
            if len(rows) == len(ts) or time.perf_counter() - written >= self._every:
                self._write(path, carry, rows, clock.seconds)
                self._note(f"checkpoint at t = {float(target):.6g}, {len(rows)} of {len(ts)} saves")
                written = time.perf_counter()
        whole = jax.tree.map(lambda *column: np.stack(column), *rows)
        last = clock.compiled(conclude, carry, whole, *flow)
        found = clock.run(last, carry, whole, *flow)
        if timed:
            before = self.seconds
            self.seconds = Seconds(
                before.compile + clock.seconds.compile, before.run + clock.seconds.run
            )
        return found

    def _read(self, path: Path, flow: tuple[Any, ...]) -> tuple[Any, list[Any], Seconds] | None:
        if not path.exists():
            return None
        like, row = carry_like(*flow), row_like(*flow)
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(arrays[_META].tobytes().decode())
            differs = [
                what for name, what in _FOR.items() if meta["about"][name] != self._about[name]
            ]
            if not differs:
                carry = _filled(like, [arrays[f"c{i}"] for i in range(meta["carry"])])
                kept = [arrays[f"r{i}"] for i in range(meta["row"])]
                rows = [_filled(row, [np.asarray(c[k]) for c in kept]) for k in range(meta["rows"])]
                return jax.tree.map(jnp.asarray, carry), rows, Seconds(*meta["seconds"])
            why = f"is of another {differs[0]}"
        except Exception as error:  # whatever is left of it
            why = f"is damaged ({type(error).__name__}: {error})"
        if not self._replace:
            what = f"found {self._place}, which {why}; --replace begins anew, or remove it"
            raise ConfigError("--checkpoint", what)
        path.unlink()
        return None

    def _write(self, path: Path, carry: Any, rows: list[Any], seconds: Seconds) -> None:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(carry)]
        columns = [np.stack(column) for column in zip(*map(jax.tree.leaves, rows), strict=True)]
        meta = {
            "about": self._about, "rows": len(rows), "carry": len(leaves), "row": len(columns),
            "seconds": list(seconds),
        }  # fmt: skip
        arrays = {f"c{i}": leaf for i, leaf in enumerate(leaves)}
        arrays |= {f"r{i}": column for i, column in enumerate(columns)}
        arrays[_META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        try:
            replace_arrays(path, arrays)
        except OSError as error:
            reason = error.strerror or str(error)
            what = f"can't be written to {self._place} ({reason}); free space, and the same command"
            raise ConfigError("--checkpoint", f"{what} goes on from the last one") from error


class _Clock:
    """Compiles and runs, and knows how long each took."""

    def __init__(self):
        self.seconds = Seconds(0.0, 0.0)

    def compiled(self, function: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        jitted: Any = eqx.filter_jit(function)
        found = jitted.lower(*arguments).compile()
        taken = time.perf_counter() - started
        self.seconds = self.seconds._replace(compile=self.seconds.compile + taken)
        return found

    def run(self, program: Any, *arguments: Any) -> Any:
        started = time.perf_counter()
        found = jax.block_until_ready(program(*arguments))
        taken = time.perf_counter() - started
        self.seconds = self.seconds._replace(run=self.seconds.run + taken)
        return found


def _filled(like: Any, arrays: list[np.ndarray]) -> Any:
    """The tree with these leaves. ValueError if they are not of its shapes and types."""
    shapes, structure = jax.tree.flatten(like)
    for shape, array in zip(shapes, arrays, strict=True):
        if (shape.shape, shape.dtype) != (array.shape, array.dtype):
            raise ValueError(f"has an array {array.shape} where {shape.shape} is expected")
    return jax.tree.unflatten(structure, arrays)

"""What a flow knows between two slices, as named arrays: in checkpoints, and at its end, where it
is kept beside the result so that the flow can go on (`extend`)."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from .._compiling import ONCE, program
from .._packing import unpacked_here
from ..config.errors import ConfigError
from ..flow import Flow, Underway, begin, keeps_states, observed_at
from ..measures.summary import Seconds, environment
from ..store.digest import Digest
from ..store.exchange import END, real_path

Arrays = Mapping[str, np.ndarray]
LARGE = 10_000_000  # bytes of a file that are worth a word
_META, _TIMES, _OF = "meta", "times", "of"
FOR = {"config": "config", "source": "version of faflow", "jax": "version of jax",
       "diffrax": "version of diffrax"}  # fmt: skip  # what it has to share with who reads it


class Earlier(NamedTuple):
    """A stored run that a longer one goes on from: its folder, the ends of its legs, and the
    `history` of the longer one: all that it goes on from, told in its provenance."""

    folder: Path
    legs: Sequence[Arrays]
    history: Sequence[Mapping[str, Any]]


def goes_in_place(earlier: Earlier | None, folder: Path | None) -> bool:
    """Whether the longer run's result takes the place of the one that it goes on from."""
    if earlier is None or folder is None:
        return False
    return real_path(folder) == real_path(earlier.folder)


def about_run(run: Digest) -> dict[str, str]:
    """What a flow has to share with who goes on with it."""
    found = {**environment(), **run._asdict()}
    return {name: found[name] for name in FOR}


def packed(
    underway: Underway, flow: Flow, t: float, seconds: Seconds, about: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """A leg of a flow at time t, with what it has cost, and what is to be known `about` it."""
    saves = int(underway.saves)
    carry = [np.asarray(leaf) for leaf in jax.tree.leaves((underway.carry, underway.held))]
    columns = [np.asarray(leaf)[:saves] for leaf in jax.tree.leaves(underway.rows)]
    meta = {
        "about": dict(about), "saves": saves, "carry": len(carry), "row": len(columns),
        "level": int(underway.level), "seconds": list(seconds), "t": t,
        "states": keeps_states(underway),
    }  # fmt: skip
    arrays = {f"c{i}": leaf for i, leaf in enumerate(carry)}
    arrays |= {f"r{i}": column for i, column in enumerate(columns)}
    arrays[_META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    return arrays


def about_of(arrays: Arrays) -> dict[str, Any]:
    """What is known of a packed leg besides its arrays: `about`, `t`, `saves`, `seconds`."""
    return json.loads(arrays[_META].tobytes().decode())


def unpacked(arrays: Arrays, flow: Flow) -> tuple[Underway, Seconds]:
    """A packed leg as one of `flow`, which may have more saves. ValueError, KeyError or TypeError
    if it is none. Where it keeps states that would be too large for all saves of `flow`, records
    are made of them, equal to those made on the way to rounding."""
    like, meta = eqx.filter_eval_shape(begin, flow), about_of(arrays)
    carry = [arrays[f"c{i}"] for i in range(meta["carry"])]
    columns = [arrays[f"r{i}"] for i in range(meta["row"])]
    if meta["states"] and not keeps_states(like):
        times, reached, states, *watched = columns  # as the leaves of a Row lie
        records = unpacked_here(program(observed_at, ONCE)(flow, reached, states))
        columns = [times, reached, *map(np.asarray, jax.tree.leaves(records)), *watched]
    columns = [_whole(column, flow.ts.size) for column in columns]
    carry, held = _filled((like.carry, like.held), carry)
    at = (jnp.asarray(meta[name], int) for name in ("saves", "level"))
    found = Underway(carry, held, _filled(like.rows, columns), *at)
    return jax.tree.map(jnp.asarray, found), Seconds(*meta["seconds"])


def begins_as(arrays: Arrays, flow: Flow) -> bool:
    """Whether a flow is that of a kept end up to there: the same problem and numerics, and the same
    saves. One whose equations are made for its whole time is not."""
    times = arrays[_TIMES]
    same = np.array_equal(times, np.asarray(flow.ts)[: len(times)])
    return same and arrays[_OF].tobytes() == _print_of(flow)


@dataclass
class Ends:
    """The ends of the legs of one flow: `earlier`, from which it goes on, and `kept`, as it meets
    them. `rounded`: records of an earlier one were made anew, equal to rounding."""

    about: Mapping[str, Any]
    earlier: Sequence[Arrays] = ()
    kept: list[Arrays] = field(default_factory=list)
    begun: int = 0
    rounded: bool = False

    def next(
        self, flow: Flow, note: Callable[[str], None] = lambda text: None
    ) -> tuple[Underway, Seconds] | None:
        """What the next leg goes on from, and what that has cost; None if it begins anew. `note`
        hears of an end that should fit and does not."""
        number, self.begun = self.begun, self.begun + 1
        if number >= len(self.earlier) or not begins_as(self.earlier[number], flow):
            return None
        try:
            found = unpacked(self.earlier[number], flow)
        except (ValueError, KeyError, TypeError) as error:
            note(f"the flow begins anew: its end {error}")
            return None
        states = about_of(self.earlier[number])["states"]
        self.rounded |= states and not keeps_states(found[0])
        return found

    def keep(self, underway: Underway, flow: Flow, t: float, seconds: Seconds) -> None:
        """The end of the next leg."""
        arrays = packed(underway, flow, t, seconds, self.about)
        arrays[_OF] = np.frombuffer(_print_of(flow), np.uint8)
        self.kept.append({**arrays, _TIMES: np.asarray(flow.ts)})

    def content(self) -> bytes:
        """The file of those that are kept."""
        file = io.BytesIO()
        arrays = {f"{i}.{name}": a for i, leg in enumerate(self.kept) for name, a in leg.items()}
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  # numpy's stub
        return file.getvalue()

    def told(self, tell: Callable[[str], None]) -> bytes:
        """The same; `tell` hears of it if it is large."""
        content = self.content()
        if len(content) > LARGE:
            size = f"{END} is {len(content) / 1e6:.0f} MB, by which the flow can be extended"
            tell(f"{size}; --no-end-state leaves it out")
        return content


def ends_of(
    run: Digest | None, mesh: Mesh | None, end_state: bool, earlier: Earlier | None
) -> Ends | None:
    """What keeps the ends of legs; None if nobody asks, or they are spread over devices."""
    if run is None or mesh is not None or not (end_state or earlier):
        return None
    return Ends(about_run(run), () if earlier is None else earlier.legs)


def gone_on_from(earlier: Earlier | None, ends: Ends | None) -> Sequence[Mapping[str, Any]]:
    """What the provenance of a result tells of the flows that it goes on from."""
    if earlier is None:
        return ()
    if ends is None or not ends.rounded:
        return earlier.history
    return [*earlier.history[:-1], {**earlier.history[-1], "equal": "tolerance"}]


def read_ends(path: Path) -> list[Arrays]:
    """The legs in a file of ends. ConfigError if it is damaged."""
    try:
        legs: dict[int, dict[str, np.ndarray]] = {}
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            for name in file.files:
                leg, _, own = name.partition(".")
                legs.setdefault(int(leg), {})[own] = file[name]
        found = [legs[i] for i in range(len(legs))]
        for leg in found:
            _ = about_of(leg)["t"], leg[_TIMES], leg[_OF]
        if not found:
            raise ValueError("is empty")
        return [*found]
    except Exception as error:  # whatever is left of it
        what = f"is damaged ({type(error).__name__}); run the flow again"
        raise ConfigError(str(path), what) from error


def _print_of(flow: Flow) -> bytes:
    """sha256 of the numbers of the problem and its numerics."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves((flow.problem, flow.numerics)):
        if eqx.is_array_like(leaf):
            array = np.asarray(leaf)
            found.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return found.digest()


def _whole(column: np.ndarray, saves: int) -> np.ndarray:
    """A column with room for all saves."""
    rest = np.zeros((saves - len(column), *column.shape[1:]), column.dtype)
    return np.concatenate([column, rest])


def _filled(like: Any, arrays: list[np.ndarray]) -> Any:
    """The tree with these leaves. ValueError if they are not of its shapes and types."""
    shapes, structure = jax.tree.flatten(like)
    for shape, array in zip(shapes, arrays, strict=True):
        if (shape.shape, shape.dtype) != (array.shape, array.dtype):
            raise ValueError(f"has an array {array.shape} where {shape.shape} is expected")
    return jax.tree.unflatten(structure, arrays)

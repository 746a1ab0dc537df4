"""Chunks: finished members on disk, one file each, durable before anyone is told.

A file's name is that of its first member; its zip directory has a checksum of every array, so that
a damaged one is known. Members are numbered as in the plan's grid, carry what their own configs
vary, by which `gather` checks that they are where they belong, and one that two files hold is the
same in both.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config.errors import ConfigError
from ..measures.variables.groups import Variable
from ..store.files import MARK, replace_arrays
from .member import Member

CHUNKS = "chunks"
CHUNK = f"{'[0-9]' * 8}-{MARK}.npz"  # how `write_chunk` names one, as a pattern
_META = "meta"


class Chunk(NamedTuple):
    """Members that have run: their `places` (every varied key and its value) and `summaries` in
    their order, `variables` with them as first axis, `coordinates` of the other axes."""

    members: list[int]
    places: list[dict[str, Any]]
    summaries: list[dict[str, Any]]
    variables: dict[str, Variable]
    coordinates: dict[str, list[Any]]


def stack(found: Mapping[int, Member], places: Mapping[int, dict[str, Any]]) -> Iterator[Chunk]:
    """Members by number, one chunk for all that have the same variables of the same shapes."""
    alike: dict[str, list[int]] = {}
    for number, member in found.items():
        shapes = {k: (v.dims, v.values.shape, v.attrs) for k, v in member.variables.items()}
        alike.setdefault(json.dumps([shapes, member.coordinates]), []).append(number)
    for numbers in alike.values():
        members = [found[number] for number in numbers]
        variables = {
            name: Variable(("member", *dims), np.stack([m.variables[name].values for m in members]),
                           attrs)
            for name, (dims, _, attrs) in members[0].variables.items()
        }  # fmt: skip
        summaries = [member.summary for member in members]
        own = [places[number] for number in numbers]
        yield Chunk(numbers, own, summaries, variables, members[0].coordinates)


def write_chunk(folder: Path, chunk: Chunk) -> None:
    """The chunk's file, whole or absent. OSError if the disk does not take it."""
    meta = {
        "members": chunk.members,
        "places": chunk.places,
        "summaries": chunk.summaries,
        "coordinates": chunk.coordinates,
        "variables": {name: [v.dims, v.attrs] for name, v in chunk.variables.items()},
    }
    arrays = {f"v{i}": variable.values for i, variable in enumerate(chunk.variables.values())}
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    place = folder / CHUNKS / f"{chunk.members[0]:08d}-{uuid.uuid4().hex[:8]}.npz"
    replace_arrays(place, {_META: text, **arrays})


def read_chunk(path: Path) -> Chunk:
    """A stored chunk. ConfigError, which names the file, if it is damaged."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            meta = json.loads(file[_META].tobytes().decode())
            variables = {
                name: Variable(tuple(dims), file[f"v{i}"], attrs)
                for i, (name, (dims, attrs)) in enumerate(meta["variables"].items())
            }
        named = (meta[name] for name in ("members", "places", "summaries"))
        return Chunk(*named, variables, meta["coordinates"])
    except Exception as error:  # zipfile and numpy each have their own
        what = f"is a damaged chunk ({type(error).__name__}); --repair computes its members again"
        raise ConfigError(str(path), what) from error


def chunk_paths(folder: Path) -> list[Path]:
    """The chunk files of a sweep in the order of their first members."""
    return sorted(path for path in (folder / CHUNKS).glob("*.npz") if not path.name.startswith("."))


def read_chunks(folder: Path, repair: bool = False) -> Iterator[Chunk]:
    """All chunks of a sweep; damaged ones are an error, or removed."""
    for path in chunk_paths(folder):
        try:
            yield read_chunk(path)
        except ConfigError:
            if not repair:
                raise
            path.unlink()

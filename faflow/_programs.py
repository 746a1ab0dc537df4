"""Compiled programs, which faflow's own processes find again without tracing them.

JAX keeps what XLA compiles by what a function is traced to, and tracing takes longer than a small
flow. Here a `ProgramEntry` is found by what a program is made of (`_described`), faflow's sources
among it, and says where the compiled function is. That one is found by what was traced as well:
it may have been made by other sources. What has no such description is traced.
"""

import hashlib
import pickle
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.experimental.serialize_executable import deserialize_and_load, serialize

from ._described import Unknown, described, of_array, surroundings
from ._shelf import get, put, shelf, without_jax_cache

Donated = Literal["none", "all-except-first"]
Parts = tuple[list[Any], list[Any], "Rest"]  # arrays that are overwritten, other arrays, the rest
VERSION = 1  # of what is kept
# All that may be called from a program that is kept: nothing that lives in one process only.
LAPACK = re.compile(r"lapack_\w+")


@jax.tree_util.register_static
@dataclass(frozen=True)
class Rest:
    """What is left of a tree without its arrays: its structure, and its leaves, None for arrays."""

    tree: Any
    leaves: tuple[Any, ...]


class ProgramEntry(NamedTuple):
    """What is known of a program without tracing it. `code`: the key of the compiled function;
    `returned`: the tree of what it returns, 0 for every leaf; `leaves`: those of its `Rest`;
    `about`: this as described."""

    code: str
    returned: Any
    leaves: tuple[Any, ...]
    about: str


class Ready:
    """A compiled program, called as the function that it is made of."""

    def __init__(self, compiled: jax.stages.Compiled, donate: Donated):
        self.compiled = compiled
        self._donate: Donated = donate

    def __call__(self, *given: Any, **named: Any) -> Any:
        return _joined(*self.compiled(*_split(given, named, self._donate)[:2]))


class Program:
    """`equinox.filter_jit` of a function: all arrays are traced, all else is static. `asked`: the
    options for XLA as they are asked for, `options`: those that it is given."""

    def __init__(
        self,
        function: Callable[..., Any],
        donate: Donated,
        asked: Mapping[str, Any],
        options: Callable[[], Any],
    ):
        self._function, self._asked, self._options = function, asked, options
        self._donate: Donated = donate
        self._known: dict[str, Ready] = {}

    def __call__(self, *given: Any, **named: Any) -> Any:
        parts = _split(given, named, self._donate)
        key = self._key(parts)
        if key is None:
            return _joined(*self._jitted(*parts))
        return _joined(*self._found(key, parts).compiled(*parts[:2]))

    def ready(self, *given: Any, **named: Any) -> Ready:
        """The program for what is given, compiled."""
        parts = _split(given, named, self._donate)
        key = self._key(parts)
        if key is None:
            return Ready(self._jitted.lower(*parts).compile(), self._donate)
        return self._found(key, parts)

    def shapes(self, *given: Any, **named: Any) -> Any:
        """What it would return, with shapes and types for arrays."""
        parts = _split(given, named, "none")
        key, name = self._key(parts), f"shapes_{self._function.__name__}"
        if key is not None:
            with suppress(Exception):  # of whatever kind: what was pickled elsewhere
                return pickle.loads(get(name, key) or b"")
        found = _joined(*self._jitted.eval_shape(*parts))
        if key is not None and shelf.unchanged():
            with suppress(Exception):  # of whatever kind: it can't be pickled
                put(name, key, pickle.dumps(found))
        return found

    def _flat(self, donated: list[Any], kept: list[Any], rest: Rest) -> tuple[list[Any], Rest]:
        given, named = _joined(kept + donated, rest)
        return _taken_apart(jax.tree.flatten(self._function(*given, **named)))

    @cached_property
    def _jitted(self) -> Any:
        def flat(donated: list[Any], kept: list[Any], rest: Rest) -> tuple[list[Any], Rest]:
            return self._flat(donated, kept, rest)

        flat.__name__ = flat.__qualname__ = self._function.__name__
        # What is not used is kept, so that what is traced tells all arguments.
        return jax.jit(
            flat, donate_argnums=0, static_argnums=2, keep_unused=True,
            compiler_options=self._options(),
        )  # fmt: skip

    def _key(self, parts: Parts) -> str | None:
        """The same for the same program in every process; None if that can't be told."""
        if not shelf.is_open():
            return None
        try:
            made_of = map(described, (self._function, parts[2].tree, parts[2].leaves))
            return _hashed(*self._around(parts), shelf.code, *made_of)
        except Unknown:
            return None

    def _around(self, parts: Parts) -> tuple[Any, ...]:
        arrays = [[one if one is None else of_array(one) for one in some] for some in parts[:2]]
        return VERSION, surroundings(), described(self._asked), arrays

    def _found(self, key: str, parts: Parts) -> Ready:
        if key not in self._known:
            compiled = self._untraced(key, parts) or self._traced(key, parts)
            self._known[key] = Ready(compiled, self._donate)
        return self._known[key]

    def _untraced(self, key: str, parts: Parts) -> jax.stages.Compiled | None:
        found = get(f"traced_{self._function.__name__}", key)
        try:
            entry: ProgramEntry = pickle.loads(found or b"")
            rest = Rest(jax.tree.structure(entry.returned), entry.leaves)
            if _about(rest) != entry.about:
                return None
            arrays = [0 if leaf is None else None for leaf in entry.leaves]
            return self._load(entry.code, parts, jax.tree.structure((arrays, rest)))
        except Exception:  # of whatever kind: what was pickled elsewhere
            return None

    def _traced(self, key: str, parts: Parts) -> jax.stages.Compiled:
        lowered = self._jitted.lower(*parts)
        returned = [(a.shape, str(a.dtype), a.weak_type) for a in jax.tree.leaves(lowered.out_info)]
        code = _hashed(*self._around(parts), lowered.as_text(), returned)
        compiled, kept = self._load(code, parts, lowered.out_tree), True
        if compiled is None:
            with without_jax_cache():
                compiled = lowered.compile()
            kept = self._keep(code, compiled)
        rest = lowered.out_tree.unflatten([0] * lowered.out_tree.num_leaves)[1]
        try:
            zeros = rest.tree.unflatten([0] * rest.tree.num_leaves)
            entry = pickle.dumps(ProgramEntry(code, zeros, rest.leaves, _about(rest)))
        except Exception:  # of whatever kind: what can't be pickled, or told
            return compiled
        if kept and shelf.unchanged():
            put(f"traced_{self._function.__name__}", key, entry)
        return compiled

    def _load(self, code: str, parts: Parts, returned: Any) -> jax.stages.Compiled | None:
        found = get(f"compiled_{self._function.__name__}", code)
        if not found:
            return None
        if found[0]:
            _look_up_lapack()
        try:
            return deserialize_and_load(found[1:], _given_tree(parts), returned)
        except Exception:  # of whatever kind: it can't be run here
            return None

    def _keep(self, code: str, compiled: jax.stages.Compiled) -> bool:
        """Keep a compiled function, if it can be."""
        called = set(re.findall(r'custom_call_target="([^"]*)"', compiled.as_text() or ""))
        try:
            content = bytes([bool(called)]) + serialize(compiled)[0]
        except Exception:  # of whatever kind: it can't be serialised
            return False
        if all(map(LAPACK.fullmatch, called)):
            put(f"compiled_{self._function.__name__}", code, content)
            return True
        return False


@cache
def _look_up_lapack() -> None:
    """As JAX does when it lowers a call."""
    jax.jit(jax.lax.linalg.cholesky).lower(np.eye(1))


def _split(given: tuple[Any, ...], named: dict[str, Any], donate: Donated) -> Parts:
    leaves, tree = jax.tree.flatten((given, named))
    arrays, rest = _taken_apart((leaves, tree))
    kept = len(leaves) if donate == "none" else jax.tree.structure(given[0]).num_leaves
    return arrays[kept:], arrays[:kept], rest


def _taken_apart(flat: tuple[list[Any], Any]) -> tuple[list[Any], Rest]:
    leaves, tree = flat
    others = tuple(None if eqx.is_array(leaf) else leaf for leaf in leaves)
    return [leaf if eqx.is_array(leaf) else None for leaf in leaves], Rest(tree, others)


def _joined(arrays: list[Any], rest: Rest) -> Any:
    both = zip(arrays, rest.leaves, strict=True)
    return rest.tree.unflatten([array if other is None else other for array, other in both])


def _given_tree(parts: Parts) -> Any:
    return jax.tree.structure((parts[:2], {}))


def _about(rest: Rest) -> str:
    return repr((described(rest.tree), described(rest.leaves)))


def _hashed(*about: Any) -> str:
    return hashlib.sha256(repr(about).encode()).hexdigest()

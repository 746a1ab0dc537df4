"""A resolved config as TOML: every default written out, ready to be run again."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from .places import moved, placeless
from .resolve import Choice, Resolved

_OUTSIDE = (
    "network", "init", "task", "rule", "feedback", "flow", "discrete", "simulate", "observe",
    "expect",
)  # fmt: skip


def config_text(
    resolved: Resolved,
    *,
    into: Path | None = None,
    paths: bool = True,
    expect: bool = True,
    split: bool = True,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """TOML of a resolved config.

    `into`: the folder it will lie in, which files and code are then relative to; `paths` = False
    leaves them out (their content counts, not their place), `expect` = False the bounds, `split` =
    False how sums over samples are split over blocks and devices.
    """
    table = config_table(resolved)
    if not expect:
        table.pop("expect", None)
    if not split:
        for key in ("block", "devices"):
            table["flow"].pop(key, None)
    if not paths:
        table = placeless(table)
    elif into is not None:
        table = moved(table, resolved.base, into)
    if provenance:
        table["provenance"] = dict(provenance)
    return tomli_w.dumps(table)


def config_table(resolved: Resolved) -> dict[str, Any]:
    """The resolved config as plain tables."""
    config = resolved.config
    table = {name: getattr(config, name) for name in ("name", "precision", "seed")}
    table["network"] = config.network.model_dump() | {"activation": _kind(resolved.activation)}
    own_task = ("loss", "reduction", "standardise", "whiten", "scale")
    table["task"] = _section(resolved.task, config.task, own_task)
    table["init"] = _section(resolved.init, config.init)
    modifiers = [_kind(choice, always_table=True) for choice in resolved.modifiers]
    table["rule"] = _section(resolved.rule, None) | ({"modifiers": modifiers} if modifiers else {})
    table["feedback"] = _section(resolved.feedback, config.feedback)
    table["flow"] = resolved.flow.model_dump()
    if config.discrete is not None:
        table["discrete"] = config.discrete.model_dump()
    if config.simulate is not None:
        table["simulate"] = config.simulate.model_dump()
    table["observe"] = config.observe.model_dump()
    if not resolved.unread:
        table["observe"]["names"] = resolved.names
    if config.expect:
        table["expect"] = dict(config.bounds)
    ordered = {k: v for k, v in table.items() if k not in _OUTSIDE}
    ordered |= {k: table[k] for k in _OUTSIDE if k in table}
    return _toml(ordered)


def _section(choice: Choice, section: Any, own: tuple[str, ...] = ()) -> dict[str, Any]:
    found = _kind(choice, always_table=True)
    found |= {name: getattr(section, name) for name in own}
    if section is not None and section.seed is not None:
        found["seed"] = section.seed
    return found


def _kind(choice: Choice, always_table: bool = False) -> Any:
    if not choice.options and not always_table:
        return choice.kind
    return {"kind": choice.kind, **choice.options}


def _toml(value: Any) -> Any:
    """Without None, which TOML lacks, and without empty tables; tuples as lists."""
    if isinstance(value, Mapping):
        items = {key: _toml(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in items.items() if item != {}}
    return [_toml(item) for item in value] if isinstance(value, list | tuple) else value


def without_folders(text: str) -> str:
    """The TOML of a config with names in place of paths out of its folder, as a page for others
    has it; the same text if there are none."""
    table = tomllib.loads(text)
    named = _named(table)
    return text if named == table else tomli_w.dumps(named)


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item) for item in value]
    if isinstance(value, str) and (os.path.isabs(value) or ".." in value.split("/")):
        return os.path.basename(value)
    return value

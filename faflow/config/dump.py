"""A resolved config as TOML: every default written out, ready to be run again."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from .choice import Choice
from .network import ModelSection, WideSection
from .places import moved, placeless
from .resolve import Resolved


def config_text(
    resolved: Resolved,
    *,
    into: Path | None = None,
    paths: bool = True,
    expect: bool = True,
    split: bool = True,
    provenance: Mapping[str, Any] | None = None,
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
    table = config.model_dump(exclude={"sweep"})
    sections = ("init", "task", "rule", "feedback")
    if not isinstance(config.network, ModelSection):
        activation = _kind(resolved.activation)
        table["network"]["activation"] = activation if len(activation) > 1 else activation["kind"]
    else:
        sections = ("network", *sections)
    for name in sections:
        own = {key: table[name][key] for key in type(getattr(config, name)).model_fields}
        table[name] = _kind(getattr(resolved, name)) | {k: own[k] for k in own if k != "kind"}
    if isinstance(config.network, WideSection):
        for name in ("init", "feedback"):
            del table[name]["richness"]  # the network says it
    if not table["task"].get("test"):
        table["task"].pop("test", None)  # none is held out, as in every config of old
    table["rule"]["modifiers"] = [_kind(choice) for choice in resolved.modifiers] or None
    table["flow"] = resolved.flow.model_dump()
    if not resolved.unread:
        table["observe"]["names"] = resolved.names
    table["expect"] = dict(config.bounds)
    return _toml(table)


def _kind(choice: Choice) -> dict[str, Any]:
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

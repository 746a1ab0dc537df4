"""The config that is meant, checked and with every kind looked up."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import load
from .errors import ConfigError
from .imports import read_anew
from .resolve import Resolved, resolve_config, unread_config


def resolve_path(
    config: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, unread: bool = False
) -> Resolved:
    """A config (a file, a shipped one's name, or tables as `tomllib` gives them) resolved.

    ConfigError if it is bad. Code of the user's own that it names is run, unless `unread`: then it
    stands as it is.
    """
    if isinstance(config, Mapping):
        table, base, name = dict(config), Path(), "run"
    else:
        table, base, name = load.read(config)
    read_anew()
    if "sweep" in table:
        raise ConfigError("sweep", "makes this a sweep; run it with `faflow sweep`, or remove it")
    parsed = load.parse(load.apply_overrides(table, overrides), name)
    return (unread_config if unread else resolve_config)(parsed, base)

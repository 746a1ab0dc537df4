"""From TOML text and overrides to a checked `Config`; every error is one line with a remedy."""

import datetime
import json
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from .errors import ConfigError, nearest, shown
from .options import describe
from .schema import AbstractSection, Config

Table = dict[str, Any]


def read_table(path: Path) -> Table:
    """The tables of a TOML file. ConfigError if it is missing, unreadable or malformed."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(str(path), "does not exist; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(str(path), f"can't be read ({reason}); give a TOML file") from None
    try:
        return tomllib.loads(text)
    except ValueError as error:  # malformed, or a number of thousands of digits
        raise ConfigError(str(path), f"is not valid TOML: {error}; correct it") from None
    except RecursionError:
        raise ConfigError(str(path), "is nested too deeply; flatten it") from None


def apply_overrides(table: Table, overrides: Iterable[str]) -> Table:
    """A copy of `table` with every `a.b=value` set; a value that is no TOML is a bare string."""
    result = _copy(table)
    for override in overrides:
        keys, value = _parse_override(override)
        target = result
        for depth, key in enumerate(keys[:-1]):
            target = target.setdefault(key, {})
            if not isinstance(target, dict):
                where = ".".join(keys[: depth + 1])
                raise ConfigError(where, f"is {shown(target)}, not a table; --set {where}=… first")
        target[keys[-1]] = value
    return result


def parse(table: Mapping[str, Any], default_name: str = "run") -> Config:
    """A checked `Config` from tables as `tomllib` gives them; [provenance] is left out."""
    given = {"name": default_name, **table}
    given.pop("provenance", None)
    _check_leaves(given, "")
    try:
        config = Config.model_validate_json(json.dumps(given), strict=True)
    except pydantic.ValidationError as error:
        raise _first_error(error, given) from None
    _ = config.bounds
    return config


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, dict) else value


def _parse_override(text: str) -> tuple[list[str], Any]:
    key, equals, value = text.partition("=")
    if not equals or "\n" in text:
        raise ConfigError("--set", f"is '{text}'; write it as key=value")
    try:
        nested: Any = tomllib.loads(f"{key} = 0")
    except ValueError:
        raise ConfigError("--set", f"is '{text}'; its key must be dotted names") from None
    keys = []
    while isinstance(nested, dict):
        ((part, nested),) = nested.items()
        keys.append(part)
    try:
        return keys, tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return keys, value.strip()


def _check_leaves(value: Any, path: str) -> None:
    """Only what a config can mean: no NaN, infinity, dates."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_leaves(item, f"{path}.{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(path, f"is {value}; it must be a finite number")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ConfigError(path, f"is {shown(value)}; it must fit into 64 bits")
    elif isinstance(value, datetime.date | datetime.time | datetime.datetime):
        raise ConfigError(path, f"is the date or time {value}; put it in quotes if it is text")
    elif not isinstance(value, str | int | float | bool):
        raise ConfigError(path, f"is a {type(value).__name__}; give a number, text or a list")


def _first_error(error: pydantic.ValidationError, given: Table) -> ConfigError:
    """The most telling of pydantic's complaints: a misspelt key before the one it left missing."""
    problems = error.errors(include_url=False)
    unknown = [p for p in problems if p["type"] == "extra_forbidden"]
    problem = (unknown or problems)[0]
    loc, kind = problem["loc"], problem["type"]
    path = ".".join(map(str, loc)) or "config"
    if kind == "extra_forbidden":
        names = _keys_of(_model_at(loc[:-1]))
        return ConfigError(path, f"is not a key; {nearest(str(loc[-1]), names)}")
    annotation = _annotation_at(loc)
    if kind == "missing":
        return ConfigError(path, f"is missing; give {describe(annotation)}")
    value = shown(problem["input"])
    if kind == "literal_error":
        names = typing.get_args(_bare(annotation))
        return ConfigError(path, f"is {value}; {nearest(str(problem['input']), map(str, names))}")
    if kind.endswith(("_type", "_parsing", "int_from_float")):
        return ConfigError(path, f"is {value}; it must be {describe(annotation)}")
    if kind == "string_pattern_mismatch":
        return ConfigError(path, f"is {value}; use letters, digits, '.', '_' and '-' only")
    what = problem["msg"].removeprefix("Value error, ").replace("Input should", "it must")
    return ConfigError(path, f"is {value}; {what}")


def _keys_of(model: type[AbstractSection] | None) -> list[str]:
    return [] if model is None else list(model.model_fields)


def _model_at(loc: tuple[int | str, ...]) -> type[AbstractSection] | None:
    annotation = _annotation_at(loc) if loc else Config
    return annotation if _is_section(annotation) else None


def _annotation_at(loc: tuple[int | str, ...]) -> Any:
    here: Any = Config
    for part in loc:
        if isinstance(part, int):
            here = (typing.get_args(_bare(here)) or (Any,))[0]
        elif _is_section(_bare(here)) and part in _bare(here).model_fields:
            here = _bare(here).model_fields[part].annotation
    return _bare(here)


def _bare(annotation: Any) -> Any:
    """Without `Annotated` and `| None`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kept = [a for a in typing.get_args(annotation) if a is not type(None)]
        return _bare(kept[0]) if len(kept) == 1 else annotation
    return annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, AbstractSection)

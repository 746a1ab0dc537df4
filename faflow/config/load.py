"""From TOML text and overrides to a checked `Config`; every error is one line with a remedy."""

import datetime
import json
import math
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pydantic

from ..shipped import is_name, name_of, shipped_configs
from .errors import ConfigError, nearest, shown
from .network import SECTIONS
from .options import describe
from .places import moved
from .schema import NAME, Config, SweepSection
from .section import AbstractSection

Table = dict[str, Any]
DEPTH = 8  # tables and lists inside each other; no config needs more than six


def locate(given: str | os.PathLike[str]) -> Path:
    """The file that is meant: a path that exists (and is no folder), else a shipped config by name.

    ConfigError if it can only be a name, and is none.
    """
    name = os.path.expanduser(os.fspath(given))
    if not is_name(name) or (os.path.exists(name) and not os.path.isdir(name)):
        return Path(name)
    shipped = shipped_configs()
    if name in shipped:
        return shipped[name]
    if os.path.isdir(name):
        raise ConfigError(shown(name), "is a folder; give a TOML file, or a shipped config's name")
    guess = nearest(name, shipped).replace("remove it", "see `faflow list configs`")
    raise ConfigError(shown(name), f"is neither a file nor a shipped config; {guess}")


class Given(NamedTuple):
    """A config as its author gives it: its tables, the folder that its files lie relative to, and
    the name that it has unless it says another."""

    table: Table
    base: Path
    name: str


def read(given: str | os.PathLike[str]) -> Given:
    """The config that is meant. Of one that comes with faflow nobody has files beside it: asked for
    by name, it stands as if it lay in the shell's folder. ConfigError if it can't be read."""
    path = locate(given)
    table = read_table(path)
    if path not in shipped_configs().values():
        return Given(table, path.parent, path.stem)
    return Given(moved(table, path.parent, Path()), Path(), path.stem)


def read_table(path: Path) -> Table:
    """The tables of a TOML file. ConfigError if it is missing, unreadable or malformed."""
    try:
        text = path.read_text("utf-8-sig")  # with or without the mark that Windows editors write
    except FileNotFoundError:
        name = name_of(path.stem)
        guess = f", or use the shipped '{name}' by name" if name in shipped_configs() else ""
        raise ConfigError(str(path), f"does not exist; check the path{guess}") from None
    except (OSError, ValueError) as error:
        text_like = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "no file name"
        reason = getattr(error, "strerror", None) or text_like
        raise ConfigError(str(path), f"can't be read ({reason}); give a TOML file") from None
    try:
        return tomllib.loads(text)
    except ValueError as error:  # malformed, or a number of thousands of digits
        raise ConfigError(str(path), f"is not valid TOML: {error}; correct it") from None
    except RecursionError:
        raise ConfigError(str(path), "is nested too deeply; flatten it") from None


def apply_overrides(
    table: Table, overrides: Iterable[str] | Mapping[str, Any], option: str = "--set"
) -> Table:
    """A copy of `table` with every `a.b=value` set; a value that is no TOML is a bare string.
    Python's {"a.b": value} is taken as it is. `option`: of the command, that errors name."""
    result = copied(table)
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            if not isinstance(key, str):
                raise ConfigError(shown(key), "is no key; give text, as 'flow.t1'")
            assign(result, key.split("."), value, "set WHERE to a table first")
        return result
    for override in overrides:
        keys, value = _parse_override(override, option)
        assign(result, keys, value, f"{option} WHERE=… first")
    return result


def assign(table: Table, keys: Sequence[str], value: Any, remedy: str) -> None:
    """Set table[keys[0]][keys[1]]..., making the tables that are missing. ConfigError, with the
    remedy (its WHERE: which one), if something on the way is no table."""
    target = table
    for depth, key in enumerate(keys[:-1]):
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            where = ".".join(keys[: depth + 1])
            what = f"is {shown(target)}, not a table; " + remedy.replace("WHERE", where)
            raise ConfigError(where, what)
    target[keys[-1]] = value


def parse(table: Mapping[str, Any], default_name: str = "run") -> Config:
    """A checked `Config` from tables as `tomllib` gives them; [provenance] is left out.

    A config without a name has `default_name`, its file's.
    """
    if "name" not in table and not re.fullmatch(NAME, default_name):
        what = f"is missing, and the file name {shown(default_name)} can't stand for it"
        raise ConfigError("name", f"{what}; use letters, digits, '.', '_', '-' or set name")
    given = {"name": default_name, **table}
    given.pop("provenance", None)
    config = _validated(Config, given, ())
    _ = config.bounds
    return config


def parse_sweep(table: Mapping[str, Any]) -> SweepSection:
    """The [sweep] of a config's tables, checked by itself: members' values make the rest whole."""
    if "sweep" not in table:
        raise ConfigError("sweep", "is missing; add [sweep.product], or use `faflow run`")
    given = table["sweep"]
    if not isinstance(given, Mapping):
        raise ConfigError("sweep", f"is {shown(given)}; it must be a table")
    return _validated(SweepSection, dict(given), ("sweep",))


Section = TypeVar("Section", bound=AbstractSection)


def _validated(model: type[Section], given: Table, loc: tuple[str, ...]) -> Section:
    given = _as_toml(given, loc)
    try:
        return model.model_validate_json(json.dumps(given), strict=True)
    except pydantic.ValidationError as error:
        raise _first_error(error, loc) from None


def copied(value: Any, path: tuple[str, ...] = ()) -> Any:
    """Tables copied, what they hold shared. ConfigError if they are nested too deeply."""
    if not isinstance(value, dict):
        return value
    if len(path) > DEPTH:
        raise _too_deep(path)
    return {
        key: copied(item, (*path, str(key))) if isinstance(item, dict) else item
        for key, item in value.items()
    }


def _too_deep(path: Sequence[str]) -> ConfigError:
    return ConfigError(".".join(path[:DEPTH]), "is nested too deeply; flatten it")


def _parse_override(text: str, option: str) -> tuple[list[str], Any]:
    key, equals, value = text.partition("=")
    if not equals or "\n" in text:
        raise ConfigError(option, f"is '{text}'; write it as key=value")
    keys: list[str] = []
    try:
        nested: Any = tomllib.loads(f"{key} = 0")
        while isinstance(nested, dict) and len(keys) <= DEPTH:
            ((part, nested),) = nested.items()  # ValueError where there is no key (`#=1`)
            keys.append(part)
    except (ValueError, RecursionError):
        raise ConfigError(option, f"is {shown(text)}; its key must be dotted names") from None
    if len(keys) > DEPTH:
        raise _too_deep(keys)
    try:
        return keys, tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return keys, value.strip()
    except RecursionError:
        what = f"is {shown(text)}, whose value is nested too deeply; flatten it"
        raise ConfigError(option, what) from None


def _as_toml(value: Any, parts: tuple[str, ...] = ()) -> Any:
    """What TOML has for a value of Python: paths are text, numpy's and JAX's arrays lists. Only
    what a config can mean: no NaN, infinity, dates, NUL, and no endless nesting."""
    if len(parts) > DEPTH:
        raise _too_deep(parts)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {key: _as_toml(item, (*parts, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_toml(item, (*parts, str(i))) for i, item in enumerate(value)]
    wrong = _fault(value)
    if wrong:
        raise ConfigError(".".join(parts), wrong)
    return value


def _fault(value: Any) -> str | None:
    if isinstance(value, str):
        return f"is {shown(value)}; take out the NUL character" if "\0" in value else None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {value}; it must be a finite number"
    if isinstance(value, int):
        return f"is {shown(value)}; it must fit into 64 bits" if abs(value) >= 2**63 else None
    if isinstance(value, datetime.date | datetime.time | datetime.datetime):
        return f"is the date or time {value}; put it in quotes if it is text"
    return f"is a {type(value).__name__}; give a number, text or a list"


def _first_error(error: pydantic.ValidationError, under: tuple[str, ...]) -> ConfigError:
    """The most telling of pydantic's complaints: a misspelt key before the one it left missing."""
    problems = error.errors(include_url=False)
    unknown = [p for p in problems if p["type"] == "extra_forbidden"]
    problem = (unknown or problems)[0]
    loc, kind = (*under, *problem["loc"]), problem["type"]
    path = ".".join(str(part) for part in loc if part not in SECTIONS) or "config"
    told = problem.get("ctx", {}).get("error")
    if isinstance(told, ConfigError):
        return ConfigError(f"{path}.{told.key}" if loc else told.key, told.what)
    if kind == "extra_forbidden":
        table = _annotation_at(loc[:-1])
        names = table.model_fields if _is_section(table) else ()
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


def _annotation_at(loc: tuple[int | str, ...]) -> Any:
    here: Any = Config
    for part in loc:
        if part in SECTIONS:
            here = SECTIONS[str(part)]
        elif isinstance(part, int):
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

"""Options of a `kind`, validated against the signature of what the kind names.

A class's fields or a function's keyword arguments are the options, their annotations the types: a
new registry entry can be configured by being listed.
"""

import dataclasses
import functools
import inspect
import json
import os
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pydantic

from .errors import ConfigError, nearest, shown

MISSING = inspect.Parameter.empty

# What a class's fields say about itself (an activation's degree), rather than what a user chooses.
FACTS = frozenset({"degree", "kinked", "exact", "form", "label", "axes", "needs_weights"})
_SUPPLIED = frozenset({"key", "rule", "teacher"})  # by faflow; a modifier's rule is [rule]'s


class Option(NamedTuple):
    """One option: its type and its default (MISSING if it must be given)."""

    annotation: Any
    default: Any


class Described(NamedTuple):
    """A registry's entry without its code (`kinds/description.py`); `traits` as `kinds/kinds.py`
    has them, None where its options decide."""

    options: dict[str, Option]
    traits: Sequence[Any] | None


Entry = Callable[..., Any] | Described


def options_of(entry: Entry) -> dict[str, Option]:
    """The options of a registry entry by name."""
    if isinstance(entry, Described):
        return entry.options
    if isinstance(entry, type | types.FunctionType):  # others may have no hash
        return dict(_remembered(entry))
    return _read(entry)


@functools.lru_cache(maxsize=256)  # a sweep asks for the same ones for every member
def _remembered(entry: Callable[..., Any]) -> dict[str, Option]:
    return _read(entry)


def _read(entry: Callable[..., Any]) -> dict[str, Option]:
    of_class = isinstance(entry, type) and dataclasses.is_dataclass(entry)
    of_class = of_class and not _has_constructor(entry)
    found, rest = (_fields(entry), FACTS) if of_class else (_parameters(entry), frozenset())
    return {name: option for name, option in found.items() if name not in rest | _SUPPLIED}


def _has_constructor(entry: Any) -> bool:
    """Whether a class is made of other arguments than its fields, as models are."""
    given = set(_parameters(entry))
    return bool(given) and given != {f.name for f in dataclasses.fields(entry) if f.init}


def _fields(entry: Any) -> dict[str, Option]:
    hints = typing.get_type_hints(entry)
    return {
        field.name: Option(hints[field.name], _default(field))
        for field in dataclasses.fields(entry)
        if field.init
    }


def _default(field: dataclasses.Field) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return MISSING


def _parameters(entry: Callable[..., Any]) -> dict[str, Option]:
    try:
        signature = inspect.signature(entry, eval_str=True)
    except (NameError, TypeError, ValueError):
        return {}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: Option(Any if p.annotation is MISSING else p.annotation, p.default)
        for name, p in signature.parameters.items()
        if p.kind not in variadic
    }


def check_options(
    path: str,
    entry: Entry,
    given: Mapping[str, Any],
    own: Sequence[str] = (),
    told: Collection[str] = (),
) -> dict[str, Any]:
    """All options of `entry`, the given ones validated, the others at their defaults.

    `own`: keys of the section itself, offered when a name is misspelt. `told`: options that may be
    left out, since something else tells them. ConfigError for an unknown name, a wrong type, or an
    option that must be given.
    """
    try:
        known = options_of(entry)
    except (Exception, SystemExit) as error:  # a user's annotations that can't be evaluated
        what = f"has options that can't be read ({type(error).__name__}: {error})"
        raise ConfigError(path, what) from error
    for name in given:
        if name not in known:
            what = f"is not an option; {nearest(name, [*known, *own])}"
            raise ConfigError(f"{path}.{name}", what)
    chosen = {}
    for name, option in known.items():
        if name in given:
            chosen[name] = check_value(f"{path}.{name}", option.annotation, given[name])
        elif name in told:
            continue
        elif option.default is MISSING:
            what = f"is missing; give {describe(option.annotation)}"
            raise ConfigError(f"{path}.{name}", what)
        elif is_toml(option.default):
            chosen[name] = option.default  # any other default is the constructor's own affair
    return chosen


def is_toml(value: Any) -> bool:
    """Whether a default can be written out."""
    if isinstance(value, list | tuple):
        return all(map(is_toml, value))
    return isinstance(value, str | int | float | bool)


def check_value(path: str, annotation: Any, value: Any) -> Any:
    """`value` as `annotation` wants it (whole numbers are floats, lists are tuples)."""
    try:
        # JSON's strict rules are TOML's: lists stand for tuples, and a bool is no number.
        return _adapter(plain_type(annotation)).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError:
        what = f"is {shown(value)}; it must be {describe(annotation)}"
        if typing.get_origin(annotation) is typing.Literal and isinstance(value, str):
            what = f"is {shown(value)}; {nearest(value, typing.get_args(annotation))}"
        raise ConfigError(path, what) from None


@functools.cache
def _adapter(annotation: Any) -> pydantic.TypeAdapter:
    try:
        return pydantic.TypeAdapter(annotation)
    except pydantic.errors.PydanticUserError:
        return pydantic.TypeAdapter(Any)


def plain_type(annotation: Any) -> Any:
    """The type of the number that stands for an array in TOML; other annotations unchanged."""
    jaxtyping = sys.modules.get("jaxtyping")  # nothing is an array's type unless it is there
    if (
        jaxtyping
        and isinstance(annotation, type)
        and issubclass(annotation, jaxtyping.AbstractArray)
    ):
        return float if annotation.dim_str == "" else tuple[float, ...]
    if annotation == str | os.PathLike[str]:
        return str
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        # A function is the library's alternative to a name: TOML has no sign for it.
        said = [a for a in typing.get_args(annotation) if typing.get_origin(a) is not Callable]
        return typing.Union[tuple(map(plain_type, said))]  # noqa: UP007
    return annotation


_WORDS = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    type(None): "left out",
    Any: "a value",
}


def describe(annotation: Any) -> str:
    """A type in words: `a number or a list of numbers`."""
    annotation = plain_type(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return describe(arguments[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        words = [
            describe(a) for a in arguments if a is not type(None) and not _shadowed(a, arguments)
        ]
        return " or ".join(dict.fromkeys(words))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table"
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list of {_several(arguments[0])}"
    return _WORDS.get(annotation, "a table" if isinstance(annotation, type) else "a value")


def _several(annotation: Any) -> str:
    """A type in words, of several: `whole numbers or inputs, outputs`."""
    annotation = plain_type(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _several(arguments[0])
    if origin in (typing.Union, types.UnionType):
        kept = [a for a in arguments if a is not type(None) and not _shadowed(a, arguments)]
        return " or ".join(map(_several, kept))
    word, *rest = describe(annotation).removeprefix("a ").split(" of ", 1)
    if origin is typing.Literal or annotation is bool:
        return rest[0] if rest else word
    return " of ".join([f"{word}s", *rest])


def _shadowed(annotation: Any, among: tuple[Any, ...]) -> bool:
    """`float | int` is just a number."""
    return annotation is int and float in among

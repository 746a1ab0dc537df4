"""What differs between results' configs, and short names made of it."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..config.errors import ConfigError
from ..config.load import parse
from ..config.resolve import unread_config
from .subject import Subject

MOST = 3  # differences that a name is made of
LONGEST = 40  # letters of a name
ABSENT, OBSERVED = "-", "observe.names"
_NAMELESS = ("name", "provenance", "expect", "sweep")  # what says nothing of the flow


def differences(subjects: Sequence[Subject]) -> dict[str, list[str]]:
    """By dotted key what every result's config has, of those that differ; "-" where it is absent.

    Keys of a section that only some configs have follow from what is chosen there: of these only
    the `kind` is listed, where that differs, and `observe.names` is left out where every result has
    those that its config is completed by. A sweep's config is as it was written, so that what it
    does not say is not compared.
    """
    flat = [dict(_entries(tomllib.loads(subject.config))) for subject in subjects]
    keys = dict.fromkeys(key for one in flat for key in one)
    found = {
        key: [one.get(key, ABSENT) for one in flat] for key in keys
        if all(key in one for one, subject in zip(flat, subjects, strict=True) if _partial(subject))
    }  # fmt: skip
    found = {key: values for key, values in found.items() if len(set(values)) > 1}
    if OBSERVED in found and all(map(_observed_by_default, subjects)):
        del found[OBSERVED]
    chosen = {key.removesuffix("kind") for key in found if key.endswith(".kind")}
    return {
        key: values for key, values in found.items()
        if ABSENT not in values or not any(key.startswith(section) for section in chosen)
    }  # fmt: skip


def short_names(subjects: Sequence[Subject]) -> list[str]:
    """A name for every result: values of the config's keys that differ, if these are few, short
    and tell the results apart; else the results' own names."""
    told = differences(subjects)
    names = [
        ", ".join(_said(key, told[key][i]) for key in sorted(told, key=_rank))
        for i in range(len(subjects))
    ]
    short = 0 < len(told) <= MOST and max(map(len, names)) <= LONGEST
    return names if short and len(set(names)) == len(names) else [one.name for one in subjects]


def renamed(subjects: Sequence[Subject]) -> list[Subject]:
    """The results under their short names."""
    found = []
    for subject, name in zip(subjects, short_names(subjects), strict=True):
        cases = tuple(name + case.removeprefix(subject.name) if case.startswith(subject.name)
                      else f"{name}: {case}" for case in subject.cases)  # fmt: skip
        found.append(subject._replace(name=name, cases=cases))
    return found


def _rank(key: str) -> int:
    """Kinds come first, seeds last."""
    return 0 if key.endswith(".kind") else 2 if key.endswith("seed") else 1


def _observed_by_default(subject: Subject) -> bool:
    """Whether a config without `observe.names` would be completed by what it has."""
    table = tomllib.loads(subject.config)
    given = table.get("observe", {}).pop("names", None)
    try:
        return given == list(unread_config(parse(table), subject.folder).names)
    except (ConfigError, TypeError, AttributeError):
        return False


def _partial(subject: Subject) -> bool:
    return subject.members is not None


def _said(key: str, value: str) -> str:
    """`feedback-alignment` for a kind, `seed 3` for a number."""
    short = key.removesuffix(".kind").rsplit(".", 1)[-1]
    return value if key.endswith(".kind") and value != ABSENT else f"{short} {value}"


def _entries(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if not path and key in _NAMELESS:
            continue
        if isinstance(value, Mapping):
            yield from _entries(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "-".join(map(_text, value)) if value else "[]"
    return f"{value:g}" if isinstance(value, float) else str(value)

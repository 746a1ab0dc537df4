"""What may stand after --set, for a shell that completes it: keys, and values that are names."""

import contextlib
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from ..config.errors import ConfigError
from ..config.kinds.catalogue import names
from ..config.kinds.description import kinds_described
from ..config.load import Table, locate, read_table
from ..config.network import LAYERED, SECTIONS, WIDE, ActivationSection, NetworkSection, section_tag
from ..config.options import Option, options_of
from ..config.schema import Config
from ..config.section import AbstractKindSection, AbstractSection

_LISTS = {"network.activation": "activations", "task.loss": "losses", "flow.solver": "solvers"}


def complete_override(prefix: str, config: str | None) -> list[str]:
    """All `key=`, or all `key=value` where `prefix` has the key. The options of the config's kinds
    are among the keys, if there is such a config."""
    table: Table = {}
    with contextlib.suppress(ConfigError):
        table = read_table(locate(config)) if config else {}
    key, equals, _ = prefix.partition("=")
    if not equals:
        return [f"{name}=" for name in _keys(table)]
    return [f"{key}={value}" for value in _values(key, table)]


def _keys(table: Table) -> Iterator[str]:
    for name, field in Config.model_fields.items():
        section = _section(field.annotation)
        if name == "network":
            section = _network(table)
        if section is None:
            yield name
            continue
        for key, inner in section.model_fields.items():
            nested = _section(inner.annotation)
            below = [] if nested is None else [f"{key}.{k}" for k in nested.model_fields]
            yield from (f"{name}.{one}" for one in below or [key])
        if issubclass(section, AbstractKindSection):
            yield from (f"{name}.{option}" for option in _options(section, table.get(name)))


def _network(table: Table) -> type[AbstractSection]:
    network = table.get("network")
    kind = network.get("kind", LAYERED[0]) if isinstance(network, Mapping) else LAYERED[0]
    return SECTIONS[section_tag(kind)]


def _options(section: type[AbstractKindSection], given: Any) -> dict[str, Option]:
    """The options of the kind that a section has or stands for."""
    default = section.model_fields["kind"].get_default()
    kind = given.get("kind", default) if isinstance(given, Mapping) else default
    entry = kinds_described(section.registry).get(kind) if isinstance(kind, str) else None
    return {} if entry is None else options_of(entry)


def _values(key: str, table: Table) -> list[str]:
    """The names that a key may have; none where it is a number or a text."""
    if key in _LISTS:
        return names(_LISTS[key])
    if key == "network.kind":
        return [*LAYERED, WIDE, *names("networks")]
    if key == "observe.names":
        return [f'["{name}"]' for name in names("observables")]
    *path, last = key.split(".")
    annotation: Any = Config
    for part in [*path, last]:
        section = _section(annotation)
        if section is NetworkSection:
            section = _network(table)
        if section is not None and part == "kind" and issubclass(section, AbstractKindSection):
            return names(section.registry)
        field = None if section is None else section.model_fields.get(part)
        annotation = _option(section, part, path, table) if field is None else field.annotation
    return _choices(annotation)


def _option(section: Any, name: str, path: list[str], table: Table) -> Any:
    """The annotation of an option of the config's kind."""
    if section is None or not issubclass(section, AbstractKindSection) or not path:
        return None
    found = _options(section, table.get(path[0]))
    return found[name].annotation if name in found else None


def _choices(annotation: Any) -> list[str]:
    if annotation is bool:
        return ["true", "false"]
    if typing.get_origin(annotation) is typing.Literal:
        return [str(value) for value in typing.get_args(annotation)]
    return [choice for one in typing.get_args(annotation) for choice in _choices(one)]


def _section(annotation: Any) -> type[AbstractSection] | None:
    """The table that an annotation is, or may be."""
    for one in _alternatives(annotation):
        if isinstance(one, type) and issubclass(one, AbstractSection) and one != ActivationSection:
            return one
    return None


def _alternatives(annotation: Any) -> Iterator[Any]:
    """An annotation, and those that it is made of."""
    yield annotation
    for one in typing.get_args(annotation):
        yield from _alternatives(one)

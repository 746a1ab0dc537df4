"""The catalogue of all kinds, made of their code: `python -m faflow.tools.cataloguing` writes
it anew, which a change of a registry, an option or a sentence that `faflow list` shows asks for."""

import json
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal

from ..config.choice import Choice
from ..config.kinds.catalogue import CONFIGS, FILE
from ..config.kinds.coded import Coded
from ..config.kinds.registries import REGISTRIES
from ..config.options import MISSING, is_toml, options_of, plain_type
from ..measures.registry import MEASURES
from ..solvers import TABLEAUX
from ..store.files import replace_text
from .listing import TOPICS, listing


def made() -> dict[str, Any]:
    """The catalogue, as `catalogue.catalogue` reads it."""
    kinds = {
        registry: {name: _entry(registry, name, entry) for name, entry in entries.items()}
        for registry, entries in REGISTRIES.items()
        if registry != "laws"
    }
    rows = {topic: listing(topic) for topic in TOPICS if topic != CONFIGS}
    return {
        "listed": rows, "kinds": kinds, "methods": list(TABLEAUX), "measures": list(MEASURES)
    }  # fmt: skip


def text() -> str:
    """The file's content."""
    return json.dumps(made(), indent=1, ensure_ascii=False) + "\n"


def _entry(registry: str, name: str, entry: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"options": {}}
    options = {} if registry == "solvers" else options_of(entry)
    for option, (annotation, default) in options.items():
        found["options"][option] = {"type": spelt(plain_type(annotation))}
        if default is not MISSING:
            # What TOML lacks is the constructor's own affair.
            found["options"][option]["default"] = default if is_toml(default) else None
    traits = _traits(registry, name, entry, bool(options))
    return found if traits is None else {**found, "traits": list(traits)}


def _traits(registry: str, name: str, entry: Any, has_options: bool) -> Sequence[Any] | None:
    kinds = Coded()
    if registry in ("rules", "modifiers"):
        return kinds.rule(entry)
    if registry == "activations" and not has_options:
        return kinds.phi(Choice("network.activation", name, entry, {}))
    if registry == "solvers":
        return kinds.solver(name, entry)
    return None


def spelt(annotation: Any) -> Any:
    """A type in JSON: its name, or a list that begins with what joins the others. A class that TOML
    has no sign for is "object"."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ["Literal", *arguments]
    if origin in (typing.Union, types.UnionType):
        return ["Union", *map(spelt, arguments)]
    if origin is not None:
        return ["tuple" if origin is tuple else "Sequence", spelt(arguments[0])]
    if annotation is type(None):
        return "None"
    known = annotation in (float, int, bool, str, Any)
    return getattr(annotation, "__name__", "Any") if known else "object"


if __name__ == "__main__":
    replace_text(FILE, text())

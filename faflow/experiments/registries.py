"""Every registry under one roof, and how a `kind` is resolved."""

import importlib
import importlib.util
import inspect
import os
import sys
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import diffrax

from ..feedback import FEEDBACKS as DRAWN_FEEDBACKS
from ..feedback import AbstractFeedbackDraw, Form
from ..networks import ACTIVATIONS, AbstractActivation, AbstractInitialisation
from ..networks import INITIALISATIONS as DRAWN_INITIALISATIONS
from ..observables import LAWS
from ..population import POPULATION_RULES
from ..rules import MODIFIERS, RULES, AbstractLearningRule, AbstractModifiedRule
from ..solvers import SOLVERS
from ..tasks import LOSSES, TASKS, AbstractLoss
from .errors import ConfigError, nearest, shown, told
from .given import FeedbackFromFile, WeightsFromFile

INITIALISATIONS = {**DRAWN_INITIALISATIONS, "arrays": WeightsFromFile}
FEEDBACKS = {**DRAWN_FEEDBACKS, "arrays": FeedbackFromFile}

REGISTRIES: dict[str, Mapping[str, Any]] = {
    "rules": {**RULES, **POPULATION_RULES},
    "modifiers": MODIFIERS,
    "tasks": TASKS,
    "inits": INITIALISATIONS,
    "feedbacks": FEEDBACKS,
    "activations": ACTIVATIONS,
    "solvers": SOLVERS,
    "losses": LOSSES,
    "laws": dict.fromkeys(LAWS),
}

# What a class from outside must be a subclass of; tasks are plain functions.
BASES: dict[str, type | None] = {
    "rules": AbstractLearningRule,
    "modifiers": AbstractModifiedRule,
    "tasks": None,
    "inits": AbstractInitialisation,
    "feedbacks": AbstractFeedbackDraw,
    "activations": AbstractActivation,
    "solvers": diffrax.AbstractSolver,
    "losses": AbstractLoss,
}


def resolve(path: str, registry: str, kind: str) -> Any:
    """The entry that `kind` names: a registry key, `module:Name` or `path/to/file.py:Name`."""
    entries = REGISTRIES[registry]
    if kind in entries:
        return entries[kind]
    if ":" not in kind:
        what = f"is '{kind}'; {nearest(kind, entries)} (or module:Name for your own)"
        raise ConfigError(path, what)
    entry = load_object(path, kind)
    _check_base(path, kind, entry, BASES[registry])
    return entry


def load_object(path: str, kind: str) -> Any:
    """The object `module:Name` or `file.py:Name`, importable from the current directory."""
    source, _, name = kind.rpartition(":")
    try:
        module = _import(source)
    except (Exception, SystemExit) as error:  # whatever the user's module raises is theirs to read
        reason = told(error)
        raise ConfigError(
            path, f"is '{kind}', but {source} can't be imported ({reason})"
        ) from error
    if not hasattr(module, name):
        public = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        raise ConfigError(path, f"is '{kind}', but {source} has no {name}; {nearest(name, public)}")
    return getattr(module, name)


def is_foreign(entry: Any) -> bool:
    """Whether an entry comes from outside faflow (so that it may raise anything)."""
    return str(getattr(entry, "__module__", "")).split(".")[0] != "faflow"


def source_file(entry: Any) -> Path | None:
    """The file of an entry that is not faflow's own, whose content belongs to a result's hash."""
    module = inspect.getmodule(entry)
    if module is None or not is_foreign(entry):
        return None
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file)


def _check_base(path: str, kind: str, entry: Any, base: type | None) -> None:
    if base is None:
        if not callable(entry):
            raise ConfigError(path, f"is '{kind}', which can't be called; name a function")
        return
    if not (inspect.isclass(entry) and issubclass(entry, base)):
        raise ConfigError(path, f"is '{kind}', which is no subclass of {base.__name__}")
    missing = sorted(getattr(entry, "__abstractmethods__", ()))
    variables = (
        *getattr(entry, "__abstractvars__", ()),
        *getattr(entry, "__abstractclassvars__", ()),
    )
    missing += sorted(variables)
    if missing:
        raise ConfigError(path, f"is '{kind}', which lacks {', '.join(missing)}; define them there")
    form, forms = getattr(entry, "form", None), typing.get_args(Form)
    if base is AbstractLearningRule and form not in forms:
        raise ConfigError(
            path, f"is '{kind}', whose form is {shown(form)}; {nearest(str(form), forms)}"
        )


def _import(source: str) -> ModuleType:
    if source.endswith(".py"):
        return _import_file(Path(source))
    with _current_directory_first():
        importlib.invalidate_caches()
        return importlib.import_module(source)


def _import_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    name = "faflow_user_" + "".join(c if c.isalnum() else "_" for c in str(file.resolve()))
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _current_directory_first():
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _current_directory_first() -> Iterator[None]:
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)

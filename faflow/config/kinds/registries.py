"""Every registry under one roof, and how a `kind` is resolved."""

import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx

from ...feedback import FEEDBACKS as DRAWN_FEEDBACKS
from ...feedback import AbstractFeedbackDraw, Form
from ...networks import ACTIVATIONS, AbstractActivation, AbstractInitialisation
from ...networks import INITIALISATIONS as DRAWN_INITIALISATIONS
from ...networks.models import MODELS
from ...observables import LAWS, AbstractObservable
from ...population import POPULATION_RULES
from ...rules import MODIFIERS, RULES, AbstractLearningRule, AbstractModifiedRule
from ...solvers import SOLVERS
from ...tasks import LOSSES, TASKS, AbstractLoss
from ..arrays import FeedbackFromFile, WeightsFromFile
from ..errors import ConfigError, nearest, shown
from ..imports import load_object
from ..network import LAYERED, WIDE
from ..schema import CONSTRUCTOR
from .model import FromConstructor

INITIALISATIONS = {
    **DRAWN_INITIALISATIONS, "arrays": WeightsFromFile, CONSTRUCTOR: FromConstructor,
}  # fmt: skip
FEEDBACKS = {**DRAWN_FEEDBACKS, "arrays": FeedbackFromFile}

REGISTRIES: dict[str, Mapping[str, Any]] = {
    "rules": {**RULES, **POPULATION_RULES},
    "networks": MODELS,
    "modifiers": MODIFIERS,
    "tasks": TASKS,
    "inits": INITIALISATIONS,
    "feedbacks": FEEDBACKS,
    "activations": ACTIVATIONS,
    "solvers": SOLVERS,
    "losses": LOSSES,
    "laws": dict.fromkeys(LAWS),
}

# What a class from outside must be a subclass of; tasks are plain functions, and observables may be
# (weights, feedback, data) -> array.
BASES: dict[str, type | None] = {
    "rules": AbstractLearningRule,
    "networks": eqx.Module,
    "modifiers": AbstractModifiedRule,
    "tasks": None,
    "inits": AbstractInitialisation,
    "feedbacks": AbstractFeedbackDraw,
    "activations": AbstractActivation,
    "solvers": diffrax.AbstractSolver,
    "losses": AbstractLoss,
    "observables": AbstractObservable,
}


def resolve(path: str, registry: str, kind: str, base: Path) -> Any:
    """The entry that `kind` names: a registry key, or code of the user's own (`imports.py`), which
    is run; it lies in `base`, the config's folder, unless the kind names another."""
    entries = REGISTRIES.get(registry, {})  # observables are made in `measures/`
    if kind in entries:
        return entries[kind]
    if ":" not in kind and not kind.endswith(".py"):
        names = [*LAYERED, WIDE, *entries] if registry == "networks" else entries
        what = f"is '{kind}'; {nearest(kind, names)} (or module:Name for your own)"
        raise ConfigError(path, what)
    entry = load_object(path, kind, base)
    _check_base(path, kind, entry, BASES[registry])
    return entry


def _check_base(path: str, kind: str, entry: Any, base: type | None) -> None:
    if base is None or (base is AbstractObservable and not inspect.isclass(entry)):
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

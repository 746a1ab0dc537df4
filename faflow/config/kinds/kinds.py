"""Who tells what the kinds are that a config names: their code, or the catalogue of it."""

import abc
from pathlib import Path
from typing import Any, NamedTuple

from ..choice import Choice

FITTED, WIDE_KERNELS = "fitted-exponent", "wide-kernels"  # names of observables


class RuleTraits(NamedTuple):
    """What a config's other sections have to know of its rule."""

    form: str  # of its feedback; "" for modifiers, which have their rule's
    population: bool
    layerwise: bool


class PhiTraits(NamedTuple):
    """The same of its activation."""

    kinked: bool
    relu: bool


class SolverTraits(NamedTuple):
    """The same of its solver."""

    fixed: bool  # it knows no error, and so needs `flow.step`
    multistep: bool  # it can't do without an error of its own


class UntoldError(Exception):
    """It takes the code to tell."""


class AbstractKinds(abc.ABC):
    """The kinds of configs: entries with options (`options_of`), and what else is to be known of
    them. ConfigError for a kind or options that are wrong; UntoldError from the catalogue alone."""

    @abc.abstractmethod
    def entry(self, path: str, registry: str, kind: str, base: Path) -> Any:
        """What `kind`, the value of the key `path`, names; code of the user's lies in `base`."""

    @abc.abstractmethod
    def rule(self, entry: Any) -> RuleTraits:
        """Of a rule, or of the outermost modifier."""

    @abc.abstractmethod
    def phi(self, choice: Choice) -> PhiTraits:
        """Of an activation with its options, which are checked."""

    @abc.abstractmethod
    def is_kinked_model(self, choice: Choice, section: Any, data: Any, key: Any) -> bool:
        """Of a model with its options and its section, on its data."""

    @abc.abstractmethod
    def solver(self, kind: str, entry: Any) -> SolverTraits:
        """Of a solver."""

"""[observe] names: what is recorded, faflow's by name and the user's own."""

from collections.abc import Callable, Sequence

from ..choice import Choice, Prepared
from ..errors import ConfigError, nearest
from ..network import ModelSection, WideSection
from ..options import check_options
from ..schema import Config
from .catalogue import names as kind_names
from .kinds import FITTED, WIDE_KERNELS, RuleTraits

# Of records that are no observable's.
RECORDS = frozenset({"time", "times", "steps", "rejected", "field_evaluations", "weights"})


def record_of(name: str) -> str:
    """What the record of an observable is called: `Sharpness` of `mine.py:Sharpness`."""
    return name.rpartition(":")[2]


def observed_names(config: Config, rule: RuleTraits) -> tuple[str, ...]:
    """[observe] names, or what is observed without them. ConfigError for one that is misspelt."""
    names, known = config.observe.names, kind_names("observables")
    if names is None:
        names = _default_names(config, rule)
    for index, name in enumerate(names):
        if name not in known and ":" not in name:
            what = f"is '{name}'; {nearest(name, known)} (or module:Name for your own)"
            raise ConfigError(f"observe.names.{index}", what)
    for key in ("laws", "controls"):
        if getattr(config.observe, key) and "laws" not in names:
            what = "asks for laws, but observe.names lacks 'laws'; add it"
            raise ConfigError(f"observe.{key}", what)
    return tuple(dict.fromkeys(names))


def own_observables(
    names: Sequence[str], named: Callable[[str, str, str], Choice]
) -> tuple[Choice, ...]:
    """Those that are the user's own, looked up by `named` (key, registry, kind). ConfigError where
    two records would be called alike, or one can't be called anything."""
    found: dict[str, Choice] = {}
    taken = RECORDS.union(kind_names("observables"))
    for index, name in enumerate(names):
        if ":" not in name:
            continue
        key, record = f"observe.names.{index}", record_of(name)
        choice = named(key, "observables", name)
        if not record.isidentifier():
            what = f"is '{name}', which has no name for its record; define it by `def name(…)`"
            raise ConfigError(key, what)
        if record in taken or record in found:
            what = f"is '{name}', whose record would be called '{record}' as another is; rename it"
            raise ConfigError(key, what)
        if isinstance(choice.entry, type):
            options = check_options(key, choice.entry, {})
            choice = Choice(key, choice.kind, choice.entry, options)
        elif not isinstance(choice.entry, Prepared) and choice.entry is not None:
            choice = Choice(key, choice.kind, Prepared(choice.entry), {})
        found[record] = choice
    return tuple(found.values())


def _default_names(config: Config, rule: RuleTraits) -> tuple[str, ...]:
    """What is observed where a config doesn't say: what there is of this rule, network and loss,
    and compiles to little."""
    network, fitted = config.network, (FITTED,) if config.task.loss == "squared" else ()
    if isinstance(network, WideSection):
        return ("loss", "residual", WIDE_KERNELS, *fitted)
    hidden = len(network.widths) > 2 or isinstance(network, ModelSection)
    names = ("loss", "residual", "norms")
    if hidden:
        names = (*names, "laws")
    if hidden and rule.form != "none":
        names = (*names, "alignment")
    if rule.population:
        return (*names, "population-loss")  # it does not fit these samples
    if config.task.loss == "cross-entropy":
        names = (*names, "accuracy")
    if config.task.test:
        names = (*names, "accuracy", "test-loss", "test-accuracy")
    return (*names, *fitted)

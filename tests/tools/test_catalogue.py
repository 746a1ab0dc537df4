"""What is told of kinds without their code is what their code tells."""

from typing import Any

import pytest

from faflow.config import load
from faflow.config.dump import config_text
from faflow.config.errors import ConfigError
from faflow.config.kinds.catalogue import FILE
from faflow.config.kinds.coded import Coded
from faflow.config.kinds.description import Catalogued, kinds_described
from faflow.config.kinds.kinds import AbstractKinds, UntoldError
from faflow.config.kinds.registries import REGISTRIES
from faflow.config.network import ModelSection
from faflow.config.options import describe, options_of
from faflow.config.resolve import resolve_config, resolve_path
from faflow.shipped import shipped_configs
from faflow.tools.cataloguing import spelt, text


def test_the_catalogue_is_that_of_the_code() -> None:
    assert FILE.read_text("utf-8") == text(), "run python -m faflow.tools.cataloguing"


@pytest.mark.parametrize(
    "registry", [name for name in REGISTRIES if name not in ("laws", "solvers")]
)
def test_types_are_read_as_they_are_written(registry: str) -> None:
    for name, entry in REGISTRIES[registry].items():
        told, there = kinds_described(registry)[name].options, options_of(entry)
        assert {n: describe(o.annotation) for n, o in told.items()} == {
            n: describe(o.annotation) for n, o in there.items()
        }


def told(config: str, kinds: AbstractKinds, *overrides: str) -> str:
    """The text of a resolved config, or what is wrong with it."""
    given = load.read(config)
    table = {key: value for key, value in given.table.items() if key != "sweep"}
    parsed = load.parse(load.apply_overrides(table, overrides), given.name)
    try:
        return config_text(resolve_config(parsed, given.base, kinds))
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize("config", shipped_configs())
def test_shipped_configs_are_shown_as_they_are_run(config: str) -> None:
    network = load.parse(load.read(config).table, config).network
    if isinstance(network, ModelSection):  # whether it has kinks is told by its program alone
        with pytest.raises(UntoldError):
            told(config, Catalogued())
    else:
        assert told(config, Catalogued()) == told(config, Coded())


@pytest.mark.parametrize(
    "override",
    [
        "flow.solver=euler", "flow.solver=bdf", "flow.step=0.01", "init.scale=true",
        "feedback.scale=[1, 2]", "rule.rate=1", "observe.names=['los']", "flow.kinks=smooth",
        "network.activation=relu", "flow.kinks=exact", "rule.kind=hebbian",
        "rule.kind=population-gradient", "task.loss=cross-entropy", "feedback.kind=mean-field",
        "rule.modifiers=[{kind='weight-decay', rates=-1}]", "rule.modifiers=[{}]",
        "rule.kind=potential-feedback", "discrete.method=rk5", "task.target=linear",
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_alike(override: str) -> None:
    """Whatever a key may be set to: the same defaults, or the same complaint."""
    extra = ["discrete.eta=0.1"] if override.startswith("discrete") else []
    found: list[Any] = []
    for kinds in (Catalogued(), Coded()):
        try:
            found.append(told("theorem1-linear", kinds, override, *extra))
        except ConfigError as error:
            found.append(str(error))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "override",
    [
        "rule.kind=hebian",
        "task.loss=cross",
        "network.activation={kind='leaky-relu', slope=0.5}",
        "init.kind=a.py:B",
    ],
)
def test_what_the_catalogue_can_t_tell_the_code_does(override: str) -> None:
    with pytest.raises(UntoldError):
        told("theorem1-linear", Catalogued(), override)
    shown: list[str] = []
    for unread in (True, False):
        try:
            resolved = resolve_path("theorem1-linear", [override], unread=unread)
            shown.append(config_text(resolved))
        except ConfigError as error:
            shown.append(str(error))
    assert shown[0] == shown[1] or "a.py" in override


def test_types_without_a_sign_are_objects() -> None:
    class Own:
        """A class that TOML has no sign for."""

    assert spelt(Own) == "object" and spelt(tuple[float, ...]) == ["tuple", "float"]

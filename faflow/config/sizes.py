"""Inputs and outputs, said once: what the network's widths say, the task need not, nor the other
way round."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import ConfigError
from .options import MISSING, options_of
from .schema import INPUTS, OUTPUTS, Config, Width

Widths = tuple[int, ...]
Options = dict[str, Any]


class Size(NamedTuple):
    """Where a task's options say a size: the sum of `options`, or entry `place` of a list."""

    options: tuple[str, ...]
    place: int | None = None

    def key(self, options: Mapping[str, Any]) -> str:
        """Where that is, for an error."""
        listed = options[self.options[0]] if self.place is not None else None
        if self.place is None or not isinstance(listed, list | tuple) or not listed:
            return " + ".join(f"task.{name}" for name in self.options)
        return f"task.{self.options[0]}.{self.place % len(listed)}"


class Sizes(NamedTuple):
    """Of a task, or None where its data alone tell."""

    inputs: Size | None
    outputs: Size | None


SIZES: dict[str, Sizes] = {
    "gaussian": Sizes(Size(("features",)), Size(("outputs",))),
    "teacher": Sizes(Size(("widths",), 0), Size(("widths",), -1)),
    "matrix-factorisation": Sizes(Size(("columns",)), Size(("rows",))),
    "separating-factorisation": Sizes(Size(("rank", "tail")), Size(("rank", "tail"))),
    "near-identity-factorisation": Sizes(Size(("size",)), Size(("size",))),
}


def settle_sizes(config: Config, entry: Any, drawn: Callable[[], tuple[Width, Width]]) -> Config:
    """The config with whole numbers for widths and with the task's sizes filled in.

    `entry`: the task's. `drawn`: inputs and outputs of its data, asked only where nothing else says
    what the widths leave open; 'inputs' and 'outputs' themselves if nobody may look. ConfigError
    where both say a size and disagree, or neither says it.
    """
    kind, widths = config.task.kind, list(config.network.widths)
    sizes = SIZES.get(kind) or _required(entry)
    options = _shared_widths(kind, config.task.options, widths)
    ends = ((0, sizes.inputs, INPUTS), (len(widths) - 1, sizes.outputs, OUTPUTS))
    # Numbers first: the task may say both ends by one option.
    for place, size, name in sorted(ends, key=lambda end: isinstance(widths[end[0]], str)):
        width, key = widths[place], f"network.widths.{place}"
        if size is not None and isinstance(width, int):
            options = _told(width, size, options, name)
            if kind in SIZES:
                _check(key, width, size, options, name)
        elif size is not None and kind in SIZES:
            widths[place] = _taken(key, size, {**_defaults(entry), **options}, name)
    if any(isinstance(width, str) for width in widths):
        found = drawn()
        for place, width in zip((0, -1), found, strict=True):
            widths[place] = width if isinstance(widths[place], str) else widths[place]
    network = config.network.model_copy(update={"widths": tuple(widths)})
    task = config.task.model_copy(update=options)
    return config.model_copy(update={"network": network, "task": task})


def _required(entry: Any) -> Sizes:
    """Of a task of the user's: options by these names that must be given."""
    try:
        required = {n for n, option in options_of(entry).items() if option.default is MISSING}
    except Exception:  # annotations that can't be evaluated: said where options are checked
        return Sizes(None, None)
    inputs = next((name for name in ("features", INPUTS) if name in required), None)
    outputs = OUTPUTS if OUTPUTS in required else None
    return Sizes(*(None if name is None else Size((name,)) for name in (inputs, outputs)))


def _defaults(entry: Any) -> Options:
    return {n: option.default for n, option in options_of(entry).items()}


def _shared_widths(kind: str, given: Mapping[str, Any], widths: Sequence[int | str]) -> Options:
    """A teacher without widths has the student's."""
    if kind == "teacher" and "widths" not in given:
        return {**given, "widths": list(widths)}
    return dict(given)


def _check(key: str, width: int, size: Size, options: Options, name: str) -> None:
    said = _said(size, options)
    if said is not None and said != width:
        where = size.key(options)
        what = f"is {width}, but {where} says {said} {name}; make them equal, or say it once"
        raise ConfigError(key, what)


def _taken(key: str, size: Size, options: Options, name: str) -> int:
    """A width that the task says."""
    said = _said(size, options)
    if said is None:
        what = f"is '{name}' of the task, and {size.key(options)} says no number; give one of them"
        raise ConfigError(key, what)
    return said


def _said(size: Size, options: Mapping[str, Any]) -> int | None:
    """The size that the options say; None where they don't, or not rightly (which is told when they
    are checked)."""
    values = [options.get(option) for option in size.options]
    if size.place is not None:
        listed = values[0]
        values = [listed[size.place] if isinstance(listed, list | tuple) and listed else None]
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return None
    return sum(value for value in values if isinstance(value, int))


def _told(width: int, size: Size, options: Options, name: str) -> Options:
    """The options with the width in the one place that leaves it open, if there is one."""
    if size.place is not None:
        listed = options.get(size.options[0])
        if not isinstance(listed, list | tuple) or not listed or listed[size.place] != name:
            return options
        entries = list(listed)
        entries[size.place] = width
        return {**options, size.options[0]: entries}
    missing = [option for option in size.options if option not in options]
    rest = [options[option] for option in size.options if option in options]
    if len(missing) != 1 or not all(isinstance(value, int) for value in rest):
        return options
    return {**options, missing[0]: width - sum(rest)}

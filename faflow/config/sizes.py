"""Inputs and outputs, said once: what the network's widths say, the task need not, nor the other
way round."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import ConfigError
from .network import INPUTS, OUTPUTS, Width
from .options import MISSING, options_of
from .schema import Config

Options = dict[str, Any]


class Size(NamedTuple):
    """Where a task's options say a size: the sum of `options`, or entry `place` of a list."""

    options: tuple[str, ...]
    place: int | None = None

    def key(self, options: Mapping[str, Any]) -> str:
        """Where that is, for an error."""
        listed = self._listed(options)
        if self.place is None or not listed:
            return " + ".join(f"task.{name}" for name in self.options)
        return f"task.{self.options[0]}.{self.place % len(listed)}"

    def said(self, options: Mapping[str, Any]) -> int | None:
        """The size that the options say; None where they don't, or not rightly (which is told when
        they are checked)."""
        values = [options.get(option) for option in self.options]
        if self.place is not None:
            values = self._listed(options)[self.place :][:1] or [None]
        whole = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
        return sum(whole) if len(whole) == len(values) else None

    def told(self, width: int, options: Options, name: str) -> Options:
        """The options with the width in the one place that leaves it open, if there is one."""
        if self.place is not None:
            entries = self._listed(options)
            if entries and entries[self.place] == name:
                entries[self.place] = width
                return {**options, self.options[0]: entries}
            return options
        missing = [option for option in self.options if option not in options]
        rest = [options[option] for option in self.options if option in options]
        if len(missing) != 1 or not all(isinstance(value, int) for value in rest):
            return options
        return {**options, missing[0]: width - sum(rest)}

    def _listed(self, options: Mapping[str, Any]) -> list[Any]:
        listed = options.get(self.options[0])
        return list(listed) if isinstance(listed, list | tuple) else []


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
    kind, widths, options = config.task.kind, list(config.network.widths), config.task.options
    sizes = SIZES.get(kind) or _required(entry)
    if kind == "teacher" and "widths" not in options:
        options = {**options, "widths": list(widths)}  # the student's
    ends = ((0, sizes.inputs, INPUTS), (len(widths) - 1, sizes.outputs, OUTPUTS))
    # Numbers first: the task may say both ends by one option.
    for place, size, name in sorted(ends, key=lambda end: isinstance(widths[end[0]], str)):
        width = widths[place]
        if size is not None and isinstance(width, int):
            options = size.told(width, options, name)
        if size is None or kind not in SIZES:
            continue
        defaults = {n: option.default for n, option in options_of(entry).items()}
        known = options if isinstance(width, int) else {**defaults, **options}
        said = size.said(known)
        if isinstance(width, str) and said is None:
            what = f"is '{name}' of the task, and {size.key(known)} says no number"
            raise ConfigError(f"network.widths.{place}", f"{what}; give one of them")
        if isinstance(width, int) and said not in (None, width):
            what = f"is {width}, but {size.key(known)} says {said} {name}; make them equal"
            raise ConfigError(f"network.widths.{place}", f"{what}, or say it once")
        widths[place] = width if said is None else said
    if any(isinstance(width, str) for width in widths):
        drawn_widths = drawn()
        for place in (0, -1):
            if isinstance(widths[place], str):
                widths[place] = drawn_widths[place]
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

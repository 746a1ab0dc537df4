"""One config run: resolved, its flow stored, its figures drawn. What `faflow run` does for each."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..durations import last_time, remember
from .arguments import argument, flag
from .figures import draw_run, lacks
from .steps import Steps

ALL = "all"  # of the seconds that a config took
NO_END_STATE = flag("--no-end-state", "don't keep what the flow knows at its end, by which "
                    "faflow extend goes on")  # fmt: skip
FIGURES = argument("--figures", choices=("overview", "all", "none"), default="overview",
                   help="what to draw (default overview: one picture; faflow plot draws the "
                   "rest)")  # fmt: skip
NO_FIGURES = argument("--no-figures", dest="figures", action="store_const", const="none",
                      help="--figures none")  # fmt: skip


class Asked(NamedTuple):
    """What is asked of a run beside the config. `out`: the result's folder or, of several configs,
    the folder of theirs."""

    overrides: Sequence[str] = ()
    out: str | None = None
    several: bool = False
    quiet: bool = False
    replace: bool = False
    checkpoint: float | None = None
    figures: str = "overview"
    certify: bool = False
    certify_with: str | None = None
    end_state: bool = True

    @property
    def certified(self) -> bool:
        return self.certify or self.certify_with is not None

    def folder(self, resolved: Any) -> Path | None:
        """Where its result goes; None: where results go by default."""
        if self.out is None:
            return None
        return Path(self.out) / resolved.config.name if self.several else Path(self.out)


class Ran(NamedTuple):
    """What came of a config; `folder` is None where another process has the result."""

    code: int
    summary: dict[str, Any]
    folder: Path | None
    fresh: bool


def resolve_asked(config: str, asked: Asked) -> Any:
    """A config to run. ConfigError if it, or what is asked of it beside, is bad."""
    from ..config.resolve import resolve_path

    resolved = resolve_path(config, asked.overrides)
    if asked.certified:
        from ..runs.certify import second_config

        second_config(resolved, asked.certify_with)
    return resolved


def run_one(resolved: Any, asked: Asked, tell: Callable[[str], None]) -> Ran:
    """Run a resolved config and draw what is asked for; `tell` hears what has to be known."""
    from ..runs.certify import certify
    from ..runs.run import run
    from ..setup.programs import in_precision

    name, begun = resolved.config.name, time.perf_counter()
    with Steps(last_time(name), asked.quiet) as steps:
        steps.begin("preparing")
        with in_precision(resolved.config.precision):
            meter = steps.meter()
            result = run(
                resolved, out=asked.folder(resolved), replace=asked.replace,
                checkpoint=asked.checkpoint, end_state=asked.end_state, note=steps.note,
                tell=tell, meter=meter,
            )  # fmt: skip
            if asked.certified:
                result = certify(resolved, result, asked.certify_with, note=steps.note, meter=meter)
        if result.folder is not None and lacks(result, asked.figures):
            steps.begin("drawing")
            draw_run(result, asked.figures)
    if result.fresh:
        compiling = {"compiling": result.summary["solver"]["compile_seconds"]}
        known = {what: s for what, s in steps.seconds.items() if not re.search(r"\d", what)}
        remember(name, {**known, **compiling, ALL: time.perf_counter() - begun})
    return Ran(result.exit_code, result.summary, result.folder, result.fresh)

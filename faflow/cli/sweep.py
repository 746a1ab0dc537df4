"""`faflow sweep`: all members of a grid, and how far they are."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..config.errors import ConfigError
from .arguments import OVERRIDES, Verb, argument, config, flag
from .figures import draw_stored, lacks
from .printing import all_said, counter, in_words, print_rows, say, say_json
from .steps import Steps


def _act(given: Namespace) -> int:
    from ..config.load import apply_overrides
    from ..sweeps.plan import plan_of
    from ..sweeps.sweep import run_sweep
    from ..sweeps.tables import sweep_rows

    if given.workers is not None and given.workers < 1:
        raise ConfigError("--workers", f"is {given.workers}; give at least 1")
    plan = plan_of(given.config, given.overrides)
    if not given.json:
        say(f"{plan.name}: {plan.text()}")
        all_said()
    with bar(plan.name, plan.grid.size, given.json) as tell:
        sweep = run_sweep(
            plan, out=given.out, replace=given.replace, repair=given.repair, workers=given.workers,
            confirmed=given.yes, tell=tell, on=given.on,
            options=apply_overrides({}, given.job, "--job"), lock=not given.no_lock,
        )  # fmt: skip
    if lacks(sweep, "none" if given.no_figures else "overview"):
        from ..plots import FigureStyle

        with Steps(quiet=given.json) as steps:
            steps.begin("drawing")
            draw_stored(sweep, None, FigureStyle())
    if given.json:
        say_json(sweep.summary)
    else:
        state = "" if sweep.fresh else "  (already there)"
        print_rows(f"{plan.name}  ->  {sweep.folder}{state}", sweep_rows(sweep))
    return sweep.exit_code


WORKERS = argument("--workers", type=int, metavar="N",
                   help="of a sweep, at a time (default: one a core)")  # fmt: skip
VERB = Verb("run all members of a config's [sweep], or go on with them", _act, (
    config(),
    argument("--out", metavar="DIR", help="the sweep's folder (default results/NAME)"),
    flag("--json", "print the summary as JSON, no bar"),
    flag("--replace", "replace what the folder holds"),
    flag("--repair", "run members of damaged chunks again"),
    flag("--no-figures", "draw nothing"),
    flag("--yes", "confirm a very large sweep"),
    flag("--no-lock", "where the file system has no locks; then see to it "
         "that no other process is at work in the folder"),
    WORKERS,
    argument("--on", default="local", metavar="ENGINE",
             help="local, here, dask, dask://HOST:PORT, slurm, slurm-local (default: local)"),
    argument("--job", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
             help="of --on slurm, as submitit names it: slurm_partition=long timeout_min=60"),
    OVERRIDES,
), "starting")  # fmt: skip


@contextmanager
def bar(name: str, total: int, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """One bar for all members; nothing under --json and where nobody watches."""
    said = False

    def about(progress: Any) -> None:
        """How long it will take, once: when every program has shown its pace."""
        nonlocal said
        if not (said or quiet) and progress.left and progress.done < progress.total:
            print(f"{name}: about {in_words(progress.left)} to go", flush=True)
            said = True

    with counter(total, "flows", f"{name}: ", quiet) as show:

        def tell(progress: Any) -> None:
            about(progress)
            show(progress.done, _standing(progress))

        yield tell


def _standing(progress: Any) -> str:
    """How long members will take that have not run, as far as it is known, and what failed."""
    left, waiting = progress.left, progress.total - progress.done
    parts = [f"{in_words(left)} to go"] if waiting and left is not None and left >= 0.5 else []
    return ", ".join([*parts, *([f"{progress.failed} failed"] if progress.failed else [])])

# PYTHON_ARGCOMPLETE_OK
"""The command line. Everything heavy is imported inside the commands: --help answers at once."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .arguments import TOPICS, UsageError, complete, make_parser
from .interruption import interruptible
from .jobs import one_by_one, run_jobs
from .printing import (
    Unsaid,
    all_said,
    beside_bars,
    in_words,
    pass_on,
    print_beside_bars,
    print_entries,
    print_rows,
    print_summary,
    say,
    say_toml,
    tell,
)
from .running import Asked, Ran, drawn_whole, resolve
from .steps import Steps, telling
from .surroundings import join_others, settle
from .verdict import BAD_INPUT, BROKEN, DONE, INTERRUPTED, PRIORITY, complain, reporting_errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 done, 1 a bound or check failed, 2 bad input,
    3 a flow ended early). Without `argv` it is the process's own command line: then a signal ends
    the process (130 after Ctrl-C), whatever it is doing."""
    if argv is None:
        settle(tell)
        return interruptible(lambda: _command(sys.argv[1:]))
    try:
        return _command(list(argv))
    except KeyboardInterrupt:
        tell("interrupted")
        return INTERRUPTED


def _command(argv: list[str]) -> int:
    try:
        code = _dispatch(argv)
        all_said()
        return code
    except Unsaid as error:
        # What could not be written must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error.cause, BrokenPipeError):  # the reader has gone (`| head`)
            return INTERRUPTED
        return complain(f"stdout: can't be written ({error.cause.strerror or error})")


def _dispatch(argv: list[str]) -> int:
    try:
        parser = make_parser(COMMANDS, _version())
        complete(parser)
        arguments = parser.parse_args(argv)
    except UsageError as error:
        return complain(f"{error}; see faflow --help")
    except SystemExit as done:  # --help, --version
        return int(done.code or 0)
    given = vars(arguments)
    of = next((str(given[key]) for key in ("config", "rule", "result") if key in given), "")
    with telling(arguments.name, of, given.get("json", False)):
        return arguments.command(arguments)


def _version() -> str:
    return f"faflow {sys.modules['faflow'].__version__}"


# ---- commands -----------------------------------------------------------------------------------


def _run(arguments: Any) -> int:
    with Steps(quiet=arguments.json) as steps:
        steps.begin("starting")
        if arguments.distributed and (code := reporting_errors(lambda: _join(arguments))[0]):
            return code
        if arguments.jobs < 1:
            return complain(f"--jobs: is {arguments.jobs}; give at least 1")
        several = len(arguments.configs) > 1
        asked = Asked(
            arguments.overrides, arguments.out, several, arguments.json, arguments.replace,
            arguments.checkpoint, arguments.figures, arguments.certify, arguments.certify_with,
        )  # fmt: skip
        codes, ready = [], []  # none is run, which may take hours, if one of them can't be
        for config in arguments.configs:
            code, resolved = reporting_errors(lambda c=config: (DONE, resolve(c, asked)))
            codes.append(code)
            ready.append(resolved)
    if BAD_INPUT in codes:
        return BAD_INPUT
    if arguments.jobs > 1 and several:
        done = run_jobs(arguments.configs, ready, asked, arguments.jobs)
    else:
        done = one_by_one(ready, asked)
    found: dict[int, Ran] = {}
    for one in done:
        codes.append(one.code)
        with beside_bars():
            pass_on(one.told)
            if one.ran is not None and one.ran.folder is not None:
                found[one.number] = one.ran
                if not arguments.json:
                    print_summary(*one.ran[1:], asked.certified)
                    all_said()
    summaries = [found[number].summary for number in sorted(found)]
    if arguments.json and (several or summaries):
        what = summaries if several else summaries[0]
        say(json.dumps(what, indent=2, allow_nan=False))
    return next(code for code in PRIORITY if code in codes)


def _join(arguments: Any) -> tuple[int, None]:
    from .config.errors import ConfigError

    if arguments.certify or arguments.certify_with is not None:
        raise ConfigError("--distributed", "certifies nothing; leave out --certify")
    if arguments.jobs != 1:
        raise ConfigError("--distributed", "runs one config at a time; leave out --jobs")
    join_others()
    return DONE, None


def _sweep(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from .config.errors import ConfigError
        from .config.load import apply_overrides
        from .sweeps.plan import plan_of
        from .sweeps.sweep import run_sweep
        from .sweeps.tables import sweep_rows

        if arguments.workers is not None and arguments.workers < 1:
            raise ConfigError("--workers", f"is {arguments.workers}; give at least 1")
        plan = plan_of(arguments.config, arguments.overrides)
        if not arguments.json:
            say(f"{plan.name}: {plan.text()}")
            all_said()
        with _bar(plan.name, plan.grid.size, arguments.json) as tell:
            found = run_sweep(
                plan, out=arguments.out, replace=arguments.replace, repair=arguments.repair,
                workers=arguments.workers, confirmed=arguments.yes, tell=tell, on=arguments.on,
                options=apply_overrides({}, arguments.job), lock=not arguments.no_lock,
            )  # fmt: skip
        missing = found.fresh or not (found.folder / "figures").exists()
        if missing and not arguments.no_figures:
            with Steps(quiet=arguments.json) as steps:
                steps.begin("drawing")
                _draw(found.folder, found)
        if arguments.json:
            say(json.dumps(found.summary, indent=2, allow_nan=False))
        else:
            state = "" if found.fresh else "  (already there)"
            print_rows(f"{plan.name}  ->  {found.folder}{state}", sweep_rows(found))
        return found.exit_code, None

    return reporting_errors(act)[0]


@contextmanager
def _bar(name: str, total: int, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """One bar for all members; nothing under --json and where nobody watches."""
    said = False

    def about(progress: Any) -> None:
        """How long it will take, once: when every program has shown its pace."""
        nonlocal said
        if not (said or quiet) and progress.left and progress.done < progress.total:
            print(f"{name}: about {in_words(progress.left)} to go", flush=True)
            said = True

    if quiet or not sys.stderr.isatty():
        yield about
        return
    from tqdm import tqdm

    # tqdm's own rate and time to go know nothing of compiling, workers and what ran before.
    look = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} flows [{elapsed}{postfix}]"
    wide = shutil.get_terminal_size().columns  # 80 where a terminal doesn't know its size
    with tqdm(desc=name, total=total, bar_format=look, ncols=wide, nrows=20) as bar:

        def tell(progress: Any) -> None:
            about(progress)
            bar.n = progress.done
            bar.set_postfix_str(_standing(progress), refresh=False)
            bar.refresh()

        yield tell


def _standing(progress: Any) -> str:
    """How long members will take that have not run, as far as it is known, and what failed."""
    left, waiting = progress.left, progress.total - progress.done
    parts = [f"{in_words(left)} to go"] if waiting and left is not None and left >= 0.5 else []
    return ", ".join([*parts, *([f"{progress.failed} failed"] if progress.failed else [])])


def _note(text: str) -> None:
    if sys.stderr.isatty():
        print_beside_bars(f"faflow: {text} ...")


def _draw(folder: Path, sweep: Any = None) -> list[Path]:
    """Every figure of a stored run, or of a sweep."""
    from .plots import draw
    from .plots.sweep import draw_sweep

    return drawn_whole(folder, lambda: draw(folder) if sweep is None else draw_sweep(sweep))


def _show(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from .config.dump import config_text
        from .config.reading import resolve_path

        resolved = resolve_path(arguments.config, arguments.overrides, unread=True)
        if resolved.unread:
            told = ", ".join(resolved.unread)
            say(f"# Not run to be shown: {told}. What depends on it stands as the config has it.")
        say_toml(config_text(resolved))
        return DONE, None

    return reporting_errors(act)[0]


def _laws(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from .config.reading import resolve_path
        from .setup.programs import in_precision
        from .tools.discover import find_laws, law_lines

        resolved = resolve_path(arguments.config, arguments.overrides)
        with in_precision("float64", tell):
            report = find_laws(resolved, arguments.degree)
        if arguments.json:
            say(json.dumps(report, indent=2, allow_nan=False))
        else:
            say("\n".join([report["name"], *law_lines(report)]))
        return DONE if report["independent_laws"] is not None else BROKEN, None

    return reporting_errors(act)[0]


def _drift(arguments: Any) -> int:
    def act(result: Any, of: str) -> None:
        from .measures.tables import drift_rows
        from .sweeps.result import Sweep
        from .sweeps.tables import drift_distribution

        swept = isinstance(result, Sweep)
        rows = drift_distribution if swept else drift_rows
        print_rows(f"{of}drift", rows(result))

    return _on_result(arguments, act)


def _fit(arguments: Any) -> int:
    def act(result: Any, of: str) -> None:
        from .measures.tables import fit_rows
        from .sweeps.result import Sweep
        from .sweeps.tables import fit_distribution

        swept = isinstance(result, Sweep)
        rows = fit_distribution if swept else fit_rows
        print_rows(f"{of}exponent", rows(result, arguments.window))

    return _on_result(arguments, act)


def _plot(arguments: Any) -> int:
    def act(result: Any, of: str) -> None:
        from .sweeps.result import Sweep

        del of
        for path in _draw(result.folder, result if isinstance(result, Sweep) else None):
            say(str(path))

    return _on_result(arguments, act)


def _report(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from .config.errors import ConfigError

        try:
            from .report import write_report
        except ModuleNotFoundError as error:
            what = f"needs {error.name}, which is not installed; pip install 'faflow[report]'"
            raise ConfigError("report", what) from error
        try:
            say(str(write_report(arguments.results, arguments.out)))
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            what = f"a damaged result ({type(error).__name__}: {error}); run it again"
            raise ConfigError("report", what) from error
        return DONE, None

    return reporting_errors(act)[0]


def _on_result(arguments: Any, show: Callable[[Any, str], None]) -> int:
    """`show` each of the results in a folder; of several it is told which one it is."""

    def act() -> tuple[int, None]:
        from .config.errors import ConfigError

        results = _opened(arguments.result)
        for result in results:
            of = f"{result.folder.name}: " if len(results) > 1 else ""
            try:
                show(result, of)
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                what = f"holds a damaged result ({type(error).__name__}: {error}); run it again"
                raise ConfigError(str(result.folder), what) from error
        return DONE, None

    return reporting_errors(act)[0]


def _opened(folder: str) -> list[Any]:
    """The run or the sweep in a folder, or the runs of a reproduction."""
    from .config.errors import ConfigError
    from .store.result import open_result
    from .sweeps.result import is_sweep, open_sweep

    swept = is_sweep(folder)
    try:
        return [(open_sweep if swept else open_result)(folder)]
    except ConfigError:
        from .reproduce.layout import is_reproduction, runs_in

        place = Path(folder if "\0" in folder else os.path.expanduser(folder))
        if "\0" in folder or not is_reproduction(place):
            raise
        return [open_result(run) for run in runs_in(place)]


def _list(arguments: Any) -> int:
    from .config.kinds.catalogue import listed

    for topic in [arguments.topic] if arguments.topic else TOPICS:
        rows = [{key: text for key, text in row.items() if text} for row in listed(topic)]
        print_entries(topic, rows)
    return DONE


def _check(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from .setup.programs import in_precision
        from .tools.check import check_rule
        from .tools.check_tables import check_rows

        with in_precision("float64", tell):
            check = check_rule(arguments.rule)
        print_rows(f"{check.rule}: {check.equation}", check_rows(check))
        say(check.verdict)
        return DONE if check.ok else BROKEN, None

    return reporting_errors(act)[0]


def _reproduce(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from . import reproduce

        report = reproduce.reproduce(
            arguments.paper, arguments.out, only=arguments.only, replace_runs=arguments.replace,
            note=_note,
        )  # fmt: skip
        if arguments.json:
            say(json.dumps(report.as_table(), indent=2, allow_nan=False))
        else:
            title = f"{reproduce.PAPERS[report.paper].title}  ->  {report.folder}"
            print_rows(title, reproduce.rows(report))
        return DONE if report.ok else BROKEN, None

    return reporting_errors(act)[0]


COMMANDS = {
    "run": _run, "sweep": _sweep, "show": _show, "laws": _laws, "drift": _drift, "fit": _fit,
    "plot": _plot, "report": _report, "list": _list, "check": _check, "reproduce": _reproduce,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""The command line. Everything heavy is imported inside the commands: --help answers at once."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

TOPICS = (
    "rules", "modifiers", "laws", "tasks", "solvers", "activations", "inits", "feedbacks",
    "observables", "losses", "kinks", "solved",
)  # fmt: skip
BAD_INPUT, EARLY, BROKEN, DONE = 2, 3, 1, 0
PRIORITY = (BAD_INPUT, EARLY, BROKEN, DONE)
INTERRUPTED = 130


class UsageError(Exception):
    """Wrong arguments, in one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.removeprefix('faflow').strip() or 'command'}: {message}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 done, 1 a bound or check failed, 2 bad input,
    3 a flow ended early)."""
    try:
        code = _dispatch(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has gone (`| head`). Nothing more can be said on stdout, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        # /dev/full and the like. What could not be flushed must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _complain(f"stdout: can't be written ({error.strerror or error})")


def _dispatch(argv: list[str]) -> int:
    try:
        arguments = _parser().parse_args(argv)
    except UsageError as error:
        return _complain(f"{error}; see faflow --help")
    except SystemExit as done:  # --help, --version
        return int(done.code or 0)
    return arguments.command(arguments)


def _parser() -> _Parser:
    parser = _Parser(
        prog="faflow", allow_abbrev=False,
        description="Learning in continuous time: gradient flow, feedback alignment, their laws.",
        epilog="exit codes: 0 done; 1 an [expect] bound or a check failed; 2 bad input; "
        "3 a flow ended early and its partial result is stored",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Any], int], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        added.set_defaults(command=run)
        return added

    run = command("run", _run, "run configs, store and print their results")
    run.add_argument("configs", nargs="+", metavar="CONFIG", help="TOML file")
    run.add_argument("--out", metavar="DIR", help="the result folder itself (default results/NAME)")
    run.add_argument("--json", action="store_true", help="print the summary as JSON, nothing else")
    run.add_argument("--replace", action="store_true", help="replace a stored result if it differs")
    run.add_argument("--no-figures", action="store_true", help="draw nothing")
    run.add_argument(
        "--certify", action="store_true",
        help="run to a tenth of the tolerance too, and print how many digits of every figure agree",
    )  # fmt: skip
    run.add_argument(
        "--certify-with", metavar="SOLVER", help="the same by a second method, at the tolerance"
    )
    sweep = command("sweep", _sweep, "run all members of a config's [sweep], or go on with them")
    sweep.add_argument("config", metavar="CONFIG", help="TOML file with a [sweep]")
    sweep.add_argument("--out", metavar="DIR", help="the sweep's folder (default results/NAME)")
    sweep.add_argument("--json", action="store_true", help="print the summary as JSON, no bar")
    sweep.add_argument("--replace", action="store_true", help="replace what the folder holds")
    sweep.add_argument("--repair", action="store_true", help="run members of damaged chunks again")
    sweep.add_argument("--yes", action="store_true", help="confirm a very large sweep")
    sweep.add_argument("--no-figures", action="store_true", help="draw nothing")
    sweep.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    show = command("show", _show, "print a config with every default written out")
    show.add_argument("config", metavar="CONFIG")
    laws = command("laws", _laws, "count and find the laws of a config's rule on its network")
    laws.add_argument("config", metavar="CONFIG")
    laws.add_argument("--degree", type=int, help="of the polynomial laws searched (default 2)")
    laws.add_argument("--json", action="store_true", help="print the report as JSON, nothing else")
    for with_overrides in (run, sweep, show, laws):
        with_overrides.add_argument(
            "--set", dest="overrides", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
            help="override a key of the config, e.g. flow.t1=10",
        )  # fmt: skip
    drift = command("drift", _drift, "print how far a stored result's laws drifted")
    fit = command("fit", _fit, "fit the convergence exponent of a stored result")
    fit.add_argument("--window", nargs=2, type=float, metavar=("FROM", "TO"), help="times to fit")
    plot = command("plot", _plot, "draw a stored result")
    for of_result in (drift, fit, plot):
        of_result.add_argument("result", metavar="RESULT", help="result folder")
    listed = command("list", _list, "list what configs can name")
    listed.add_argument("topic", nargs="?", choices=TOPICS)
    check = command("check", _check, "check a learning rule on small random networks")
    check.add_argument("rule", metavar="MODULE:RULE", help="or file.py:RULE, or a rule's name")
    return parser


def _version() -> str:
    return f"faflow {sys.modules['faflow'].__version__}"


def _complain(text: str) -> int:
    print("faflow: " + " ".join(text.split()), file=sys.stderr)
    return BAD_INPUT


# ---- commands -----------------------------------------------------------------------------------


def _run(arguments: Any) -> int:
    codes, summaries = [], []
    several = len(arguments.configs) > 1
    for config in arguments.configs:
        code, summary = _reporting_errors(lambda c=config: _run_one(c, arguments, several))
        codes.append(code)
        if summary is not None:
            summaries.append(summary)
    if arguments.json and (several or summaries):
        found = summaries if several else summaries[0]
        print(json.dumps(found, indent=2, allow_nan=False))
    return next(code for code in PRIORITY if code in codes)


def _reporting_errors(act: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
    """What `act` returns; a ConfigError is one line on stderr and exit code 2."""
    from .experiments.errors import ConfigError

    try:
        return act()
    except ConfigError as error:
        return _complain(str(error)), None


def _run_one(config: str, arguments: Any, several: bool) -> tuple[int, dict[str, Any]]:
    from . import experiments

    resolved = experiments.resolve_path(config, arguments.overrides)
    out = None if arguments.out is None else Path(arguments.out)
    if out is not None and several:
        out = out / resolved.config.name
    certified = arguments.certify or arguments.certify_with is not None
    if certified:
        experiments.second_opinion(resolved, arguments.certify_with)  # bad input is told first
    with experiments.in_precision(resolved.config.precision):
        meter = _meter(arguments.json)
        result = experiments.run(
            resolved, out=out, replace=arguments.replace, note=_note, meter=meter
        )
        if certified:
            result = experiments.certify(
                resolved, result, arguments.certify_with, note=_note, meter=meter
            )
    folder = result.folder
    missing = folder is not None and (result.fresh or not (folder / "figures").exists())
    if folder is not None and missing and not arguments.no_figures:
        _draw(folder)
    if not arguments.json:
        _print_summary(result.summary, result.folder, result.fresh, certified)
    return result.exit_code, result.summary


def _sweep(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from . import experiments

        if arguments.workers is not None and arguments.workers < 1:
            raise experiments.ConfigError("--workers", f"is {arguments.workers}; give at least 1")
        plan = experiments.plan_of(arguments.config, arguments.overrides)
        if not arguments.json:
            print(f"{plan.name}: {plan.text()}", flush=True)
        with _bar(plan.name, arguments.json) as tell:
            found = experiments.run_sweep(
                plan, out=arguments.out, replace=arguments.replace, repair=arguments.repair,
                workers=arguments.workers, confirmed=arguments.yes, tell=tell,
            )  # fmt: skip
        missing = found.fresh or not (found.folder / "figures").exists()
        if missing and not arguments.no_figures:
            _draw(found.folder, found)
        if arguments.json:
            print(json.dumps(found.summary, indent=2, allow_nan=False))
        else:
            state = "" if found.fresh else "  (already there)"
            _print_rows(f"{plan.name}  ->  {found.folder}{state}", experiments.sweep_rows(found))
        return found.exit_code, None

    return _reporting_errors(act)[0]


@contextmanager
def _bar(name: str, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """One bar for all members; nothing under --json and where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield lambda progress: None
        return
    from tqdm import tqdm

    with tqdm(desc=name, unit="flow", smoothing=0.1) as bar:

        def tell(progress: Any) -> None:
            bar.total = progress.total
            if bar.initial == 0 and bar.n == 0:
                bar.initial = progress.done  # of an earlier run: no part of this one's rate
            bar.set_postfix_str(f"{progress.failed} failed" if progress.failed else "")
            bar.n = progress.done
            bar.refresh()

        yield tell


def _note(text: str) -> None:
    if sys.stderr.isatty():
        print(f"faflow: {text} ...", file=sys.stderr, flush=True)


def _meter(quiet: bool) -> Any:
    import diffrax

    if quiet or not sys.stderr.isatty():
        return diffrax.NoProgressMeter()
    return diffrax.TqdmProgressMeter()


def _draw(folder: Path, sweep: Any = None) -> list[Path]:
    from .experiments.errors import ConfigError
    from .plots import draw
    from .plots.sweep import draw_sweep

    try:
        return draw(folder) if sweep is None else draw_sweep(sweep)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError("figures", f"can't be written to {folder} ({reason})") from error


def _show(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from . import experiments

        resolved = experiments.resolve_path(arguments.config, arguments.overrides)
        print(experiments.config_text(resolved), end="")
        return DONE, None

    return _reporting_errors(act)[0]


def _laws(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from . import experiments

        resolved = experiments.resolve_path(arguments.config, arguments.overrides)
        with experiments.in_precision("float64"):
            report = experiments.find_laws(resolved, arguments.degree)
        if arguments.json:
            print(json.dumps(report, indent=2, allow_nan=False))
        else:
            print("\n".join([report["name"], *experiments.law_lines(report)]))
        return DONE if report["independent_laws"] is not None else BROKEN, None

    return _reporting_errors(act)[0]


def _drift(arguments: Any) -> int:
    def act(experiments: Any, result: Any) -> None:
        swept = isinstance(result, experiments.Sweep)
        rows = experiments.drift_distribution if swept else experiments.drift_rows
        _print_rows("drift", rows(result))

    return _on_result(arguments, act)


def _fit(arguments: Any) -> int:
    def act(experiments: Any, result: Any) -> None:
        swept = isinstance(result, experiments.Sweep)
        rows = experiments.fit_distribution if swept else experiments.fit_rows
        _print_rows("exponent", rows(result, arguments.window))

    return _on_result(arguments, act)


def _plot(arguments: Any) -> int:
    def act(experiments: Any, result: Any) -> None:
        for path in _draw(result.folder, result if isinstance(result, experiments.Sweep) else None):
            print(path)

    return _on_result(arguments, act)


def _on_result(arguments: Any, show: Callable[[Any, Any], None]) -> int:
    def act() -> tuple[int, None]:
        from . import experiments

        swept = experiments.is_sweep(arguments.result)
        result = (experiments.open_sweep if swept else experiments.open_result)(arguments.result)
        try:
            show(experiments, result)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            what = f"holds a damaged result ({type(error).__name__}: {error}); run it again"
            raise experiments.ConfigError(arguments.result, what) from error
        return DONE, None

    return _reporting_errors(act)[0]


def _list(arguments: Any) -> int:
    from .experiments.listing import listing

    for topic in [arguments.topic] if arguments.topic else TOPICS:
        rows = [{key: text for key, text in row.items() if text} for row in listing(topic)]
        _print_entries(topic, rows)
    return DONE


def _check(arguments: Any) -> int:
    def act() -> tuple[int, None]:
        from . import experiments

        with experiments.in_precision("float64"):
            check = experiments.check_rule(arguments.rule)
        _print_rows(f"{check.rule}: {check.equation}", experiments.check_rows(check))
        print(check.verdict)
        return DONE if check.ok else BROKEN, None

    return _reporting_errors(act)[0]


# ---- printing -----------------------------------------------------------------------------------


def _print_rows(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    """A table with one column per key of the first row."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        print(f"{title}: nothing recorded")
        return
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for key in rows[0]:
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row.get(key, "")) for key in rows[0]))
    # A pipe has no width: wide enough that hardly a row is wrapped there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _print_entries(topic: str, rows: Sequence[Mapping[str, str]]) -> None:
    print(topic)
    for row in rows:
        print(f"  {row['name']}")
        for key, text in row.items():
            if key != "name":
                print(f"      {text}" if key == "about" else f"      {key}: {text}")
    print()


def _print_summary(
    summary: Mapping[str, Any], folder: Path | None, fresh: bool, certified: bool
) -> None:
    from .experiments.tables import certificate_rows, certificate_title, summary_rows

    place = "" if folder is None else f"  ->  {folder}" + ("" if fresh else "  (already there)")
    _print_rows(f"{summary['name']}{place}", summary_rows(summary))
    for warning in summary.get("warnings", ()):
        print(f"note: {warning}")
    if certified:
        title = certificate_title(summary["certificate"])
        _print_rows(title, certificate_rows(summary["certificate"]))
    print()


if __name__ == "__main__":
    sys.exit(main())

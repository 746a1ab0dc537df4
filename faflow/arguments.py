"""What the command line understands: its commands, their arguments and what they are for."""

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .shipped import shipped_configs

Run = Callable[[Any], int]  # a command, given its arguments; the exit code

TOPICS = (
    "rules", "modifiers", "laws", "tasks", "solvers", "activations", "inits", "feedbacks",
    "observables", "losses", "kinks", "solved", "configs",
)  # fmt: skip


PAPERS = ("robertson-koyejo-2023", "garg-vempala-2022")  # of reproduce, which is slow to import


class UsageError(Exception):
    """Wrong arguments, in one line."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.removeprefix('faflow').strip() or 'command'}: {message}")


def make_parser(commands: Mapping[str, Run], version: str) -> Parser:
    """The parser; `command` of what it finds is the one of `commands` that was asked for."""
    parser = Parser(
        prog="faflow", allow_abbrev=False,
        description="Learning in continuous time: gradient flow, feedback alignment, their laws.",
        epilog="exit codes: 0 done; 1 an [expect] bound or a check failed; 2 bad input; "
        "3 a flow ended early and its partial result is stored; 130 interrupted",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=version)
    added = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        one = added.add_parser(name, help=about, description=about, allow_abbrev=False)
        one.set_defaults(command=commands[name], name=name)
        return one

    run = command("run", "run configs, store and print their results")
    _add_run_arguments(run)
    sweep = command("sweep", "run all members of a config's [sweep], or go on with them")
    _add_sweep_arguments(sweep)
    show = command("show", "print a config with every default written out")
    _add_config(show)
    laws = command("laws", "count and find the laws of a config's rule on its network")
    _add_config(laws)
    laws.add_argument("--degree", type=int, help="of the polynomial laws searched (default 2)")
    laws.add_argument("--json", action="store_true", help="print the report as JSON, nothing else")
    for with_overrides in (run, sweep, show, laws):
        override = with_overrides.add_argument(
            "--set", dest="overrides", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
            help="override a key of the config, e.g. flow.t1=10",
        )  # fmt: skip
        override.completer = _overrides  # pyright: ignore[reportAttributeAccessIssue]
    drift = command("drift", "print how far a stored result's laws drifted")
    fit = command("fit", "fit the convergence exponent of a stored result")
    fit.add_argument("--window", nargs=2, type=float, metavar=("FROM", "TO"), help="times to fit")
    plot = command("plot", "draw every figure of a stored result")
    for of_result in (drift, fit, plot):
        of_result.add_argument("result", metavar="RESULT", help="result folder")
    report = command("report", "one HTML file about stored results, with interactive figures")
    report.add_argument("results", nargs="+", metavar="RESULT", help="result or sweep folder")
    report.add_argument(
        "--out", default="report.html", metavar="FILE", help="where it goes (default report.html)"
    )
    listed = command("list", "list what configs can name")
    listed.add_argument("topic", nargs="?", choices=TOPICS)
    check = command("check", "check a learning rule on small random networks")
    check.add_argument("rule", metavar="MODULE:RULE", help="or file.py:RULE, or a rule's name")
    _add_reproduce_arguments(command("reproduce", "check a paper's claims, one by one"))
    return parser


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks what may stand where its cursor is (argcomplete), and exit; does
    nothing else."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def _add_config(command: argparse.ArgumentParser, key: str = "config", **more: Any) -> None:
    about = "TOML file, or the name of a config that comes with faflow (faflow list configs)"
    config = command.add_argument(key, metavar="CONFIG", help=about, **more)
    config.completer = _configs  # pyright: ignore[reportAttributeAccessIssue]  # argcomplete's


def _configs(prefix: str, **_: Any) -> list[str]:
    """What a config argument may be: a shipped name or a path."""
    from argcomplete.completers import FilesCompleter

    return [*shipped_configs(), *FilesCompleter(("toml",))(prefix)]


def _overrides(prefix: str, parsed_args: Any = None, **_: Any) -> list[str]:
    """Keys of a config, or the values of one."""
    from .tools.completion import complete_override

    config = getattr(parsed_args, "config", None) or getattr(parsed_args, "configs", None)
    return complete_override(prefix, config[0] if isinstance(config, list) else config)


def _papers(prefix: str, **_: Any) -> tuple[str, ...]:
    return PAPERS


def _checks(prefix: str, parsed_args: Any = None, **_: Any) -> list[str]:
    """The checks of the paper that was named, or of all."""
    from .reproduce import PAPERS as papers

    named = papers.get(getattr(parsed_args, "paper", None) or "")
    chosen = papers.values() if named is None else [named]
    return [claim.name for paper in chosen for claim in paper.claims]


def _add_reproduce_arguments(reproduce: argparse.ArgumentParser) -> None:
    paper = reproduce.add_argument("paper", metavar="PAPER", help=" or ".join(PAPERS))
    paper.completer = _papers  # pyright: ignore[reportAttributeAccessIssue]
    reproduce.add_argument("--out", metavar="DIR", help="its folder (default results/reproduce-…)")
    only = reproduce.add_argument(
        "--only", action="extend", nargs="+", default=[], metavar="CHECK", help="these checks alone"
    )
    only.completer = _checks  # pyright: ignore[reportAttributeAccessIssue]
    reproduce.add_argument("--json", action="store_true", help="print checks.json, nothing else")
    reproduce.add_argument("--replace", action="store_true", help="replace stored runs that differ")


def _add_sweep_arguments(sweep: argparse.ArgumentParser) -> None:
    _add_config(sweep)
    sweep.add_argument("--out", metavar="DIR", help="the sweep's folder (default results/NAME)")
    sweep.add_argument("--json", action="store_true", help="print the summary as JSON, no bar")
    sweep.add_argument("--replace", action="store_true", help="replace what the folder holds")
    sweep.add_argument("--repair", action="store_true", help="run members of damaged chunks again")
    sweep.add_argument("--no-figures", action="store_true", help="draw nothing")
    sweep.add_argument("--yes", action="store_true", help="confirm a very large sweep")
    sweep.add_argument(
        "--no-lock", action="store_true", help="where the file system has no locks; then see to it "
        "that no other process is at work in the folder",
    )  # fmt: skip
    sweep.add_argument("--workers", type=int, metavar="N", help="at a time (default: one a core)")
    sweep.add_argument(
        "--on",
        default="local",
        metavar="ENGINE",
        help="local, here, dask, dask://HOST:PORT, slurm, slurm-local (default: local)",
    )
    sweep.add_argument(
        "--job", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
        help="of --on slurm, as submitit names it: slurm_partition=long timeout_min=60",
    )  # fmt: skip


def _add_run_arguments(run: argparse.ArgumentParser) -> None:
    _add_config(run, "configs", nargs="+")
    run.add_argument("--out", metavar="DIR", help="the result folder itself (default results/NAME)")
    run.add_argument("--json", action="store_true", help="print the summary as JSON, nothing else")
    run.add_argument("--replace", action="store_true", help="replace a stored result if it differs")
    run.add_argument(
        "--distributed", action="store_true",
        help="one of several processes that run this command together (docs/large-flows.md)",
    )  # fmt: skip
    run.add_argument(
        "--checkpoint", type=float, metavar="SECONDS",
        help="keep a long flow on disk every so many seconds; the same command goes on from there",
    )  # fmt: skip
    run.add_argument(
        "--figures", choices=("overview", "all", "none"), default="overview",
        help="what to draw (default overview: one picture; faflow plot draws the rest)",
    )  # fmt: skip
    run.add_argument(
        "--no-figures", dest="figures", action="store_const", const="none", help="--figures none"
    )
    run.add_argument(
        "--jobs", type=int, default=1, metavar="N",
        help="run so many configs at a time, in processes of their own, the longest first",
    )  # fmt: skip
    run.add_argument(
        "--certify", action="store_true",
        help="run to a tenth of the tolerance too, and print how many digits of every figure agree",
    )  # fmt: skip
    run.add_argument(
        "--certify-with", metavar="SOLVER", help="the same by a second method, at the tolerance"
    )

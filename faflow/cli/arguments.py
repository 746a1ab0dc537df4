"""What the command line understands: verbs, and the arguments that several of them have."""

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from ..shipped import shipped_configs

Argument = Callable[[argparse.ArgumentParser], None]  # adds itself to a command


class Verb(NamedTuple):
    """A command. `act` on what was given, and return the exit code; `doing`: what it is at where it
    says nothing of itself, or nothing at first; `timed`: how long that took is told next time."""

    about: str
    act: Callable[[argparse.Namespace], int]
    arguments: tuple[Argument, ...]
    doing: str = ""
    timed: bool = False


def argument(*names: str, completer: Callable[..., Any] | None = None, **options: Any) -> Argument:
    """One that `completer` offers values for, if it is given."""

    def add(command: argparse.ArgumentParser) -> None:
        action = command.add_argument(*names, **options)
        if completer is not None:
            action.completer = completer  # pyright: ignore[reportAttributeAccessIssue]

    return add


def flag(name: str, about: str) -> Argument:
    return argument(name, action="store_true", help=about)


class UsageError(Exception):
    """Wrong arguments, in one line."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.removeprefix('faflow').strip() or 'command'}: {message}")


def make_parser(verbs: Mapping[str, Verb], version: str) -> Parser:
    """The parser; `name` of what it finds is that of the verb."""
    parser = Parser(
        prog="faflow", allow_abbrev=False,
        description="Learning in continuous time: gradient flow, feedback alignment, their laws.",
        epilog="exit codes: 0 done; 1 an [expect] bound or a check failed; 2 bad input; "
        "3 a flow ended early and its partial result is stored; 130 interrupted",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=version)
    added = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    for name, verb in verbs.items():
        about = verb.about
        command = added.add_parser(name, help=about, description=about, allow_abbrev=False)
        for add in verb.arguments:
            add(command)
    return parser


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks what may stand where its cursor is (argcomplete), and exit; does
    nothing else."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def _configs(prefix: str, **_: Any) -> list[str]:
    """What a config argument may be: a shipped name or a path."""
    from argcomplete.completers import FilesCompleter

    return [*shipped_configs(), *FilesCompleter(("toml",))(prefix)]


def _overrides(prefix: str, parsed_args: Any = None, **_: Any) -> list[str]:
    """Keys of a config, or the values of one."""
    from ..tools.completion import complete_override

    config = getattr(parsed_args, "config", None) or getattr(parsed_args, "configs", None)
    return complete_override(prefix, config[0] if isinstance(config, list) else config)


def config(key: str = "config", **more: Any) -> Argument:
    about = "TOML file, or the name of a config that comes with faflow (faflow list configs)"
    return argument(key, metavar="CONFIG", help=about, completer=_configs, **more)


OVERRIDES = argument(
    "--set", dest="overrides", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
    help="override a key of the config, e.g. flow.t1=10", completer=_overrides,
)  # fmt: skip

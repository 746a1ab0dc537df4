"""A command: understood, carried out, and its errors told, whatever the verb."""

import os
import sys
from collections.abc import Sequence

from . import configs, extend, reproduce, rules, run, stored, sweep
from .arguments import UsageError, Verb, complete, make_parser
from .interruption import interruptible
from .printing import Unsaid, all_said, tell
from .steps import telling
from .surroundings import settle_surroundings
from .verdict import BAD_INPUT, INTERRUPTED, complain, unless_told

COMMANDS: dict[str, Verb] = {
    "run": run.VERB, "sweep": sweep.VERB, "extend": extend.VERB,
    "show": configs.SHOW, "laws": rules.LAWS,
    "drift": stored.DRIFT, "fit": stored.FIT, "plot": stored.PLOT, "report": stored.REPORT,
    "compare": stored.COMPARE,
    "list": configs.LIST, "check": rules.CHECK, "reproduce": reproduce.VERB,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 done, 1 a bound or check failed, 2 bad input,
    3 a flow ended early). Without `argv` it is the process's own command line: then a signal ends
    the process (130 after Ctrl-C), whatever it is doing."""
    if argv is None:
        settle_surroundings(tell)
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
        parser = make_parser(COMMANDS, f"faflow {sys.modules['faflow'].__version__}")
        complete(parser)
        arguments = parser.parse_args(argv)
    except UsageError as error:
        return complain(f"{error}; see faflow --help")
    except SystemExit as done:  # --help, --version
        return int(done.code or 0)
    given = vars(arguments)
    verb = COMMANDS[arguments.name]
    of = next((str(given[key]) for key in ("config", "rule", "result") if key in given), "")
    with telling(f"{arguments.name} {of}", verb.doing, verb.timed, given.get("json", False)):
        code = unless_told(lambda: verb.act(arguments))
    return BAD_INPUT if code is None else code

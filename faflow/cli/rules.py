"""`faflow laws` and `check`: which laws a rule keeps, and whether a kind is what it says."""

from argparse import Namespace

from .arguments import OVERRIDES, Verb, argument, config, flag
from .printing import print_rows, say, say_json, tell
from .verdict import BROKEN, DONE


def _laws(given: Namespace) -> int:
    from ..config.resolve import resolve_path
    from ..setup.programs import in_precision
    from ..tools.discover import find_laws, law_lines

    resolved = resolve_path(given.config, given.overrides)
    with in_precision("float64", tell):
        report = find_laws(resolved, given.degree, given.block)
    if given.json:
        say_json(report)
    else:
        say("\n".join([report["name"], *law_lines(report)]))
    return BROKEN if report["status"] == "undecided" else DONE


def _check(given: Namespace) -> int:
    from ..config.load import apply_overrides
    from ..setup.programs import in_precision
    from ..tools.check import check_rule
    from ..tools.check_tables import check_rows, trial_rows
    from ..tools.trials import TRIALS, section_of, try_kind

    options = apply_overrides({}, given.options)
    with in_precision("float64", tell):
        section = section_of(given.kind, given.section)
        if section in TRIALS:
            trial = try_kind(given.kind, section, options)
            title, rows = (
                f"{trial.kind} ({section}): {trial.about}".rstrip(": "),
                trial_rows(trial.findings),
            )
            verdict, good = trial.verdict, trial.ok
        else:
            check = check_rule(given.kind, section == "modifier", options)
            title, rows = f"{check.rule}: {check.equation}", check_rows(check)
            verdict, good = check.verdict, check.ok
    print_rows(title, rows)
    say(verdict)
    return DONE if good else BROKEN


LAWS = Verb("count and find the laws of a config's rule on its network", _laws, (
    config(),
    argument("--degree", type=int, help="of the polynomial laws searched (default 2)"),
    argument("--block", nargs="+", default=(), metavar="GLOB",
             help="leaves of a model, by path, whose laws are counted"),
    flag("--json", "print the report as JSON, nothing else"),
    OVERRIDES,
), "looking for laws", timed=True)  # fmt: skip
SECTIONS = (
    "rule", "modifier", "activation", "loss", "init", "feedback", "observable", "solver", "task",
    "network",
)  # fmt: skip
ABOUT = "check a kind on small random numbers: a rule, a network, a loss, an observable, ..."
CHECK = Verb(ABOUT, _check, (
    argument("kind", metavar="KIND", help="module:NAME, file.py:NAME, or a name of faflow list"),
    argument("--as", dest="section", choices=SECTIONS, help="which of several kinds it is"),
    argument("--set", dest="options", action="extend", nargs="+", default=[], metavar="NAME=VALUE",
             help="its options"),
), "trying it", timed=True)  # fmt: skip

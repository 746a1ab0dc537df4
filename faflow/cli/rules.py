"""`faflow laws` and `check`: which laws a rule keeps, and whether it is what it says."""

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
    from ..setup.programs import in_precision
    from ..tools.check import check_rule
    from ..tools.check_tables import check_rows

    with in_precision("float64", tell):
        check = check_rule(given.rule)
    print_rows(f"{check.rule}: {check.equation}", check_rows(check))
    say(check.verdict)
    return DONE if check.ok else BROKEN


LAWS = Verb("count and find the laws of a config's rule on its network", _laws, (
    config(),
    argument("--degree", type=int, help="of the polynomial laws searched (default 2)"),
    argument("--block", nargs="+", default=(), metavar="GLOB",
             help="leaves of a model, by path, whose laws are counted"),
    flag("--json", "print the report as JSON, nothing else"),
    OVERRIDES,
), "looking for laws", timed=True)  # fmt: skip
RULE = argument("rule", metavar="MODULE:RULE", help="or file.py:RULE, or a rule's name")
ABOUT = "check a learning rule on small random networks"
CHECK = Verb(ABOUT, _check, (RULE,), "trying the rule", timed=True)

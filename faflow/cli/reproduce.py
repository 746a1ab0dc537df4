"""`faflow reproduce`: a paper's claims, checked one by one."""

from argparse import Namespace
from typing import Any

from .arguments import Verb, argument, flag
from .printing import print_rows, say_json
from .steps import Steps
from .verdict import BROKEN, DONE

PAPERS = (  # of `reproduce/`, slow to import
    "robertson-koyejo-2023", "garg-vempala-2022", "marcotte-2025", "tran-2026",
)  # fmt: skip


def _checks(prefix: str, parsed_args: Any = None, **_: Any) -> list[str]:
    """The checks of the paper that was named, or of all."""
    from ..reproduce import PAPERS as papers

    named = papers.get(getattr(parsed_args, "paper", None) or "")
    chosen = papers.values() if named is None else [named]
    return [claim.name for paper in chosen for claim in paper.claims]


def _act(given: Namespace) -> int:
    from .. import reproduce

    report = reproduce.reproduce(
        given.paper, given.out, only=given.only, replace_runs=given.replace, note=Steps().note
    )
    if given.json:
        say_json(report.as_table())
    else:
        title = f"{reproduce.PAPERS[report.paper].title}  ->  {report.folder}"
        print_rows(title, reproduce.rows(report))
        if told := reproduce.comparison(report):
            print_rows("paper / faflow / boundary of the reproduction", told)
    return DONE if report.ok else BROKEN


VERB = Verb("check a paper's claims, one by one", _act, (
    argument("paper", metavar="PAPER", help=" or ".join(PAPERS), completer=lambda **_: PAPERS),
    argument("--out", metavar="DIR", help="its folder (default results/reproduce-…)"),
    argument("--only", action="extend", nargs="+", default=[], metavar="CHECK",
             help="these checks alone", completer=_checks),
    flag("--json", "print checks.json, nothing else"),
    flag("--replace", "replace stored runs that differ"),
), "starting")  # fmt: skip

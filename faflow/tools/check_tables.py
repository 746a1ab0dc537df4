"""What `faflow check` found, as rows of text."""

from collections.abc import Sequence

from ..measures.tables import Rows
from .check import Case, RuleCheck
from .trials.finding import Finding


def check_rows(check: RuleCheck) -> Rows:
    """One row per network and law of `faflow check`."""
    return [row for case in check.cases for row in _case_rows(case)]


def trial_rows(findings: Sequence[Finding]) -> Rows:
    """One row per thing that was looked at."""
    return [{"what": one.what, "found": one.found, "verdict": one.verdict} for one in findings]


def _case_rows(case: Case) -> Rows:
    gradient = {True: "yes", False: "no", None: "-"}[case.is_gradient]
    head = {"network": case.net, "shapes": "fit" if case.fits else "DON'T FIT"}
    head["-gradient if F = W"] = gradient
    if case.problem or not case.claims:
        return [head | {"law": case.problem or "-", "claimed": "", "rate": "", "verdict": ""}]
    rows, told = [], [claim for claim in case.claims if claim.claimed or claim.kept]
    for claim in told:
        rows.append(
            head
            | {
                "law": claim.law,
                "claimed": "yes" if claim.claimed else "",
                "rate": f"{claim.rate:.1e}",
                "verdict": claim.verdict,
            }
        )
        head = dict.fromkeys(head, "")
    rest = [claim.rate for claim in case.claims if claim not in told]
    if rest:
        law = f"{len(rest)} other candidates"
        verdict = "not kept" if case.claims[0].moving else "not measurable"
        numbers = {"claimed": "", "rate": f">= {min(rest):.1e}", "verdict": verdict}
        rows.append(head | {"law": law} | numbers)
    return rows

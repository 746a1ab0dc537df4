"""All checks of a paper, one after the other, into one folder with one report."""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..config.errors import ConfigError, disk_refusals, nearest
from ..measures.summary import environment
from ..plots.panel import brief
from ..setup.programs import in_precision
from ..store.exchange import check_writable
from ..store.files import replace_text
from .check import Check
from .layout import CHECKS, LAYOUT, SCHEMA
from .papers import PAPERS, Claim, Paper
from .session import EndedEarly, Session, Unavailable

ROOT = Path("results")


@dataclass(frozen=True)
class Report:
    """The checks of a paper that were asked for, and the folder of their runs and pictures."""

    paper: str
    folder: Path
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds, or refutes what is false; one that was not run does not."""
        return all(check.ok for check in self.checks)

    def as_table(self) -> dict[str, Any]:
        """What `checks.json` holds."""
        counts: dict[str, int] = dict.fromkeys(("holds", "fails", "not run"), 0)
        for check in self.checks:
            counts[check.verdict] = counts.get(check.verdict, 0) + 1
        return {
            "schema": SCHEMA,
            "paper": self.paper,
            "title": PAPERS[self.paper].title,
            "ok": self.ok,
            "counts": counts,
            "checks": [check.as_table() for check in self.checks],
            "environment": environment(),
        }


def reproduce(
    paper: str,
    out: str | Path | None = None,
    *,
    only: Sequence[str] = (),
    replace_runs: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Report:
    """Check a paper's claims, all or those named in `only`, and write `checks.json`.

    ConfigError for an unknown paper or check, or a folder that holds something else. A check whose
    data set is not installed is reported as not run; one whose flow ends early fails. `note` hears
    which check is run and which flow, of how many, and how long all have taken so far.
    """
    chosen = _chosen(paper, only)
    folder = ROOT / f"reproduce-{paper}" if out is None else Path(os.path.expanduser(out))
    _check_folder(folder)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)  # before any flow is run for nothing
        check_writable(folder)
    found: list[Check] = []
    started = time.perf_counter()

    def said(text: str) -> None:
        now = timedelta(seconds=int(time.perf_counter() - started))
        note(f"check {len(found) + 1} of {len(chosen)}, {now} so far: {text}")

    session = Session(folder, replace_runs, said)
    with in_precision("float64"):
        for claim in chosen:
            said(claim.name)
            found.append(judged(claim, session))
    report = Report(paper, folder, tuple(found))
    with _writing(folder):
        text = json.dumps(report.as_table(), indent=2, allow_nan=False, ensure_ascii=False)
        replace_text(folder / CHECKS, text + "\n")
    return report


def judged(claim: Claim, session: Session) -> Check:
    """One claim put to the test."""
    session.paths.clear()
    check = Check(
        claim.name, claim.claim, claim.source, claim.scope, claim.remark,
        boundary=claim.boundary, refuted=claim.refuted,
    )  # fmt: skip
    try:
        found = claim.test(session)
    except Unavailable as missing:
        return replace(check, reason=str(missing), was_run=False)
    except EndedEarly as early:
        return replace(check, reason=str(early), runs=tuple(session.paths))
    runs, measures = tuple(session.paths), tuple(found.measures)
    return replace(check, measures=measures, figure=found.figure, runs=runs)


def rows(report: Report) -> list[dict[str, str]]:
    """The report as a table: a row per figure, what they share in the first of them."""
    found = []
    for check in report.checks:
        first = {"check": check.name, "verdict": check.verdict}
        if check.reason is not None:
            found.append({**first, "measured": check.reason, "value": "", "tolerance": ""})
            continue
        for measure in check.measures:
            value = "none" if measure.value is None else brief(float(measure.value))
            told = {
                "measured": ("control: " if measure.control else "") + measure.what,
                "value": value + ("" if measure.ok else "  (!)"),
                "tolerance": measure.tolerance,
            }
            found.append({**first, **told})
            first = {"check": "", "verdict": ""}
    return found


def comparison(report: Report) -> list[dict[str, str]]:
    """What the paper says, what was found, and where the reproduction ends: a row per check that
    says where."""
    return [
        {
            "check": check.name,
            "paper": f"{check.claim} ({check.source})",
            "faflow": ": ".join(filter(None, (_word(check), check.remark))),
            "boundary": check.boundary,
        }
        for check in report.checks
        if check.boundary
    ]


def _word(check: Check) -> str:
    return f"holds, {check.scope}" if check.verdict == "holds" else check.verdict


def _chosen(paper: str, only: Sequence[str]) -> list[Claim]:
    if paper not in PAPERS:
        raise ConfigError("PAPER", f"is '{paper}'; {nearest(paper, PAPERS)}")
    claims: Paper = PAPERS[paper]
    by_name = {claim.name: claim for claim in claims.claims}
    for name in only:
        if name not in by_name:
            what = f"is '{name}'; {nearest(name, by_name)}"
            raise ConfigError("--only", what)
    return [claim for claim in claims.claims if not only or claim.name in only]


def _check_folder(folder: Path) -> None:
    """ConfigError if the folder holds something that no reproduction put there."""
    if "\0" in str(folder):
        raise ConfigError("--out", "has a NUL character; take it out")
    with _writing(folder):
        if not folder.exists():
            return
        inside = {path.name for path in folder.iterdir()}
    if not inside <= LAYOUT:
        what = f"is {folder}, which holds something else; choose another folder"
        raise ConfigError("--out", what)


def _writing(folder: Path) -> AbstractContextManager[None]:
    return disk_refusals("--out", f"is {folder}, which can't be written", "choose another folder")

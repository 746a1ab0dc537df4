"""What has to be known of the results before anything else: what is broken, missing, other."""

from collections.abc import Iterator, Sequence

from ...compare.labels import differences
from ...compare.subject import Subject
from ...config.errors import ConfigError
from ...measures.summary import own_version
from ...measures.tables import number
from ...sweeps.figures import PENDING
from ..content import BAD, GOOD, Cell, Fold
from ..unplaced import unplaced

NAMED = 3


def notes_of(subjects: Sequence[Subject], refused: Sequence[ConfigError]) -> list[str]:
    """A line each: results that can't be read, of other versions, of sweeps still running, of
    different tasks."""
    found = [f"{_named(error.key)}: not shown: {unplaced(error.what)}" for error in refused]
    for subject in subjects:
        lead = f"{subject.name}: " if len(subjects) > 1 else ""
        found += [lead + text for text in _of(subject)]
    if len(subjects) > 1:
        told = differences(subjects)
        kinds = [key for key in told if key.startswith("task.")]
        if kinds:
            where = ", ".join(kinds[:3]) + (", ..." if len(kinds) > 3 else "")
            found.append(f"the results are of different tasks ({where}): compare with care")
    return found


def _of(subject: Subject) -> Iterator[str]:
    missing = subject.summary.get("statuses", {}).get(PENDING, 0)
    if missing:
        yield f"the sweep is still running: {missing} of {subject.summary['members']} to come"
    made = subject.provenance.get("faflow")
    if made and made != own_version():
        yield f"made by faflow {made}, read by {own_version()}"


def warnings_of(subjects: Sequence[Subject]) -> list[str]:
    """The warnings of all results, each once, with those that it is of."""
    found: dict[str, list[str]] = {}
    for subject in subjects:
        for warning in subject.summary.get("warnings", ()):
            found.setdefault(unplaced(str(warning)), []).append(subject.name)
    if len(subjects) == 1:
        return list(found)
    return [f"{some(names)}: {text}" for text, names in found.items()]


def some(names: Sequence[str]) -> str:
    """Names in a line, as many as one can take in."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def bounds_fold(subjects: Sequence[Subject]) -> Fold:
    """The bounds of [expect], each with what was found."""
    cells = []
    for subject in subjects:
        lead = f"{subject.name}: " if len(subjects) > 1 else ""
        for path, verdict in subject.summary.get("expect", {}).items():
            bound = verdict["bound"]
            words = number(bound) if isinstance(bound, dict) else f"is {number(bound)}"
            if "value" in verdict:
                found = f"found {number(verdict['value'])}"
            else:
                found = f"broken by {verdict['broken']} of {subject.summary['members']} members"
            mark = GOOD if verdict["ok"] else BAD
            cells.append(Cell(f"{lead}{path}: {words}, {found}", mark))
    return Fold("Bounds of [expect]", marked=cells)


def _named(path: str) -> str:
    """A folder without the folders above it."""
    return path.rstrip("/").rpartition("/")[2] or path

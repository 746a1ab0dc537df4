"""Everything that was measured, certificates, configs, versions."""

from collections.abc import Iterator

from ...compare.subject import Subject
from ...measures.summary import summary_rows
from ...measures.tables import certificate_rows, certificate_title
from ...sweeps.tables import sweep_rows
from ..content import Content, Fold, plain_table
from ..material import Material
from ..unplaced import unplaced


def full_block(material: Material) -> Content:
    """In folds, result by result."""
    folds: list[Fold] = []
    for subject in material.subjects:
        folds += folds_of(subject, f"{subject.name}: " if material.several else "")
    return Content(folds=folds)


def folds_of(subject: Subject, lead: str) -> Iterator[Fold]:
    """What is folded of a result, under titles that begin with `lead`."""
    swept = subject.members is not None
    rows = sweep_rows(subject.result) if swept else summary_rows(subject.summary)
    told = [
        {"what": what, "measured": unplaced("; ".join(filter(None, rest)))}
        for what, *rest in map(dict.values, rows)
    ]
    yield Fold(f"{lead}everything measured", tables=[plain_table("Everything measured", told)])
    certificate = subject.summary.get("certificate")
    if certificate is not None:
        table = plain_table("Certificate", certificate_rows(certificate))
        yield Fold(lead + certificate_title(certificate), tables=[table])
    yield Fold(f"{lead}config, every default resolved", text=subject.config)
    versions = [{"what": key, "is": unplaced(text)} for key, text in subject.provenance.items()]
    yield Fold(f"{lead}versions and device", tables=[plain_table("Versions", versions)])

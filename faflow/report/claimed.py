"""Which laws the rules of results claim."""

from collections.abc import Sequence

import numpy as np

from ..compare.subject import Subject


def claimed_laws(subjects: Sequence[Subject]) -> set[str]:
    """Of all results; of a sweep the laws that the rule of a member claims."""
    found: set[str] = set()
    for subject in subjects:
        laws = subject.summary.get("laws") or {}
        found |= {law for law, told in laws.items() if told.get("claimed")}
        members = subject.members
        for law in () if members is None else members.laws:
            said = None if members is None else members.figure(f"laws.{law}.claimed")
            if said is not None and np.any(said == 1):
                found.add(law)
    return found

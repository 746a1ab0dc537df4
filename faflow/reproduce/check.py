"""A claim with what was measured of it, the tolerance, and the verdict that follows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..config.expect import satisfies
from ..measures.json_numbers import plain

Verdict = Literal["holds", "refuted", "fails", "not run"]


@dataclass(frozen=True)
class Reading:
    """One figure and its bound: a table of `max`, `min`, `near` and `within`, as in [expect].

    `control`: something that must fail if the check can fail at all; its bound says how clearly.
    """

    what: str
    value: float | None
    bound: Mapping[str, float]
    control: bool = False

    @property
    def ok(self) -> bool:
        """Whether the value keeps its bound; no number (None, nan, infinity) keeps none."""
        return satisfies(plain(self.value), dict(self.bound))

    @property
    def tolerance(self) -> str:
        """The bound in words: `at most 1e-09`."""
        words = {"max": "at most {:g}", "min": "at least {:g}", "near": "{:g}", "within": "± {:g}"}
        return ", ".join(words[key].format(value) for key, value in self.bound.items())


@dataclass(frozen=True)
class Check:
    """A claim of a paper under test.

    `source`: the theorem or equation. `scope`: whether what holds is the claim as printed, or is
    narrower or wider; `remark` says how. `runs`: folders of the flows behind the figures, `figure`:
    the picture, both relative to the report's folder. `reason`: why there is no verdict, or why a
    flow ended before what was asked of it; measures of such a check count for nothing. `boundary`:
    what was smaller than the paper's, or was not run. `refuted`: the claim is false as printed, and
    its measures are there to break their bounds.
    """

    name: str
    claim: str
    source: str
    scope: Literal["as stated", "narrower", "wider"]
    remark: str
    measures: tuple[Reading, ...] = ()
    runs: tuple[str, ...] = ()
    figure: str | None = None
    reason: str | None = None
    was_run: bool = True
    boundary: str = ""
    refuted: bool = False

    @property
    def verdict(self) -> Verdict:
        """`holds` if every measure keeps its bound, and there is one that is no control; of a claim
        that is false as printed `refuted` if every measure is a number that breaks its bound, and
        every control keeps its own."""
        if not self.was_run:
            return "not run"
        told = [measure for measure in self.measures if not measure.control]
        fine = all(measure.ok for measure in self.measures if measure.control)
        if self.reason is not None or not told or not fine:
            return "fails"
        if self.refuted:
            return "refuted" if all(_broken(measure) for measure in told) else "fails"
        return "holds" if all(measure.ok for measure in told) else "fails"

    @property
    def ok(self) -> bool:
        """Whether it came out as it has to."""
        return self.verdict in ("holds", "refuted")

    def as_table(self) -> dict[str, Any]:
        """What `checks.json` says of it."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "claim": self.claim,
            "source": self.source,
            "scope": self.scope,
            "remark": self.remark,
            "measured": [
                {
                    "what": measure.what,
                    "value": plain(measure.value),
                    "bound": dict(measure.bound),
                    "control": measure.control,
                    "ok": measure.ok,
                }
                for measure in self.measures
            ],
            "figure": self.figure,
            "runs": list(self.runs),
            **({} if self.reason is None else {"reason": self.reason}),
            **({"boundary": self.boundary} if self.boundary else {}),
            **({"refuted": True} if self.refuted else {}),
        }


def _broken(measure: Reading) -> bool:
    """A number that breaks its bound; no number breaks none."""
    return plain(measure.value) is not None and math.isfinite(measure.value or 0) and not measure.ok

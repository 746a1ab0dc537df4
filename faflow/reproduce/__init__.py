"""Every claim of a paper as a named check: measured, judged and drawn."""

from .check import Check as Check
from .check import Measure as Measure
from .papers import PAPERS as PAPERS
from .report import Report as Report
from .report import reproduce as reproduce
from .report import rows as rows

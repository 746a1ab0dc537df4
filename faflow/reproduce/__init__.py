"""Every claim of a paper as a named check: measured, judged and drawn."""

from .check import Check as Check
from .check import Measure as Measure
from .papers import PAPERS as PAPERS
from .report import Report as Report
from .report import reproduce as reproduce
from .report import rows as rows
from .stored import is_reproduction as is_reproduction
from .stored import open_report as open_report
from .stored import runs_in as runs_in

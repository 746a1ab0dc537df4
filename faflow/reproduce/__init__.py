"""Every claim of a paper as a named check: measured, judged and drawn."""

from .check import Check as Check
from .check import Measure as Measure
from .papers import PAPERS as PAPERS
from .reproduce import Report as Report
from .reproduce import reproduce as reproduce
from .reproduce import rows as rows

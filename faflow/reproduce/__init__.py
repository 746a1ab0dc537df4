"""Every claim of a paper as a named check: measured, judged and drawn."""

from typing import TYPE_CHECKING

from .._doors import doors

if TYPE_CHECKING:
    from .check import Check as Check
    from .check import Reading as Reading
    from .layout import is_reproduction as is_reproduction
    from .layout import runs_in as runs_in
    from .papers import PAPERS as PAPERS
    from .report import Report as Report
    from .report import comparison as comparison
    from .report import reproduce as reproduce
    from .report import rows as rows
    from .stored import open_report as open_report

__getattr__ = doors(
    __name__,
    {
        "check": "Check Reading",
        "papers": "PAPERS",
        "report": "Report comparison reproduce rows",
        "layout": "is_reproduction runs_in",
        "stored": "open_report",
    },
)

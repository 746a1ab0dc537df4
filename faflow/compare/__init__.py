"""Results side by side: what differs in their configs, their figures, their curves.

May be touched for: what is said of several results at once. The report draws on it; nothing here
may need what the report alone has (plotly, jinja2).
"""

from .compare import compare
from .subject import open_subjects

__all__ = ["compare", "open_subjects"]

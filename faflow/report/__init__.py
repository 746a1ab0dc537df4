"""One HTML file that tells and shows what results hold; it asks the network for nothing.

A page is a list of sections (`sections.py`, a line each), each of which builds a `Content` of what
the page is made from (`material.py`)."""

from .write import write_report as write_report
from .write import written as written

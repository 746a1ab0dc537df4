"""One HTML file that tells and shows what results hold; it asks the network for nothing."""

from .page import write_report as write_report

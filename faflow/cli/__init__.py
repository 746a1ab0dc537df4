# PYTHON_ARGCOMPLETE_OK
"""The command line: a module per verb. Everything heavy is imported when a verb is at work."""

from .dispatch import COMMANDS as COMMANDS
from .dispatch import main as main

# PYTHON_ARGCOMPLETE_OK
"""`python -m faflow.cli`: the command line."""

import sys

from .dispatch import main

if __name__ == "__main__":
    sys.exit(main())

"""Exit codes, and what is said of a command that can't go on."""

from collections.abc import Callable
from typing import Any

from .printing import Unsaid, tell

BAD_INPUT, EARLY, BROKEN, DONE = 2, 3, 1, 0
PRIORITY = (BAD_INPUT, EARLY, BROKEN, DONE)
INTERRUPTED = 130


def complain(text: str) -> int:
    """One line on stderr; the exit code of bad input."""
    tell(text)
    return BAD_INPUT


def reporting_errors(act: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
    """What `act` returns; a ConfigError, or a failure of the machine's, is one line on stderr and
    exit code 2. A bug of faflow's own is raised as it is."""
    from .config.errors import ConfigError

    try:
        return act()
    except ConfigError as error:
        return complain(str(error)), None
    except Unsaid:
        raise
    except (Exception, SystemExit) as error:
        from .config.failure import reason_of

        if (reason := reason_of(error)) is None:
            raise
        return complain(str(reason)), None

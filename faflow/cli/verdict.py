"""Exit codes, and what is said of a command that can't go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ..config.errors import ConfigError
from .printing import Unsaid, tell

BAD_INPUT, EARLY, BROKEN, DONE = 2, 3, 1, 0
PRIORITY = (BAD_INPUT, EARLY, BROKEN, DONE)
INTERRUPTED = 130
Result = TypeVar("Result")


def complain(text: str) -> int:
    """One line on stderr; the exit code of bad input."""
    tell(text)
    return BAD_INPUT


def unless_told(act: Callable[[], Result]) -> Result | None:
    """What `act` returns; None if a ConfigError, or a failure of the machine's, was told in one
    line on stderr instead. A bug of faflow's own is raised as it is."""
    try:
        return act()
    except Unsaid:
        raise
    except (Exception, SystemExit) as error:
        from ..config.failure import reason_of

        reason = error if isinstance(error, ConfigError) else reason_of(error)
        if reason is None:
            raise
        complain(str(reason))
        return None


@contextmanager
def blaming_damage(where: str, what: str) -> Iterator[None]:
    """A stored result that is not what it should be is a ConfigError."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        told = f"{what} ({type(error).__name__}: {error}); run it again"
        raise ConfigError(where, told) from error

"""What is said of a command at work where somebody watches, so that no step of it is silent."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ..durations import last_time, remember
from .printing import Bar, in_words

SILENT = 1.0  # seconds of a step until it is told of
WORTH = 1.0  # seconds that are worth saying


class Steps:
    """The steps of a command, one at a time, told on a terminal's stderr and timed.

    `before`: seconds that steps took last time, by name, which are told with them. `quiet`: tell
    nothing but what is noted.
    """

    def __init__(self, before: Mapping[str, float] | None = None, quiet: bool = False):
        self._before, self._quiet = before or {}, quiet
        self._now, self._since = "", 0.0
        self._timer: threading.Timer | None = None
        self.seconds: dict[str, float] = {}  # of the longest of each name

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self, what: str) -> None:
        """The next step; it is told once it has taken a second."""
        self.end()
        self._now, self._since = what, time.perf_counter()
        if not self._quiet and sys.stderr.isatty():
            self._timer = threading.Timer(SILENT, self._tell, (what,))
            self._timer.daemon = True
            self._timer.start()

    def note(self, what: str) -> None:
        """The next step, or something that happened, told at once."""
        self.end()
        self._now, self._since = what, time.perf_counter()
        self._tell(what)

    def end(self) -> None:
        """Of the step that is under way, if one is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._now:
            taken = time.perf_counter() - self._since
            self.seconds[self._now] = max(taken, self.seconds.get(self._now, 0.0))
            self._now = ""

    def meter(self) -> Callable[[float], None] | None:
        """Shows how much of a flow is done, by a bar; nothing where nobody watches."""
        if self._quiet or not sys.stderr.isatty():
            return None
        bar = Bar()

        def heard(share: float) -> None:
            self.end()  # from here on the bar tells
            bar(share)
            if share >= 1:
                self.begin("measuring")

        return heard

    def _tell(self, what: str) -> None:
        if sys.stderr.isatty():
            from tqdm import tqdm

            last = self._before.get(what, 0.0)
            known = f" ({in_words(last)} last time)" if last >= WORTH else ""
            # A bar that stands there goes on below.
            tqdm.write(f"faflow: {what}{known} ...", file=sys.stderr)


@contextmanager
def telling(command: str, doing: str, timed: bool, quiet: bool) -> Iterator[None]:
    """A command with what it works on, as one step; not one that tells its own (`doing` is "")."""
    if not doing:
        yield
        return
    with Steps(last_time(command), quiet) as steps:
        steps.begin(doing)
        yield
    if timed:
        remember(command, steps.seconds)
